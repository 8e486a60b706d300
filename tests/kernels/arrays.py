"""Connections, codes and spikes drawn for tests."""

from __future__ import annotations

import numpy as np

from matterhorn.coding import Code, encode
from matterhorn.program.parts import Array, Connection, Population

WEIGHTS = {"int1": (-1, 1), "ternary": (-1, 0, 1), "int2": (-2, -1, 0, 1), "int4": tuple(range(-8, 8))}


def draw(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def connection(kind: str, fan_in: int, fan_out: int, seed: int = 0) -> Connection:
    own = draw(seed)
    weights = own.choice(np.array(WEIGHTS[kind], np.int8), (fan_out, fan_in))
    return made(weights, own.integers(-500, 500, fan_out).astype(np.int32), kind)


def made(weights: np.ndarray, offset: np.ndarray | None = None, kind: str = "int1") -> Connection:
    fan_out = len(weights)
    offset = np.zeros(fan_out, np.int32) if offset is None else offset
    return Connection(
        kind, weights.astype(np.int8), offset, np.ones(fan_out, np.float32), np.zeros(fan_out, np.float32)
    )


def array(connection: Connection) -> Array:
    return Array.of("block.0.ffn1", [connection], "hidden")


def population(code: Code, neurons: int, name: str = "hidden", thresholds: np.ndarray | None = None) -> Population:
    return Population(name, neurons, code, np.float32(0.37), thresholds=thresholds)


def code_and_slots(bits: int, k: int, rows: int, neurons: int, *, mean: bool = False, seed: int = 0):
    """A code with a silent level per neuron, and spikes of random levels."""
    own, top = draw(seed), 2**bits - 1
    silent = own.integers(0, top + 1, neurons).astype(np.int16)
    value = 8 * silent + own.integers(-8 * k, 8 * k + 1, neurons) if mean else None
    code = Code(bits, silent, k, value)
    return code, encode(own.integers(0, top + 1, (rows, neurons)).astype(np.uint8), code)
