"""One block of the quantized network: how data flow through it in training and in evaluation."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import ActivationQuantizer, Events, FixedLayerNorm, QuantizedLinear, Sent, StoredQuantizer
from ..nn.attention import by_distance, exact_shares, join_heads, plain_shares, split_heads
from ..nn.digital import LEAST_STEP
from ..program import Config
from ..topology import POPULATIONS, SOURCE, STATIC
from .product import event_product

MOST_STEPS = 2**20
"""Of a relative position bias; in eighths of a level, float32 holds such scores exactly."""


class Block(nn.Module):
    """One block, as :mod:`matterhorn.topology` draws it: a submodule for every population and every connection with
    weights, by its name; ``keys`` and ``values`` are how those are stored; ``relative_bias`` (None: there is none) is
    added to the scores, real ``[heads, 2 · distance + 1]``."""

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
        biases, far = (shape.heads, 2 * config.relative_distance + 1), config.relative_distance
        self.relative_bias = nn.Parameter(torch.zeros(biases)) if far else None

    def population(self, name: str) -> ActivationQuantizer:
        """A population, typed."""
        return cast(ActivationQuantizer, self.get_submodule(name))

    def connection(self, name: str) -> QuantizedLinear:
        """A connection, typed (of a restored network it is a :class:`~matterhorn.nn.linear.FixedLinear`)."""
        return cast(QuantizedLinear, self.get_submodule(name))

    def feed(self, name: str) -> ActivationQuantizer:
        """The population that feeds a connection."""
        return self.population(SOURCE[name])

    @property
    def score_scale(self) -> Tensor:
        """Real score of one integer step of Q·Kᵀ: s_q · s_k / √size, in training and evaluation alike at least what the
        softmax's table resolves."""
        return self.real_score_scale.clamp(min=self.population("queries").unit * LEAST_STEP)

    @property
    def real_score_scale(self) -> Tensor:
        """s_q · s_k / √size."""
        return self.population("queries").positive_scale * self.keys.positive_scale / math.sqrt(self.shape.head_size)

    @property
    def context_scale(self) -> Tensor:
        """Real value of one integer step of P·V."""
        return self.population("probabilities").positive_scale * self.values.positive_scale

    @property
    def bias_steps(self) -> Tensor | None:
        """The relative position bias in whole steps of the score's scale, ``[heads, 2 · distance + 1]``."""
        if self.relative_bias is None:
            return None
        return (self.relative_bias / self.score_scale).detach().round().clamp(-MOST_STEPS, MOST_STEPS)

    def forward(self, x: Tensor, present: Tensor, first_only: bool) -> tuple[Tensor, dict[str, Events]]:
        """Run the block.

        Args:
            x: residual stream, float ``[batch, L, width]``. present: which tokens exist, bool ``[batch, L]``.
            first_only: compute the first token only.

        Returns:
            The residual stream behind it, ``[batch, L or 1, width]``; in training each population's events.
        """
        sent: dict[str, Sent] = {}
        rows = slice(1) if first_only else slice(None)

        def send(population: str, real: Tensor, there: Tensor) -> Tensor:
            sent[population] = self.population(population)(real, there)
            return sent[population].levels

        def read(connection: str, rows: slice = slice(None)) -> Tensor:
            given, scale = sent[SOURCE[connection]], self.feed(connection).positive_scale
            product = F.linear if given.silent is None else event_product(given.silent)
            potentials: Tensor = self.connection(connection)(given.levels[:, rows], scale, product)
            return potentials

        send("input", x, present[..., None])
        there = present[:, rows, None]
        queries = split_heads(send("queries", read("query", rows), there), self.shape.heads)
        keys = split_heads(self.keys(read("key")), self.shape.heads)
        values = split_heads(self.values(read("value")), self.shape.heads)
        exist = present[:, None, None, :]
        shares = self.shares(queries @ keys.transpose(-1, -2), exist)
        probabilities = send("probabilities", shares, there[:, None] & exist) * exist
        send("context", join_heads(probabilities @ values) * self.context_scale.detach(), there)
        x = self.attention_norm(read("output") + x[:, rows])
        send("hidden", x, there)
        send("intermediate", read("ffn1"), there)
        x = self.feed_forward_norm(read("ffn2") + x)
        return x, {name: one.events for name, one in sent.items() if one.events is not None}

    def shares(self, scores: Tensor, keys: Tensor) -> Tensor:
        """Integer scores ``[batch, heads, L, L]`` → attention probabilities. ``keys``: which exist.

        In training they have the gradient of a softmax, and where divisions are shifts the values of those.
        """
        scale, steps, rounded = self.score_scale, self.bias_steps, None
        if self.relative_bias is not None and steps is not None and self.training:
            real = self.relative_bias
            rounded = by_distance(real + (steps * scale - real).detach(), scores)
        trained = plain_shares(scores, keys, scale, rounded) if self.training else None
        if trained is not None and not self.shift:
            return trained
        bias = None if steps is None else by_distance(steps, scores)
        unit = self.population("queries").unit
        exact = exact_shares(scores.detach(), keys, scale, unit, bias, shift=self.shift)
        return exact if trained is None else trained + (exact - trained).detach()
