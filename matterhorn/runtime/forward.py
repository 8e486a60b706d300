"""The flow of data through a program. Only connections, attention and firing differ between backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..kernels import digital
from ..kernels.activation import activate
from ..program.parts import Block, Embeddings, Head, Population, Store
from ..program.program import Program
from ..topology import Site
from .backend import Attention, Backend, Levels, Potentials, Slots, Stream, Watcher, not_finite
from .blocks import Blocks
from .sequences import Sequences


def run(
    program: Program,
    backend: Backend,
    tokens: NDArray[np.int64],
    types: NDArray[np.int64],
    sequences: Sequences,
    watchers: Sequence[Watcher] = (),
    blocks: Blocks | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Compute the logits of a batch, ``[batch, labels]``.

    Args:
        program, backend: what to run, and how.
        tokens, types: ``[batch, L]``.
        sequences: which tokens exist.
        watchers: observers of all spikes.
        blocks: runs all blocks in compiled code, instead of the backend. It is not used if there are watchers.
        threads: number of threads among which ``blocks`` may divide a single long sequence.
    """
    own = _Pass(program, backend, sequences, watchers)
    x = own.states(tokens, types, blocks, threads)
    first = x if program.shape.first_only else x[sequences.first]
    pooled = activate(own.head(first, program.pooler), program.config.head_activation)
    return own.head(pooled, program.classifier)


def embed(
    program: Program,
    backend: Backend,
    tokens: NDArray[np.int64],
    types: NDArray[np.int64],
    sequences: Sequences,
    blocks: Blocks | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Compute the mean of each sequence's last states, ``[batch, width]``. The program must compute all of these
    states.

    Arguments are those of :func:`run`.
    """
    x = _Pass(program, backend, sequences, ()).states(tokens, types, blocks, threads)
    sums = np.add.reduceat(x, sequences.starts[: len(sequences.lengths)], dtype=np.float64)
    means: NDArray[np.float32] = (sums / sequences.lengths[:, None]).astype(np.float32)
    return means


class _Pass:
    """One batch while it is processed."""

    def __init__(self, program: Program, backend: Backend, sequences: Sequences, watchers: Sequence[Watcher]):
        self.program, self.backend, self.sequences, self.watchers = program, backend, sequences, watchers
        self.shape, self.eps = program.shape, float(program.config.layer_norm_eps)

    def states(
        self, tokens: NDArray[np.int64], types: NDArray[np.int64], blocks: Blocks | None, threads: int
    ) -> Stream:
        """Return the residual stream after all blocks; only of first tokens if the program reads only these."""
        program, sequences = self.program, self.sequences
        for watcher in self.watchers:
            watcher.batch(sequences)
        x = self.embed(program.embeddings, sequences.flat(tokens), sequences.places, sequences.flat(types))
        if program.projection:
            x = self.head(x, program.projection)
        if blocks and not self.watchers:
            return blocks(x, sequences, threads)
        for index, block in enumerate(program.blocks):
            x = self.feed_forward(index, block, self.attention(index, block, x))
        return x

    def attention(self, index: int, block: Block, x: Stream) -> Stream:
        """Residual stream → residual stream after attention and norm (in a cut block, only of first tokens)."""
        backend, arrays, width = self.backend, block.arrays, x.shape[1]
        source, cut, left = block.populations["input"], self.shape.is_cut(index), width
        entry = self.code(index, x, source)
        if cut:
            x, left = x[self.sequences.first], 0
            potentials = backend.integrate(entry[self.sequences.first], arrays["query"], source)
            stored = backend.integrate(entry, arrays["key-value"], source)
        else:
            potentials = stored = backend.integrate(entry, arrays["query-key-value"], source)
        queries = self.fire(index, potentials, block.populations["queries"])
        keys, values = _store(stored, left, block.keys), _store(stored, left + width, block.values)
        found = backend.attend(Attention(queries, keys, values, self.sequences, cut, self.shape.heads, block))
        self.show(index, block.populations["probabilities"], found.levels)
        context = self.fire(index, found.potentials, block.populations["context"])
        output = backend.integrate(context, arrays["output"], block.populations["context"])
        return _settled(output, block.attention_readout, x)

    def feed_forward(self, index: int, block: Block, x: Stream) -> Stream:
        """Residual stream → residual stream after feed-forward layer and norm."""
        backend, populations = self.backend, block.populations
        hidden = self.code(index, x, populations["hidden"])
        potentials = backend.integrate(hidden, block.arrays["ffn1"], populations["hidden"])
        intermediate = self.fire(index, potentials, populations["intermediate"])
        output = backend.integrate(intermediate, block.arrays["ffn2"], populations["intermediate"])
        return _settled(output, block.feed_forward_readout, x)

    def embed(
        self, table: Embeddings, tokens: NDArray[np.int64], places: NDArray[np.int64], types: NDArray[np.int64]
    ) -> Stream:
        """Token numbers, positions and types, ``[N]`` each → the residual stream."""
        out = np.empty((len(tokens), table.word.rows.shape[1]), np.float32)
        tables, norm = (table.word, table.position, table.segment), (table.norm.weight, table.norm.bias, self.eps)
        _check(digital.embed(*tables, tokens, places, types, *norm, np.empty(out.shape[1], np.int32), out))
        return out

    def code(self, index: int, x: Stream, population: Population) -> Slots:
        """Real values → slots."""
        levels, slots = (np.empty(x.shape, np.uint8) for _ in range(2))
        _check(digital.code_values(x, population.pitch, population.layout, levels, slots))
        self.show(index, population, levels, slots)
        return slots

    def fire(self, index: int, potentials: Potentials, population: Population) -> Slots:
        """Potentials → slots."""
        slots = self.backend.fire(potentials, 0, population)
        if self.watchers:
            levels = np.empty_like(slots)
            digital.reach(potentials, 0, population.limits, levels)
            self.show(index, population, levels, slots)
        return slots

    def show(self, index: int, population: Population, levels: Levels, slots: Slots | None = None) -> None:
        """Show a population to the watchers. Without slots, they are computed from the levels."""
        if self.watchers and slots is None:
            slots = encode(levels, population.code)
        for watcher in self.watchers:
            watcher.spikes(Site(index, population.name), population, levels, slots)  # type: ignore[arg-type]

    def head(self, x: Stream, linear: Head) -> Stream:
        """Apply a layer of 8-bit weights to fixed-point inputs, in exact sums: ``[rows, in] → [rows, out]``."""
        out = np.empty((len(x), len(linear.bias)), np.float32)
        parts = np.empty((2, x.shape[1]), np.int32)
        _check(digital.head(np.ascontiguousarray(x), linear.weights, linear.scale, linear.bias, parts, out))
        return out


def _store(potentials: Potentials, left: int, stored: Store) -> NDArray[np.int8]:
    """Quantize the potentials of columns from ``left`` on to keys or values, int8 ``[rows, n]``."""
    operand = np.empty((len(potentials), len(stored.thresholds)), np.int8)
    digital.store(potentials, left, stored.limits, stored.bits, operand)
    return operand


def _settled(potentials: Potentials, readout: Any, residual: Stream) -> Stream:
    """Read out potentials, add them to the residual stream, and normalize the sum."""
    out = np.empty_like(residual)
    _check(digital.settle(potentials, readout, residual, np.empty(out.shape[1], np.int32), out))
    return out


def _check(finite: bool) -> None:
    if not finite:
        raise not_finite()
