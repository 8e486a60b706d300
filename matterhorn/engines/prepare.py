"""What kernels need of a network, laid out for them once: kept as long as the module's buffers stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ..coding import Code
from ..models.spiking import Connection, Population, SpikingBlock

T = TypeVar("T")
_CODES: WeakKeyDictionary[Code, KernelCode] = WeakKeyDictionary()
_KEPT: WeakKeyDictionary[nn.Module, dict[Any, tuple[tuple, Any]]] = WeakKeyDictionary()


def prepared(module: nn.Module, key: Any, build: Callable[[], T]) -> T:
    """``build()``, kept under ``key`` until one of the module's own buffers is changed or replaced."""
    stamp = _stamp(module)
    kept = _KEPT.setdefault(module, {})
    found = kept.get(key)
    if found is None or found[0] != stamp:
        found = kept[key] = stamp, build()
    return found[1]


def _stamp(module: nn.Module) -> tuple:
    """Changes when a buffer is replaced, or altered in place (which tensors made in inference mode do not tell)."""
    buffers: Any = module._buffers.values()
    try:
        return tuple([(id(t), t._version) for t in buffers])
    except RuntimeError:
        return tuple([(id(t), 0 if t.is_inference() else t._version) for t in buffers])


@dataclass(frozen=True)
class KernelCode:
    """A :class:`~matterhorn.coding.Code` as kernels read it: ``silent``, ``read`` int16 ``[n]``."""

    silent: np.ndarray
    read: np.ndarray
    unit: int
    top: int
    dead_zone: int

    @property
    def reach(self) -> int:
        """No |κ| is larger."""
        return self.unit * self.top


def kernel_code(code: Code, neurons: int) -> KernelCode:
    """Levels spread over all neurons where the code has one for all. Made once: codes do not change."""
    found = _CODES.get(code)
    if found is None or len(found.silent) != neurons:
        found = _CODES[code] = _kernel_code(code, neurons)
    return found


def _kernel_code(code: Code, neurons: int) -> KernelCode:
    def spread(levels: Tensor) -> np.ndarray:
        return np.ascontiguousarray(levels.reshape(-1).to(torch.int16).expand(neurons).numpy())

    return KernelCode(spread(code.silent), spread(code.read_level), code.unit, code.top, code.dead_zone)


@dataclass(frozen=True)
class KernelPopulation:
    """A population as kernels read it: its code, its step and zero point, what silence stands for (int32 ``[n]``)."""

    code: KernelCode
    step: np.float32
    zero: np.float32
    constant: np.ndarray


def kernel_population(population: Population, neurons: int) -> KernelPopulation:
    """A population laid out for ``neurons`` neurons."""

    def build() -> KernelPopulation:
        constant = np.ascontiguousarray(population.constant.expand(neurons).numpy())
        step, zero = np.float32(population.step), np.float32(population.zero)
        return KernelPopulation(kernel_code(population.code, neurons), step, zero, constant)

    return prepared(population, neurons, build)


def thresholds_of(module: nn.Module, neurons: int) -> np.ndarray:
    """Thresholds of a :class:`Firing` or :class:`Store`, ``[T, neurons]``: int16 where all fit, else int32."""

    def build() -> np.ndarray:
        thresholds: Any = module.thresholds
        narrow = int(thresholds.abs().max()) < 2**15 - 1
        return np.ascontiguousarray(thresholds.T.expand(-1, neurons).numpy().astype(np.int16 if narrow else np.int32))

    return prepared(module, "thresholds", build)


def joined(block: SpikingBlock) -> Connection:
    """Query, key and value as one array of three times the columns: they read the same events."""
    parts = block.query, block.key, block.value
    stamp = tuple([_stamp(part) for part in parts])
    kept = _KEPT.setdefault(block, {})
    if "joined" not in kept or kept["joined"][0] != stamp:
        kept["joined"] = stamp, _join(parts)
    return kept["joined"][1]


def _join(parts: tuple[Connection, ...]) -> Connection:
    whole = Connection(parts[0].weights.shape[1], sum(len(part.bias) for part in parts), parts[0].kind)
    for name in ("weights", "offset", "scale", "bias"):
        getattr(whole, name).copy_(torch.cat([getattr(part, name) for part in parts]))
    return whole
