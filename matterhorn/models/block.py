"""One block of the quantized network: its parts, and its forward pass in training and in evaluation."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import ActivationQuantizer, Events, FixedLayerNorm, QuantizedLinear, Sent, StoredQuantizer
from ..nn.attention import by_distance, exact_softmax, float_softmax, join_heads, split_heads
from ..nn.digital import LEAST_STEP
from ..program import Config
from ..topology import POPULATIONS, SOURCE, STATIC
from .product import event_product

MOST_STEPS = 2**20
"""Largest magnitude of a relative position bias, in levels. Float32 represents such scores exactly even in eighths."""


class Block(nn.Module):
    """One block, with the structure that :mod:`matterhorn.topology` describes.

    Every population and every connection with weights is a submodule with its name.

    Attributes:
        keys, values: quantizers of the stored keys and values.
        relative_bias: bias of the scores by distance, real ``[heads, 2 · distance + 1]``, or None.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.shape, self.shift = config.shape, config.digital == "shift"
        shape, per_neuron = self.shape, config.silence_per == "neuron"
        for kind in POPULATIONS:
            neurons = shape.neurons(kind.name)
            quantizer = ActivationQuantizer(
                config.activation_bits,
                signed=kind.signed,
                neurons=neurons if per_neuron else 1,
                dead_zone=config.zone(kind.name),
                gains=config.gains(kind.name),
                zeros=config.zeros(kind.name),
                activation=config.activation if kind.name == "intermediate" else "",
            )
            self.add_module(kind.name, quantizer)
        for name in STATIC:
            self.add_module(name, QuantizedLinear(*shape.fans(name), config.weights, config.activation_bits))
        self.keys, self.values = StoredQuantizer(config.kv_bits), StoredQuantizer(config.kv_bits)
        self.attention_norm, self.feed_forward_norm = (
            FixedLayerNorm(shape.width, config.layer_norm_eps, shift=self.shift) for _ in range(2)
        )
        distance = config.relative_distance
        self.relative_bias = nn.Parameter(torch.zeros(shape.heads, 2 * distance + 1)) if distance else None

    def population(self, name: str) -> ActivationQuantizer:
        """Return a population by its name."""
        return cast(ActivationQuantizer, self.get_submodule(name))

    def connection(self, name: str) -> QuantizedLinear:
        """Return a connection by its name. In a restored network it is a :class:`~matterhorn.nn.linear.FixedLinear`."""
        return cast(QuantizedLinear, self.get_submodule(name))

    def feed(self, name: str) -> ActivationQuantizer:
        """Return the population that feeds a connection."""
        return self.population(SOURCE[name])

    @property
    def score_scale(self) -> Tensor:
        """Real score of one level of Q·Kᵀ: s_q · s_k / √size, but not less than the softmax table resolves.

        It is the same in training and evaluation.
        """
        return self.real_score_scale.clamp(min=self.population("queries").unit * LEAST_STEP)

    @property
    def real_score_scale(self) -> Tensor:
        """Real score of one level of Q·Kᵀ without a lower bound: s_q · s_k / √size."""
        return self.population("queries").positive_scale * self.keys.positive_scale / math.sqrt(self.shape.head_size)

    @property
    def context_scale(self) -> Tensor:
        """Real value of one level of P·V."""
        return self.population("probabilities").positive_scale * self.values.positive_scale

    @property
    def bias_steps(self) -> Tensor | None:
        """The relative position bias in whole levels of the scores, ``[heads, 2 · distance + 1]``."""
        if self.relative_bias is None:
            return None
        return (self.relative_bias / self.score_scale).detach().round().clamp(-MOST_STEPS, MOST_STEPS)

    def forward(self, x: Tensor, present: Tensor, first_only: bool) -> tuple[Tensor, dict[str, Events]]:
        """Run the block.

        Args:
            x: residual stream, float ``[batch, L, width]``.
            present: which tokens exist, bool ``[batch, L]``.
            first_only: whether to compute the first token only.

        Returns:
            The residual stream after the block, ``[batch, L or 1, width]``, and in training the events of each
            population.
        """
        sent: dict[str, Sent] = {}
        rows = slice(1) if first_only else slice(None)

        def send(population: str, real: Tensor, windows: Tensor) -> Tensor:
            sent[population] = self.population(population)(real, windows)
            return sent[population].levels

        def read(connection: str, rows: slice = slice(None)) -> Tensor:
            given, scale = sent[SOURCE[connection]], self.feed(connection).positive_scale
            product = F.linear if given.silent is None else event_product(given.silent)
            potentials: Tensor = self.connection(connection)(given.levels[:, rows], scale, product)
            return potentials

        present_rows, present_keys = present[:, rows, None], present[:, None, None, :]
        send("input", x, present[..., None])
        queries = split_heads(send("queries", read("query", rows), present_rows), self.shape.heads)
        keys = split_heads(self.keys(read("key")), self.shape.heads)
        values = split_heads(self.values(read("value")), self.shape.heads)
        real = self.attention_probabilities(queries @ keys.transpose(-1, -2), present_keys)
        probabilities = send("probabilities", real, present_rows[:, None] & present_keys) * present_keys
        send("context", join_heads(probabilities @ values) * self.context_scale.detach(), present_rows)
        x = self.attention_norm(read("output") + x[:, rows])
        send("hidden", x, present_rows)
        send("intermediate", read("ffn1"), present_rows)
        x = self.feed_forward_norm(read("ffn2") + x)
        return x, {name: one.events for name, one in sent.items() if one.events is not None}

    def attention_probabilities(self, scores: Tensor, keys: Tensor) -> Tensor:
        """Compute attention probabilities from integer scores ``[batch, heads, L or 1, L]``.

        In training they have the gradient of an ordinary softmax. They also have its values, unless divisions are
        replaced by shifts.

        Args:
            keys: which keys exist, bool, broadcastable.
        """
        if not self.training:
            return self._exact_probabilities(scores, keys)
        real, steps, bias = self.relative_bias, self.bias_steps, None
        if real is not None and steps is not None:
            bias = by_distance(real + (steps * self.score_scale - real).detach(), scores)  # straight-through
        trained = float_softmax(scores, keys, self.score_scale, bias)
        if not self.shift:
            return trained
        return trained + (self._exact_probabilities(scores, keys) - trained).detach()

    def _exact_probabilities(self, scores: Tensor, keys: Tensor) -> Tensor:
        """Compute attention probabilities as a program does, without a gradient."""
        steps, unit = self.bias_steps, self.population("queries").unit
        bias = None if steps is None else by_distance(steps, scores)
        return exact_softmax(scores.detach(), keys, self.score_scale, unit, bias, shift=self.shift)
