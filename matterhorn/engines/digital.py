"""The digital steps of every engine: kernels that give the bits of the definitions in :mod:`matterhorn.nn.digital`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.spiking import Coder, Connection, Firing, Head, Norm, Store
from ..nn import QuantisedEmbeddings
from .kernels import steps
from .prepare import kernel_population, thresholds_of


def embed(table: QuantisedEmbeddings, tokens: Tensor, places: Tensor, types: Tensor) -> Tensor:
    """Token numbers, positions and types, int64 ``[N]`` → residual stream float32 ``[N, width]``."""
    tables, scales = (tuple(getattr(table, name + part).numpy() for name in table.TABLES) for part in ("", "_scale"))
    gain, shift = (x.detach().numpy() for x in (table.norm.weight, table.norm.bias))
    out = np.empty((len(tokens), tables[0].shape[1]), np.float32)
    numbers = [_within(x, own) for x, own in zip((tokens, places, types), tables, strict=True)]
    _numbers(steps.embed(tables, scales, *numbers, gain, shift, table.norm.eps, out))
    return torch.from_numpy(out)


def code(x: Tensor, population: Coder) -> tuple[Tensor, Tensor]:
    """Real values ``[rows, n]`` → levels as :meth:`Coder.levels`, slots as :func:`matterhorn.coding.encode`."""
    levels, slots = np.empty(x.shape, np.uint8), np.empty(x.shape, np.uint8)
    own = kernel_population(population, x.shape[-1])
    known = own.code
    silent, k = known.silent, known.dead_zone
    _numbers(steps.code(x.numpy(), own.pitch, own.zero, silent, k, known.top, levels, slots))
    return torch.from_numpy(levels), torch.from_numpy(slots)


def reach(potentials: Tensor, population: Firing) -> Tensor:
    """Integer potentials ``[rows, n]`` → levels uint8, as :meth:`Firing.levels`."""
    levels = np.empty(potentials.shape, np.uint8)
    steps.reach(_rows(potentials), 0, thresholds_of(population, potentials.shape[1]), levels)
    return torch.from_numpy(levels)


def store(potentials: Tensor, stored: Store, left: int, columns: int) -> Tensor:
    """Integer potentials, the columns from ``left`` on → int8 ``[rows, columns]``, as :meth:`Store.operand`."""
    levels = np.empty((len(potentials), columns), np.uint8)
    steps.reach(_rows(potentials), left, thresholds_of(stored, columns), levels)
    operand = levels.view(np.int8)
    return torch.from_numpy(2 * operand - 1 if stored.bits == 1 else operand - np.int8(2 ** (stored.bits - 1)))


def fire(potentials: Tensor, population: Firing) -> Tensor:
    """Integer potentials ``[rows, n]`` → slots, as encoding :meth:`Firing.levels`."""
    levels, slots = np.empty(potentials.shape, np.uint8), np.empty(potentials.shape, np.uint8)
    columns = potentials.shape[1]
    known, thresholds = kernel_population(population, columns).code, thresholds_of(population, columns)
    steps.fire(_rows(potentials), 0, thresholds, known.silent, known.dead_zone, known.top, levels, slots)
    return torch.from_numpy(slots)


def settle(
    potentials: Tensor, connection: Connection, residual: Tensor, norm: Norm, eps: float, *, shift: bool
) -> Tensor:
    """Potentials int32 ``[rows, n]`` read out, added to the residual stream, normalised. float32 ``[rows, n]``."""
    out = np.empty(residual.shape, np.float32)
    scale, bias = connection.scale.numpy(), connection.bias.numpy()
    gain, shift_by = norm.weight.numpy(), norm.bias.numpy()
    _numbers(steps.settle(_rows(potentials), scale, bias, residual.numpy(), gain, shift_by, eps, shift, out))
    return torch.from_numpy(out)


def head(x: Tensor, linear: Head) -> Tensor:
    """8-bit weights on fixed-point inputs, summed exactly: ``[rows, in] → float32 [rows, out]``."""
    out = np.empty((len(x), len(linear.bias)), np.float32)
    _numbers(steps.head(x.numpy(), linear.weights.numpy(), linear.scale.numpy(), linear.bias.numpy(), out))
    return torch.from_numpy(out)


def pooled(x: Tensor, pooler: Head, classifier: Head) -> Tensor:
    """First tokens ``[batch, width]`` → logits ``[batch, labels]``."""
    return head(F.hardtanh(head(x, pooler)), classifier)


def _rows(potentials: Tensor) -> np.ndarray:
    return potentials.contiguous().numpy()


def _within(numbers: Tensor, table: np.ndarray) -> np.ndarray:
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(table):
        raise IndexError(f"a number outside a table of {len(table)} rows")
    return numbers.contiguous().numpy()


def _numbers(real: bool) -> None:
    if not real:
        raise ValueError("a digital step met a value that is no number (the checkpoint's scales or steps are damaged)")
