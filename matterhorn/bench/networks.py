"""Whole networks: ours on every engine against Hugging Face's BERT of the same shape."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from ..engines import TraceRecorder, classify, get_engine
from ..models import from_bert
from ..models.convert import convert
from ..models.from_bert import calibrate_steps, choose_silence, level_histograms
from ..models.spiking import SpikingNetwork

Batch = dict[str, Tensor]
BASELINES = ("hf-fp32", "hf-int8-dynamic")


@dataclass(frozen=True)
class Shape:
    """Of an encoder."""

    layers: int
    width: int
    heads: int
    middle: int
    vocabulary: int = 30522

    def bert(self) -> BertForSequenceClassification:
        """A BERT of this shape with random weights (time does not depend on them), attention by sdpa."""
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.middle,
        )
        config._attn_implementation = "sdpa"
        return BertForSequenceClassification(config).eval()


BERT_BASE = Shape(12, 768, 12, 3072)


def shape_of(network: SpikingNetwork) -> Shape:
    """The shape of a spiking network."""
    c = network.config
    return Shape(c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size, c.vocab_size)


def rivals(shape: Shape) -> dict[str, nn.Module]:
    """Hugging Face in fp32 and bf16, and PyTorch's dynamic int8."""
    bert = shape.bert()
    half: nn.Module = shape.bert()
    found: dict[str, nn.Module] = {"hf-fp32": bert, "hf-bf16": half.to(torch.bfloat16)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found["hf-int8-dynamic"] = torch.ao.quantization.quantize_dynamic(bert, {nn.Linear}, dtype=torch.qint8)
    return found


def untrained(shape: Shape, batch: Batch, dead_zone: int) -> SpikingNetwork:
    """A calibrated spiking network of any shape, for shapes that no trained model has."""
    student = from_bert(shape.bert()).eval()
    calibrate_steps(student, batch)
    histograms = level_histograms(student, [batch])
    student.set_dead_zone(dead_zone)
    choose_silence(student, histograms)
    return convert(student)


def contestants(
    network: SpikingNetwork, others: dict[str, nn.Module], batch: Batch, engines: tuple[str, ...]
) -> dict[str, Callable[[], object]]:
    """What each does with the same batch."""
    present = batch["attention_mask"].bool()

    def ours(name: str) -> Callable[[], object]:
        engine = get_engine(name)
        return lambda: classify(network, batch["input_ids"], batch["token_type_ids"], present, engine)

    def theirs(model: nn.Module) -> Callable[[], object]:
        def run() -> object:
            with torch.inference_mode():
                return model(**batch).logits

        return run

    return {name: theirs(model) for name, model in others.items()} | {name: ours(name) for name in engines}


def silence_on(network: SpikingNetwork, batch: Batch) -> float:
    """Silent share of a network on a batch."""
    recorder = TraceRecorder(network)
    present = batch["attention_mask"].bool()
    classify(network, batch["input_ids"], batch["token_type_ids"], present, get_engine("exact"), recorder)
    return recorder.trace.silent_share


def random_batch(rows: int, length: int, vocabulary: int) -> Batch:
    """Sentences of one length."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1000 % vocabulary, vocabulary, (rows, length), generator=draw)
    return {"input_ids": tokens, "token_type_ids": torch.zeros_like(tokens), "attention_mask": torch.ones_like(tokens)}
