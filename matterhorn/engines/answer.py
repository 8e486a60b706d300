"""Classifying a handful of texts and telling what each cost in spikes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..errors import InputError
from ..models.checkpoint import tokenizer_file
from ..models.spiking import SpikingNetwork
from ..trace import Trace
from .forward import classify
from .interface import Engine
from .record import SlotRecorder, TraceRecorder


@dataclass
class Answer:
    """One text's label, its softmax confidence (None for regression), and its trace."""

    text: str
    label: str
    confidence: float | None
    score: float
    tokens: int
    events: int
    silent_share: float
    seconds: float
    trace: Trace


def load_tokenizer(folder: Path) -> Tokenizer:
    """A checkpoint's tokenizer."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file(folder)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode_text(tokenizer: Tokenizer, text: str, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token and type numbers ``[1, L]``; two sentences of a pair are separated by a tab."""
    parts = [part.strip() for part in text.split("\t")]
    if not all(parts):
        raise InputError("empty text", field="text", cure="give a sentence")
    if len(parts) > 2:
        raise InputError(f"{len(parts)} columns", field="text", cure="give one sentence, or two with a tab between")
    coded = tokenizer.encode(parts[0], parts[1] if len(parts) == 2 else None)
    if len(coded.ids) > longest:
        cure = f"give at most {longest} tokens"
        raise InputError(f"text of {len(coded.ids)} tokens is too long", field="text", cure=cure)
    return torch.tensor([coded.ids]), torch.tensor([coded.type_ids])


def answer_text(network: SpikingNetwork, tokenizer: Tokenizer, text: str, engine: Engine) -> Answer:
    """Run one text and count its spikes."""
    tokens, types = encode_text(tokenizer, text, network.config.max_position_embeddings)
    recorder = TraceRecorder(network)
    start = time.perf_counter()
    logits = classify(network, tokens, types, torch.ones_like(tokens, dtype=torch.bool), engine, recorder)[0]
    seconds = time.perf_counter() - start
    trace, best = recorder.trace, int(logits.argmax())
    regression = len(logits) == 1
    return Answer(
        text=text,
        label=network.labels[best],
        confidence=None if regression else float(logits.softmax(-1)[best]),
        score=float(logits[best]),
        tokens=tokens.shape[1],
        events=sum({c.population: c.events for c in trace.connections.values()}.values()),
        silent_share=trace.silent_share,
        seconds=seconds,
        trace=trace,
    )


def record_slots(network: SpikingNetwork, tokenizer: Tokenizer, text: str, engine: Engine) -> SlotRecorder:
    """Every spike of one text."""
    tokens, types = encode_text(tokenizer, text, network.config.max_position_embeddings)
    recorder = SlotRecorder()
    classify(network, tokens, types, torch.ones_like(tokens, dtype=torch.bool), engine, recorder)
    return recorder
