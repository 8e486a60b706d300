"""The way of the data through a spiking network. Only connections, attention, firing differ."""

from __future__ import annotations

import torch
from torch import Tensor

from ..coding import SILENT, encode
from ..models.config import MatterhornConfig
from ..models.spiking import Coder, Firing, SpikingBlock, SpikingNetwork
from . import digital
from .attention import Attention
from .interface import Engine, Watcher
from .prepare import joined, settled
from .ragged import Ragged
from .tiles import run_tiles


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
        watcher: sees the batch as a whole; without one it runs in tiles, as many at a time as torch has threads (one by
            one where the engine draws random numbers, so that a seed gives the same answer again).
    """
    if watcher:
        watcher.batch(present)
        return _run(network, tokens, types, present, engine, watcher)

    def run(rows: slice) -> Tensor:
        return _run(network, tokens[rows], types[rows], present[rows], engine, None)

    return run_tiles(run, present, in_turn=engine.draws)


@torch.inference_mode()
def _run(
    network: SpikingNetwork, tokens: Tensor, types: Tensor, present: Tensor, engine: Engine, watcher: Watcher | None
) -> Tensor:
    with settled(network):
        return _through(network, tokens, types, present, engine, watcher)


def _through(
    network: SpikingNetwork, tokens: Tensor, types: Tensor, present: Tensor, engine: Engine, watcher: Watcher | None
) -> Tensor:
    ragged = Ragged.of(present)
    places = ragged.index % present.shape[1]
    x = digital.embed(network.embeddings, ragged.flat(tokens), places, ragged.flat(types))
    for i, block in enumerate(network.blocks):
        run = _BlockRun(block, engine, watcher, f"block.{i}", network.config, ragged)  # type: ignore[arg-type]
        x = run.attention(x)
        x = run.feed_forward(x)
    return digital.pooled(x[torch.from_numpy(ragged.starts[:-1])], network.pooler, network.classifier)


class _BlockRun:
    """One block on one batch. Everything is ``[N, …]``, tokens end to end."""

    def __init__(
        self,
        block: SpikingBlock,
        engine: Engine,
        watcher: Watcher | None,
        name: str,
        config: MatterhornConfig,
        ragged: Ragged,
    ):
        self.block, self.engine, self.watcher, self.name, self.ragged = block, engine, watcher, name, ragged
        self.heads, self.shift, self.eps = config.num_attention_heads, config.digital == "shift", config.layer_norm_eps

    def attention(self, x: Tensor) -> Tensor:
        """Residual stream ``[N, width]`` → the same after attention, residual and norm."""
        block, engine, width = self.block, self.engine, x.shape[1]
        entry = self.code(x, block.input, "input")
        potentials = engine.integrate(entry, block.input.code, joined(block))
        queries = self.fire(potentials[:, :width], block.queries, "queries")
        keys = digital.store(potentials, block.keys, width, width)
        values = digital.store(potentials, block.values, 2 * width, width)
        mixture = engine.attend(Attention(queries, keys, values, self.ragged, block, self.heads, self.shift))
        self.show_shares(mixture.levels)
        mixed = self.fire(mixture.potentials, block.mixed, "mixed")
        output = engine.integrate(mixed, block.mixed.code, block.output)
        return digital.settle(output, block.output, x, block.attention_norm, self.eps, shift=self.shift)

    def feed_forward(self, x: Tensor) -> Tensor:
        """Residual stream → the same after feed-forward, residual and norm."""
        block, engine = self.block, self.engine
        hidden = self.code(x, block.hidden, "hidden")
        middle = self.fire(engine.integrate(hidden, block.hidden.code, block.ffn1), block.middle, "middle")
        output = engine.integrate(middle, block.middle.code, block.ffn2)
        return digital.settle(output, block.ffn2, x, block.feed_forward_norm, self.eps, shift=self.shift)

    def code(self, x: Tensor, population: Coder, name: str) -> Tensor:
        """Real values → slots."""
        levels, slots = digital.code(x, population)
        self.show(name, population, slots, levels)
        return slots

    def fire(self, potentials: Tensor, population: Firing, name: str) -> Tensor:
        """Potentials → slots."""
        slots = self.engine.fire(potentials, population)
        if self.watcher:
            self.show(name, population, slots, digital.reach(potentials, population))
        return slots

    def show(self, name: str, population: Coder | Firing, slots: Tensor, levels: Tensor) -> None:
        """Let the watcher look, at the padded batch: padding is silent."""
        if self.watcher:
            padded = self.ragged.padded(slots, SILENT), self.ragged.padded(levels, 0)
            self.watcher.spikes(f"{self.name}.{name}", population, *padded)

    def show_shares(self, levels: Tensor) -> None:
        """Let the watcher look at the attention probabilities, ``[batch, heads, L, L]``."""
        if self.watcher:
            population = self.block.probabilities
            padded = self.ragged.padded_squares(levels, self.heads, 0)
            slots = encode(padded, population.code)
            self.watcher.spikes(f"{self.name}.probabilities", population, slots, padded)
