"""Self-attention of a block in training: levels in, real potentials out, keys and values stored in few bits."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from .digital import exp_table, normalise, softmax_weights
from .linear import QuantisedLinear
from .quantisers import ActivationQuantiser, StoredQuantiser


class QuantisedAttention(nn.Module):
    """Q, K, V, Q·Kᵀ, softmax, P·V and the output map.

    Populations: ``input`` (feeds query, key and value), ``queries`` (against stored keys), ``probabilities`` (against
    stored values), ``mixed`` (feeds output).

    Args:
        width, heads: of the residual stream. activation_bits, stored_bits, weight_kind: see the config.
        dead_zone: kind of population → width of its dead zone.
        per_neuron: every neuron has a silent level of its own (probabilities have one per head).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        activation_bits: int,
        stored_bits: int,
        weight_kind: str,
        dead_zone: Callable[[str], int],
        per_neuron: bool,
        shift: bool,
    ):
        super().__init__()
        self.heads, self.size, self.shift = heads, width // heads, shift

        def population(kind: str, *, signed: bool, neurons: int, gains: int = 0) -> ActivationQuantiser:
            neurons = neurons if per_neuron else 1
            return ActivationQuantiser(
                activation_bits, signed=signed, neurons=neurons, dead_zone=dead_zone(kind), gains=gains
            )

        self.input = population("input", signed=True, neurons=width, gains=width)
        self.query = QuantisedLinear(width, width, weight_kind)
        self.key = QuantisedLinear(width, width, weight_kind)
        self.value = QuantisedLinear(width, width, weight_kind)
        self.queries = population("queries", signed=True, neurons=width)
        self.keys = StoredQuantiser(stored_bits)
        self.values = StoredQuantiser(stored_bits)
        self.probabilities = population("probabilities", signed=False, neurons=1)
        self.mixed = population("mixed", signed=True, neurons=width, gains=width)
        self.output = QuantisedLinear(width, width, weight_kind)

    def split(self, x: Tensor) -> Tensor:
        """``[batch, L, width] → [batch, heads, L, size]``."""
        return x.unflatten(-1, (self.heads, self.size)).transpose(1, 2)

    @property
    def score_scale(self) -> Tensor:
        """Real score of one integer step of Q·Kᵀ: s_q · s_k / √size."""
        return self.queries.positive_step * self.keys.positive_step / math.sqrt(self.size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Residual stream ``[batch, L, width]`` and which tokens exist, bool ``[batch, L]`` → same shape as x."""
        levels = self.input(x)
        step = self.input.positive_step  # after the call: calibration sets it there
        queries = self.split(self.queries(self.query(levels, step)))
        keys = self.split(self.keys(self.key(levels, step)))
        values = self.split(self.values(self.value(levels, step)))
        scores = queries @ keys.transpose(-1, -2)
        probabilities = self.attend(scores, present[:, None, None, :])
        scale = self.probabilities.positive_step.detach() * self.values.positive_step.detach()
        mixed = (probabilities @ values).transpose(1, 2).flatten(2) * scale
        return self.output(self.mixed(mixed), self.mixed.positive_step)

    def attend(self, scores: Tensor, keys: Tensor) -> Tensor:
        """Integer scores ``[batch, heads, L, L]`` → levels of the attention probabilities, 0 at absent keys."""
        if not self.training:
            return self.probabilities(self.exact_shares(scores, keys)) * keys
        shares = (scores * self.score_scale.detach()).masked_fill(~keys, -1e4).softmax(-1)
        if self.shift:
            shares = shares + (self.exact_shares(scores.detach(), keys) - shares).detach()
        return self.probabilities(shares) * keys

    def exact_shares(self, scores: Tensor, keys: Tensor) -> Tensor:
        """Attention probabilities from the table that the engines use."""
        unit = self.queries.code.unit
        table = exp_table(float(self.score_scale.detach()) / unit, shift=self.shift).to(scores.device)
        return normalise(softmax_weights((scores * unit).round(), keys, table), shift=self.shift)
