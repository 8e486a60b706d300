"""What kernels need of a network, laid out for them once: kept as long as the module's buffers stay as they are."""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ..coding import Code
from ..models.spiking import Connection, Population, SpikingBlock

T = TypeVar("T")


@dataclass
class _Kept:
    """Something built from buffers: the buffers (kept alive, so that none takes another's place) and their versions."""

    buffers: list[Tensor]
    versions: list[int]
    value: Any
    epoch: int


class _Trust(threading.local):
    epoch = 0
    """Within :func:`settled`, the state of the buffers that everything kept is known to fit; else 0."""


_KEPT: WeakKeyDictionary[nn.Module, dict[Any, _Kept]] = WeakKeyDictionary()
_CODES: WeakKeyDictionary[Code, KernelCode] = WeakKeyDictionary()
_TRUST = _Trust()
_EPOCHS = itertools.count(1)


def prepared(module: nn.Module, key: Any, build: Callable[[], T], sources: tuple[nn.Module, ...] = ()) -> T:
    """``build()``, kept under ``key`` until a buffer of ``sources`` (default: the module) is changed or replaced."""
    shelf = _KEPT.get(module)
    if shelf is None:
        shelf = _KEPT[module] = {}
    kept, trusted = shelf.get(key), _TRUST.epoch
    if kept is not None and trusted and kept.epoch == trusted:
        return kept.value
    buffers = [t for part in sources or (module,) for t in part._buffers.values() if t is not None]
    versions = _versions(buffers)
    if kept is None or kept.versions != versions or not all(map(operator.is_, kept.buffers, buffers)):
        kept = shelf[key] = _Kept(buffers, versions, build(), trusted)
    kept.epoch = trusted
    return kept.value


@contextmanager
def settled(network: nn.Module) -> Iterator[None]:
    """Within, a network's buffers stay as they are: they are looked at once, here, and not at every use."""
    shelves = prepared(network, "shelves", lambda: [module._buffers for module in network.modules()])
    buffers = [t for shelf in shelves for t in shelf.values() if t is not None]
    versions = _versions(buffers)
    kept = _KEPT[network].get("settled")
    if kept is None or kept.versions != versions or not all(map(operator.is_, kept.buffers, buffers)):
        kept = _KEPT[network]["settled"] = _Kept(buffers, versions, None, next(_EPOCHS))
    before, _TRUST.epoch = _TRUST.epoch, kept.epoch
    try:
        yield
    finally:
        _TRUST.epoch = before


def _versions(buffers: list[Tensor]) -> list[int]:
    """How often each was altered in place (tensors made in inference mode do not tell)."""
    try:
        return [t._version for t in buffers]
    except RuntimeError:
        return [0 if t.is_inference() else t._version for t in buffers]


@dataclass(frozen=True)
class KernelCode:
    """A :class:`~matterhorn.coding.Code` as kernels read it: ``silent``, ``read`` int16 ``[n]``."""

    silent: np.ndarray
    read: np.ndarray
    unit: int
    top: int
    dead_zone: int
    reach: int
    """No |κ| is larger."""


def kernel_code(code: Code, neurons: int) -> KernelCode:
    """Levels spread over all neurons where the code has one for all. Made once: codes do not change."""
    found = _CODES.get(code)
    if found is None or len(found.silent) != neurons:
        found = _CODES[code] = _kernel_code(code, neurons)
    return found


def _kernel_code(code: Code, neurons: int) -> KernelCode:
    def spread(levels: Tensor) -> np.ndarray:
        return np.ascontiguousarray(levels.reshape(-1).to(torch.int16).expand(neurons).numpy())

    reach = max(code.unit * code.top - int(code.read_level.min()), int(code.read_level.max()))
    return KernelCode(spread(code.silent), spread(code.read_level), code.unit, code.top, code.dead_zone, reach)


@dataclass(frozen=True)
class KernelPopulation:
    """A population as kernels read it: code, pitch (float32 ``[n]``), step, zero point, what silence stands for (int32
    ``[n]``)."""

    code: KernelCode
    pitch: np.ndarray
    step: np.float32
    zero: np.float32
    constant: np.ndarray


def kernel_population(population: Population, neurons: int) -> KernelPopulation:
    """A population laid out for ``neurons`` neurons."""

    def build() -> KernelPopulation:
        constant = np.ascontiguousarray(population.constant.expand(neurons).numpy())
        pitch = np.ascontiguousarray(population.pitch.expand(neurons).numpy())
        step, zero = np.float32(population.step), np.float32(population.zero)
        return KernelPopulation(kernel_code(population.code, neurons), pitch, step, zero, constant)

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
    return prepared(block, "joined", lambda: _join(parts), parts)


def _join(parts: tuple[Connection, ...]) -> Connection:
    whole = Connection(parts[0].weights.shape[1], sum(len(part.bias) for part in parts), parts[0].kind)
    for name in ("weights", "offset", "scale", "bias"):
        getattr(whole, name).copy_(torch.cat([getattr(part, name) for part in parts]))
    return whole
