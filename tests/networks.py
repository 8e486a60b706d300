"""Small real networks that the tests share."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from matterhorn.models import QuantizedForSequenceClassification, calibrate, convert, quantize
from matterhorn.program import Program

torch.set_num_threads(1)

LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def small_bert(labels: int = 2, seed: int = 0, vocabulary: int = 200, **options: Any) -> BertForSequenceClassification:
    """Two blocks of 32, four heads; large weights, so that levels spread. ``options`` go to its config."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "num_labels": labels,
        "initializer_range": 0.2,
    }
    return BertForSequenceClassification(BertConfig(**(sizes | options))).eval()


def small_arrays(seed: int = 0, rows: int = 6, longest: int = 11, vocabulary: int = 200) -> dict[str, np.ndarray]:
    """Random tokens of different lengths, padded, as an engine takes them: int64 ``[rows, longest]``."""
    draw = np.random.Generator(np.random.PCG64(seed))
    lengths = draw.integers(1, longest + 1, rows)
    lengths[0] = longest
    tokens = draw.integers(3, vocabulary, (rows, longest))
    present = np.arange(longest) < lengths[:, None]
    return {
        "input_ids": tokens * present,
        "attention_mask": present.astype(np.int64),
        "token_type_ids": draw.integers(0, 2, (rows, longest)) * present,
    }


def small_batch(seed: int = 0, rows: int = 6, longest: int = 11, vocabulary: int = 200) -> dict[str, torch.Tensor]:
    """:func:`small_arrays` as torch tensors."""
    arrays = small_arrays(seed, rows, longest, vocabulary)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def small_network(
    k: int = 0, *, mean: bool = False, seed: int = 0, labels: int = 2, **options: Any
) -> QuantizedForSequenceClassification:
    """A calibrated quantized network with a dead zone of ``k``; ``options`` go to :func:`matterhorn.quantize`."""
    network, drawn = _network(json.dumps([k, mean, seed, labels, options]))
    torch.set_rng_state(drawn)
    return copy.deepcopy(network)


def small_program(k: int = 0, *, mean: bool = False, seed: int = 0, labels: int = 2, **options: Any) -> Program:
    """The program of :func:`small_network`, with :func:`small_tokenizer`. Tests share it: it is frozen."""
    program, drawn = _program(json.dumps([k, mean, seed, labels, options]))
    torch.set_rng_state(drawn)
    return program


@cache
def _network(told: str) -> tuple[QuantizedForSequenceClassification, torch.Tensor]:
    """The network that was asked for, and how making it leaves torch's random numbers."""
    k, mean, seed, labels, options = json.loads(told)
    network = quantize(small_bert(labels, seed), dead_zone=k, **options).eval()
    calibrate(network, [small_batch()], mean_silence=mean)
    return network, torch.get_rng_state()


@cache
def _program(told: str) -> tuple[Program, torch.Tensor]:
    """The same of its program."""
    network, drawn = _network(told)
    torch.set_rng_state(drawn)
    return convert(network, task=None, tokenizer=small_tokenizer()), torch.get_rng_state()


@cache
def small_tokenizer() -> Tokenizer:
    """Letters as tokens, BERT's way."""
    from tokenizers import models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def small_teacher(name: str, labels: int = 2, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A classifier of Hugging Face by the first part of its class's name (``MPNet``), as small as :func:`small_bert`;
    biases and norms are drawn too. ``options`` go to its config, whatever they are called there."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
        "num_labels": labels,
        "initializer_range": 0.2,
        "pad_token_id": 1 if name in ("Roberta", "XLMRoberta", "Camembert", "MPNet") else 0,
    }
    model = getattr(transformers, f"{name}ForSequenceClassification")(
        getattr(transformers, f"{name}Config")(**(sizes | options))
    )
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()
