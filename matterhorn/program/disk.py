"""How a program's arrays are stored on disk: weights packed, integers in the narrowest type that fits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..reading import Arrays
from ..topology import STATIC
from .config import Config
from .packing import pack, pack_even, pack_ternary, unpack, unpack_even, unpack_ternary
from .parts import REACH

FAR = (-REACH, REACH + 1)
"""Thresholds of levels that every potential reaches, and that none does (:mod:`matterhorn.models.convert`)."""

ENDS = (1 - 2**15, 2**15 - 1)
"""Values that stand for :data:`FAR` in int16."""


def to_disk(arrays: Arrays, config: Config) -> Arrays:
    """Pack weights and evenly spaced thresholds, and narrow integers. Everything else stays as it is. Embeddings are
    left out.
    """
    stored: Arrays = {}
    packed = tuple(f".{name}.weights" for name in STATIC)
    for name, value in arrays.items():
        if name.startswith("embeddings."):
            continue
        if name.endswith(packed):
            value = pack_ternary(value) if config.weights == "ternary" else pack(value, config.weights)
        elif name.endswith((".offset", ".relative_bias")):
            value = value.astype(np.int16) if int(np.abs(value).max()) < 2**15 else value
        elif name.endswith(".thresholds"):
            if even := pack_even(value):
                stored |= _narrow(f"{name}.ends", even[0]) | {f"{name}.off": even[1]}
            else:
                stored |= _narrow(name, value)
            continue
        elif name.endswith((".silent", ".silent_value")):
            value = value.astype(np.uint8) if int(value.min()) >= 0 and int(value.max()) < 256 else value
        elif name.endswith(".table"):  # whole numbers up to 2¹⁴
            value = value.astype(np.int16)
        stored[name] = value
    return {name: np.asarray(value, order="C") for name, value in stored.items()}  # as safetensors writes them


def _narrow(name: str, thresholds: NDArray[np.int32]) -> Arrays:
    """Store thresholds as int16 if all fit, except those out of reach (:data:`FAR`), which become :data:`ENDS`."""
    far = np.isin(thresholds, FAR)
    if int(np.abs(thresholds, where=~far, out=np.zeros_like(thresholds)).max()) >= ENDS[1]:
        return {name: thresholds}
    narrow = {name: thresholds.clip(*ENDS).astype(np.int16)}
    return narrow | ({f"{name}.far": np.array(FAR, np.int32)} if far.any() else {})


def _wide(name: str, stored: Arrays) -> NDArray[np.int32]:
    """Undo :func:`_narrow`. Without an array ``.far``, which early files lack, :data:`ENDS` are ordinary thresholds."""
    values = stored[name].astype(np.int32)
    far = stored.get(f"{name}.far")
    if far is not None:
        for end, value in zip(ENDS, FAR, strict=True):
            values[values == end] = value
    return values


def from_disk(stored: Arrays, config: Config) -> Arrays:
    """Undo :func:`to_disk`."""
    arrays: Arrays = {}
    packed = tuple(f".{name}.weights" for name in STATIC)
    for name, value in stored.items():
        if name.endswith(".ends") and name.removesuffix("ends") + "off" in stored:
            bits = config.kv_bits if ".keys." in name or ".values." in name else config.activation_bits
            off = stored[name.removesuffix("ends") + "off"]
            arrays[name.removesuffix(".ends")] = unpack_even(_wide(name, stored), off, 2**bits - 1)
        elif name.endswith(packed):
            fan_in, fan_out = config.shape.fans(name.split(".")[-2])
            dense = value.ndim == 1  # earlier files store ternary weights in two bits
            arrays[name] = unpack_ternary(value, (fan_out, fan_in)) if dense else unpack(value, config.weights, fan_in)
        elif name.endswith(".thresholds"):
            arrays[name] = _wide(name, stored)
        elif name.endswith(".table"):
            arrays[name] = value.astype(np.float32)
        elif not name.endswith((".off", ".far")):
            arrays[name] = value
    return arrays
