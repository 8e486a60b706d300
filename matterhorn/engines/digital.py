"""The digital steps of every engine: kernels that give the bits of the definitions in :mod:`matterhorn.nn.digital`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.spiking import Coder, Connection, Firing, Head, Norm, Population, Store
from ..nn import QuantisedEmbeddings
from ..nn.digital import FRACTION, fixed_point
from .kernels import steps
from .prepare import kernel_population, prepared, thresholds_of


def embed(table: QuantisedEmbeddings, tokens: Tensor, places: Tensor, types: Tensor) -> Tensor:
    """Token numbers, positions and types, int64 ``[N]`` → residual stream float32 ``[N, width]``."""
    tables, scales = (tuple(getattr(table, name + part).numpy() for name in table.TABLES) for part in ("", "_scale"))
    gain, shift = (x.detach().numpy() for x in (table.norm.weight, table.norm.bias))
    out = np.empty((len(tokens), tables[0].shape[1]), np.float32)
    numbers = [_within(x, own) for x, own in zip((tokens, places, types), tables, strict=True)]
    _numbers(steps.embed(tables, scales, *numbers, gain, shift, table.norm.eps, out))
    return torch.from_numpy(out)


def quantise(x: Tensor, population: Coder) -> Tensor:
    """Real values ``[rows, n]`` → levels uint8, as :meth:`Coder.levels`."""
    levels = np.empty(x.shape, np.uint8)
    own = kernel_population(population, x.shape[-1])
    _numbers(steps.quantise(x.numpy(), own.step, own.zero, own.code.top, levels))
    return torch.from_numpy(levels)


def reach(potentials: Tensor, population: Firing, left: int = 0, columns: int | None = None) -> Tensor:
    """Integer potentials, the columns from ``left`` on → levels uint8 ``[rows, columns]``, as :meth:`Firing.levels`."""
    columns = potentials.shape[1] if columns is None else columns
    levels = np.empty((len(potentials), columns), np.uint8)
    steps.reach(_rows(potentials), left, thresholds_of(population, columns), levels)
    return torch.from_numpy(levels)


def store(potentials: Tensor, stored: Store, left: int, columns: int) -> Tensor:
    """Integer potentials, the columns from ``left`` on → int8 ``[rows, columns]``, as :meth:`Store.operand`."""
    levels = np.empty((len(potentials), columns), np.uint8)
    steps.reach(_rows(potentials), left, thresholds_of(stored, columns), levels)
    operand = levels.view(np.int8)
    return torch.from_numpy(2 * operand - 1 if stored.bits == 1 else operand - np.int8(2 ** (stored.bits - 1)))


def encode(levels: Tensor, population: Population) -> Tensor:
    """Levels uint8 ``[rows, n]`` → slots uint8, as :func:`matterhorn.coding.encode`."""
    slots = np.empty(levels.shape, np.uint8)
    code = kernel_population(population, levels.shape[1]).code
    steps.encode(levels.numpy(), code.silent, code.dead_zone, code.top, slots)
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
    weights = prepared(linear, "float64", lambda: linear.weights.to(torch.float64).T.contiguous())
    return ((fixed_point(x) @ weights) / FRACTION).to(torch.float32) * linear.scale + linear.bias


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

