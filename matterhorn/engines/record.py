"""Watchers: one keeps counts for the trace, one keeps every slot."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..coding import SILENT, kernel, level_histogram
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


class TraceRecorder:
    """Adds up the trace. Padding is not counted: its neurons do not exist."""

    def __init__(self, network: SpikingNetwork):
        config = network.config
        self.config = config
        self.trace = Trace(
            shape={
                "layers": config.num_hidden_layers,
                "width": config.hidden_size,
                "heads": config.num_attention_heads,
                "ffn": config.intermediate_size,
                "vocabulary": config.vocab_size,
                "labels": len(network.classifier.bias),
            }
        )
        self.present = torch.zeros(0, 0, dtype=torch.bool)

    def batch(self, present: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        self.present = present
        lengths = present.sum(-1)
        self.trace.add_lengths(lengths.tolist())
        self._digital(lengths)

    def spikes(self, name: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        """See :class:`~matterhorn.engines.Watcher`."""
        block, source = name.rsplit(".", 1)
        for role in ROLES:
            if SOURCES[role] == source:
                self._count(f"{block}.{role}", role, name, population, slots, levels)

    def _count(self, name: str, role: str, source: str, population: Population, slots: Tensor, levels: Tensor) -> None:
        exists = self._exists(role)
        spiking = (slots != SILENT) & exists
        kappa = kernel(slots, population.code) * exists
        row = self._row(name, role, source, population)
        lengths = self.present.sum(-1)
        per_sequence = spiking.flatten(1).sum(1)
        reach = lengths if role == "scores" else torch.full_like(lengths, row.fan_out)
        windows = exists.expand(slots.shape).flatten(1).sum(1)
        row.windows += int(windows.sum())
        row.events += int(per_sequence.sum())
        row.kernel_sum += float(kappa.to(torch.int64).abs().sum()) / population.code.unit
        row.products += int((windows * reach).sum())
        row.accumulates += int((per_sequence * reach).sum())
        if role in ("scores", "context") and bool(population.constant.any()):
            row.offset_accumulates += int(lengths.sum()) * self.config.hidden_size
        row.histogram += self._histogram(levels, exists, role)

    def _exists(self, role: str) -> Tensor:
        if role == "context":
            return self.present[:, None, :, None] & self.present[:, None, None, :]
        return self.present[:, :, None]

    def _histogram(self, levels: Tensor, exists: Tensor, role: str) -> np.ndarray:
        if role == "context":
            per_head = [levels[:, h][exists[:, 0]][:, None] for h in range(levels.shape[1])]
            return torch.cat([level_histogram(rows, self.config.activation_bits) for rows in per_head]).numpy()
        return level_histogram(levels[self.present], self.config.activation_bits).numpy()

    def _row(self, name: str, role: str, source: str, population: Population) -> ConnectionTrace:
        if name not in self.trace.connections:
            width, middle = self.config.hidden_size, self.config.intermediate_size
            heads = self.config.num_attention_heads
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
                level_bits=self.config.activation_bits,
                operand_bits=self.config.stored_bits if dynamic else BITS[self.config.weight_bits],
                dead_zone=population.dead_zone,
                silent=population.silent.numpy().astype(np.int64),
                histogram=np.zeros((rows, population.code.slots), dtype=np.int64),
            )
        return self.trace.connections[name]

    def _digital(self, lengths: Tensor) -> None:
        """Digital steps follow from the lengths alone."""
        tokens, sequences, squares = int(lengths.sum()), len(lengths), int((lengths**2).sum())
        width, heads = self.config.hidden_size, self.config.num_attention_heads
        self._step("embedding", -1, "embedding", tokens * width, tokens)
        self._step("embedding_norm", -1, "layer_norm", tokens * width, tokens)
        for i in range(self.config.num_hidden_layers):
            for part in ("attention", "feed_forward"):
                self._step(f"block.{i}.{part}_residual", i, "residual", tokens * width, tokens)
                self._step(f"block.{i}.{part}_norm", i, "layer_norm", tokens * width, tokens)
            self._step(f"block.{i}.softmax", i, "softmax", squares * heads, tokens * heads)
            coders = {"input": tokens * width, "hidden": tokens * width, "probabilities": squares * heads}
            for coder, elements in coders.items():
                self._step(f"block.{i}.{coder}_quantise", i, "quantise", elements, tokens)
        labels = self.trace.shape["labels"]
        self._step("pooler", self.config.num_hidden_layers, "head", sequences * width * width, sequences)
        self._step("classifier", self.config.num_hidden_layers, "head", sequences * width * labels, sequences)

    def _step(self, name: str, block: int, operation: str, elements: int, vectors: int) -> None:
        step = self.trace.digital.setdefault(name, DigitalTrace(name, block, operation))
        step.elements += elements
        step.vectors += vectors
