"""The way of the data through a spiking network. The same for every engine: only connections and firing differ."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..coding import encode
from ..models.config import MatterhornConfig
from ..models.spiking import Coder, Firing, Head, Norm, SpikingBlock, SpikingNetwork
from ..nn.digital import digital_linear, layer_norm, normalise, softmax_weights
from .interface import Engine, Watcher


@torch.inference_mode()
def classify(
    network: SpikingNetwork,
    tokens: Tensor,
    types: Tensor,
    present: Tensor,
    engine: Engine,
    watcher: Watcher | None = None,
) -> Tensor:
    """Logits of a batch, float32 ``[batch, labels]``.

    Args:
        tokens, types: int64 ``[batch, L]``. present: bool ``[batch, L]``, False for padding.
    """
    if watcher:
        watcher.batch(present)
    x = network.embeddings(tokens, types)
    for i, block in enumerate(network.blocks):
        run = _BlockRun(block, engine, watcher, f"block.{i}", network.config)  # type: ignore[arg-type]
        x = run.attention(x, present)
        x = run.feed_forward(x)
    pooled = F.hardtanh(_head(x[:, 0], network.pooler))
    return _head(pooled, network.classifier)


def _head(x: Tensor, head: Head) -> Tensor:
    return digital_linear(x, head.weights, head.scale, head.bias)


class _BlockRun:
    """One block on one batch."""

    def __init__(self, block: SpikingBlock, engine: Engine, watcher: Watcher | None, name: str, config: MatterhornConfig):
        self.block, self.engine, self.watcher, self.name = block, engine, watcher, name
        self.heads, self.shift, self.eps = config.num_attention_heads, config.digital == "shift", config.layer_norm_eps

    def attention(self, x: Tensor, present: Tensor) -> Tensor:
        """Residual stream ``[batch, L, width]`` → the same after attention, residual and norm."""
        block, engine = self.block, self.engine
        keys_exist = present[:, None, None, :]
        entry, code = self.code(x, block.input, "input"), block.input.code
        queries = self.fire(engine.integrate(entry, code, block.query), block.queries, "queries")
        keys = self.split(block.keys.operand(engine.integrate(entry, code, block.key)))
        values = self.split(block.values.operand(engine.integrate(entry, code, block.value)))
        scores = self.scores(queries, keys)
        shares = normalise(softmax_weights(scores, keys_exist, block.table), shift=self.shift)
        probabilities = self.code(shares, block.probabilities, "probabilities")
        potentials = self.mix(probabilities, values, keys_exist)
        mixed = self.fire(potentials.transpose(1, 2).flatten(2), block.mixed, "mixed")
        output = block.output.values(engine.integrate(mixed, block.mixed.code, block.output))
        return self.norm(output + x, block.attention_norm)

    def feed_forward(self, x: Tensor) -> Tensor:
        """Residual stream → the same after feed-forward, residual and norm."""
        block, engine = self.block, self.engine
        hidden = self.code(x, block.hidden, "hidden")
        middle = self.fire(engine.integrate(hidden, block.hidden.code, block.ffn1), block.middle, "middle")
        output = block.ffn2.values(engine.integrate(middle, block.middle.code, block.ffn2))
        return self.norm(output + x, block.feed_forward_norm)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Q·Kᵀ in kernel steps, ``[batch, heads, L, L]``: events of Q against stored K, and the silent state's share."""
        size = keys.shape[-1]
        code = self.block.queries.code.arranged(self.heads, 1, size)
        constant = self.block.queries.constant.expand(self.heads * size).view(self.heads, 1, size)
        offset = (constant * keys).sum(-1, dtype=torch.int32)
        sums = self.engine.integrate_stored(self.split(queries), code, keys.transpose(-1, -2))
        return sums + offset[:, :, None, :]

    def mix(self, probabilities: Tensor, values: Tensor, keys_exist: Tensor) -> Tensor:
        """P·V in kernel steps, ``[batch, heads, L, size]``. Keys that do not exist send nothing and mean nothing."""
        exists = keys_exist.transpose(-1, -2)
        values = values * exists
        offset = self.block.probabilities.constant * values.sum(-2, keepdim=True, dtype=torch.int32)
        return self.engine.integrate_stored(probabilities, self.block.probabilities.code, values) + offset

    def split(self, x: Tensor) -> Tensor:
        """``[batch, L, width] → [batch, heads, L, size]``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def code(self, x: Tensor, population: Coder, name: str) -> Tensor:
        """Real values → slots."""
        levels = population.levels(x)
        slots = encode(levels, population.code)
        self.show(name, population, slots, levels)
        return slots

    def fire(self, potentials: Tensor, population: Firing, name: str) -> Tensor:
        """Potentials → slots."""
        slots = self.engine.fire(potentials, population)
        if self.watcher:
            self.show(name, population, slots, population.levels(potentials))
        return slots

    def show(self, name: str, population: Coder | Firing, slots: Tensor, levels: Tensor) -> None:
        """Let the watcher look."""
        if self.watcher:
            self.watcher.spikes(f"{self.name}.{name}", population, slots, levels)

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        """LayerNorm of the residual stream."""
        return layer_norm(x, norm.weight, norm.bias, self.eps, shift=self.shift)
