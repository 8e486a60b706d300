"""Check the sizes of packed arrays before they are unpacked, as a few packed bytes could claim to be a huge array."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..reading import Arrays
from ..topology import POPULATIONS, STATIC
from .config import Config
from .packing import BITS, TRITS

MOST_BIASES = 2**26
"""Maximum number of position biases, over all blocks, heads and distances."""

_PACKED = (*(f".{name}.weights" for name in STATIC), ".thresholds.ends", ".thresholds.off")
"""Endings of the names of packed arrays."""


def check_packed(stored: Arrays, config: Config, file: Path) -> None:
    """Check names, types and shapes of all packed arrays of a program, as it is stored in ``file``.

    All other arrays are as large as their file, and are checked when the program is assembled.

    Raises:
        InputError: a packed array has another type or shape than the config says, or belongs to no such program; or
            position biases would be too many.
    """
    biases = config.num_hidden_layers * config.num_attention_heads * (2 * config.max_position_embeddings - 1)
    if config.relative_distance and biases > MOST_BIASES:
        problem = f"{biases} position biases, at most {MOST_BIASES}"
        raise InputError(problem, file=file, field="network.max_position_embeddings", cure="convert again")
    shapes = dict(_shapes(config))
    for name, value in stored.items():
        if not name.endswith(_PACKED):
            continue
        if name not in shapes:
            raise InputError("not an array of such a program", file=file, field=name, cure="leave it out")
        if value.dtype.kind not in ("u" if not name.endswith(".ends") else "i") or value.shape not in shapes[name]:
            wanted = " or ".join(map(str, map(list, shapes[name])))
            problem = f"{value.dtype} of shape {list(value.shape)} instead of {wanted}"
            raise InputError(problem, file=file, field=name, cure="restore the file")


def _shapes(config: Config) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """Yield the names of all arrays that may be packed, with the shapes that they may have."""
    for i in range(config.num_hidden_layers):
        for own in STATIC:
            fan_in, fan_out = config.shape.fans(own)
            shapes: list[tuple[int, ...]] = [(fan_out, -(-fan_in * BITS[config.weights] // 8))]
            if config.weights == "ternary":  # earlier files store them in two bits
                shapes.append((-(-fan_in * fan_out // len(TRITS)),))
            yield f"blocks.{i}.{own}.weights", shapes
        coded = [(kind.name, config.shape.neurons(kind.name), config.activation_bits) for kind in POPULATIONS]
        for name, neurons, bits in (*coded, *((own, config.hidden_size, config.kv_bits) for own in ("keys", "values"))):
            yield f"blocks.{i}.{name}.thresholds.ends", [(neurons, 2)]
            yield f"blocks.{i}.{name}.thresholds.off", [(neurons, -(-(2**bits - 1) * BITS["int2"] // 8))]
