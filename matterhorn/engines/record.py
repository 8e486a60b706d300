"""Watchers: one keeps counts for the trace, one keeps every slot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..coding import SILENT, Code
from ..models.packing import BITS
from ..models.spiking import SOURCES, Population, SpikingNetwork
from ..trace import ROLES, ConnectionTrace, DigitalTrace, Trace


class SlotRecorder:
    """Keeps the slots of every population of the last batch, by name."""

    def __init__(self) -> None:
        self.slots: dict[str, Tensor] = {}
        self.present = torch.zeros(0, 0, dtype=torch.bool)

    def batch(self, present: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        self.present = present
        self.slots = {}

    def spikes(self, name: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        self.slots[name] = slots


@dataclass(frozen=True)
class _Counts:
    """One population on one batch, per sequence int64 ``[batch]``: neuron-windows, events; Σ|κ| in levels; levels held,
    int64 ``[rows, T + 1]``."""

    windows: np.ndarray
    events: np.ndarray
    kernel_sum: float
    histogram: np.ndarray


class TraceRecorder:
    """Adds up the trace. Padding is not counted: its neurons do not exist."""

    def __init__(self, network: SpikingNetwork):
        config = network.config
        self.layers, self.width, self.middle = config.num_hidden_layers, config.hidden_size, config.intermediate_size
        self.heads, self.bits, self.stored_bits = config.num_attention_heads, config.activation_bits, config.stored_bits
        self.weight_bits = BITS[config.weight_bits]
        self.trace = Trace(
            shape={
                "layers": self.layers,
                "width": self.width,
                "heads": self.heads,
                "ffn": self.middle,
                "vocabulary": config.vocab_size,
                "labels": len(network.classifier.bias),
            }
        )
        self.present = np.zeros((0, 0), bool)
        self.lengths = np.zeros(0, np.int64)

    def batch(self, present: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        self.present = present.numpy()
        self.lengths = self.present.sum(-1)
        self.trace.add_lengths(self.lengths.tolist())
        self._digital(self.lengths)

    def spikes(self, name: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        block, source = name.rsplit(".", 1)
        counts = self._count(source, population.code, slots.numpy(), levels.numpy())
        for role in ROLES:
            if SOURCES[role] == source:
                self._add(self._row(f"{block}.{role}", role, name, population), role, population, counts)

    def _count(self, source: str, code: Code, slots: np.ndarray, levels: np.ndarray) -> _Counts:
        shares, present = source == "probabilities", self.present
        exists = present[:, None, :, None] & present[:, None, None, :] if shares else present[:, :, None]
        there = np.broadcast_to(exists, slots.shape)
        spiking = (slots != SILENT) & there
        read = np.broadcast_to(code.read_level.numpy(), slots.shape)[spiking]
        kappa = code.unit * (code.top - slots[spiking].astype(np.int64)) - read
        axis, rows = (1, self.heads) if shares else (2, slots.shape[-1])
        neurons = np.arange(rows).reshape([-1 if i == axis else 1 for i in range(slots.ndim)])
        cells = (levels + code.slots * neurons)[there]
        return _Counts(
            there.reshape(len(slots), -1).sum(1),
            spiking.reshape(len(slots), -1).sum(1),
            float(np.abs(kappa).sum()) / code.unit,
            np.bincount(cells, minlength=code.slots * rows).reshape(rows, code.slots),
        )

    def _add(self, row: ConnectionTrace, role: str, population: Population, counts: _Counts) -> None:
        reach = self.lengths if role == "scores" else row.fan_out
        row.windows += int(counts.windows.sum())
        row.events += int(counts.events.sum())
        row.kernel_sum += counts.kernel_sum
        row.products += int((counts.windows * reach).sum())
        row.accumulates += int((counts.events * reach).sum())
        if role in ("scores", "context") and bool(population.constant.any()):
            row.offset_accumulates += int(self.lengths.sum()) * self.width
        row.histogram += counts.histogram

    def _row(self, name: str, role: str, source: str, population: Population) -> ConnectionTrace:
        if name not in self.trace.connections:
            width, middle, heads = self.width, self.middle, self.heads
            size = width // heads
            fans = {"scores": (size, 1), "context": (1, size), "ffn1": (width, middle), "ffn2": (middle, width)}
            fan_in, fan_out = fans.get(role, (width, width))
            dynamic = role in ("scores", "context")
            rows = {"context": heads, "ffn2": middle}.get(role, width)
            self.trace.connections[name] = ConnectionTrace(
                name=name,
                block=int(name.split(".")[1]),
                role=role,
                population=source,
                fan_in=fan_in,
                fan_out=fan_out,
                heads=heads if dynamic else 1,
                level_bits=self.bits,
                operand_bits=self.stored_bits if dynamic else self.weight_bits,
                dead_zone=population.dead_zone,
                silent=population.silent.numpy().astype(np.int64),
                histogram=np.zeros((rows, population.code.slots), dtype=np.int64),
            )
        return self.trace.connections[name]

    def _digital(self, lengths: np.ndarray) -> None:
        """Digital steps follow from the lengths alone."""
        tokens, sequences, squares = int(lengths.sum()), len(lengths), int((lengths**2).sum())
        width, heads = self.width, self.heads
        self._step("embedding", -1, "embedding", tokens * width, tokens)
        self._step("embedding_norm", -1, "layer_norm", tokens * width, tokens)
        for i in range(self.layers):
            for part in ("attention", "feed_forward"):
                self._step(f"block.{i}.{part}_residual", i, "residual", tokens * width, tokens)
                self._step(f"block.{i}.{part}_norm", i, "layer_norm", tokens * width, tokens)
            self._step(f"block.{i}.softmax", i, "softmax", squares * heads, tokens * heads)
            coders = {"input": tokens * width, "hidden": tokens * width, "probabilities": squares * heads}
            for coder, elements in coders.items():
                self._step(f"block.{i}.{coder}_quantise", i, "quantise", elements, tokens)
        labels = self.trace.shape["labels"]
        self._step("pooler", self.layers, "head", sequences * width * width, sequences)
        self._step("classifier", self.layers, "head", sequences * width * labels, sequences)

    def _step(self, name: str, block: int, operation: str, elements: int, vectors: int) -> None:
        step = self.trace.digital.setdefault(name, DigitalTrace(name, block, operation))
        step.elements += elements
        step.vectors += vectors
