"""Files that Hugging Face's Auto classes need in a folder: code, and a tokenizer with its settings."""

from __future__ import annotations

import hashlib
import json

from tokenizers import Tokenizer

from .config import Config
from .text import reader

CODE_FILE, TOKENIZER_FILE, SETTINGS_FILE = "modeling_matterhorn.py", "tokenizer.json", "tokenizer_config.json"

CODE = """\
try: from matterhorn.hf import *  # loading with trust_remote_code=True ends up here
except ImportError as error:
    raise ImportError('this model needs: pip install "matterhorn-snn[train]"') from error
"""
"""Content of :data:`CODE_FILE`. (If it imported outside ``try``, transformers would ask users to install
``matterhorn``.)
"""

PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
"""Parts of a tokenizer that determine which tokens it makes."""

SPECIAL_TOKENS = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
    "unk_token": ("[UNK]", "<unk>"),
}
"""Names of special tokens in BERT and RoBERTa."""

FRAME = {name for names in SPECIAL_TOKENS.values() for name in names} | {"[PAD]", "<pad>"}
"""Special tokens, which frame or pad texts."""


def auto_map(config: str, model: str) -> dict[str, str]:
    """Return where Auto classes find the classes of these names, for ``config.json``."""
    module = CODE_FILE.removesuffix(".py")
    return {"AutoConfig": f"{module}.{config}", "AutoModelForSequenceClassification": f"{module}.{model}"}


def tokenizer_files(tokenizer: Tokenizer, config: Config) -> dict[str, str]:
    """Return texts by file name, from which ``AutoTokenizer`` makes the same tokens as :meth:`.Program.encode`.

    It pads on the right, and returns token types if the network has a table of them.
    """
    plain = reader(tokenizer, None).to_str()
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "model_input_names": ["input_ids", *["token_type_ids"] * (config.type_vocab_size > 1), "attention_mask"],
        "padding_side": "right",
        "truncation_side": "right",
        "pad_token": tokenizer.id_to_token(config.pad_token_id),
    }
    for role, names in SPECIAL_TOKENS.items():
        settings |= [(role, name) for name in names if tokenizer.token_to_id(name) is not None]
    compact = json.dumps(json.loads(plain), ensure_ascii=False, separators=(",", ":"))
    return {TOKENIZER_FILE: compact, SETTINGS_FILE: json.dumps(settings, indent=1) + "\n"}


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """Return the SHA-256 of all that determines a tokenizer's tokens. Padding, truncation and decoding are ignored.

    Special tokens of the vocabulary (:data:`FRAME`) count as the same whether they are listed under ``added_tokens`` or
    not, as Hugging Face adds them to this list when it saves a tokenizer.
    """
    plain, known = json.loads(tokenizer.to_str()), tokenizer.get_vocab(with_added_tokens=False)
    plain["added_tokens"] = [
        one
        for one in plain["added_tokens"]
        if not (one["special"] and one["content"] in FRAME and known.get(one["content"]) == one["id"])
    ]
    return hashlib.sha256(json.dumps([plain[part] for part in PARTS], sort_keys=True).encode()).hexdigest()
