"""Event-driven products for training on a CPU: the forward product, and the gradient of the weights.

With nine out of ten windows silent, they take half the time of dense products, or less. The third product of a training
step, the gradient of the levels, is dense, since silent levels have a gradient too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..kernels.lanes import LANES, SCAN
from ..kernels.sparse import MOST_LISTED, EventLists, add_up, count_by_neuron, count_events, list_events, turn_lists

WORTHWHILE = 0.25
"""Share of windows with events above which a dense product is at least as fast (docs/training.json)."""


class EventProduct(Function):
    """Product of levels ``[n, in]`` with weights ``[out, in]`` in float32, with work proportional to the events.

    The contribution of silence, ``weights @ silent``, is the same for all rows. Levels are multiples of ⅛ and weights
    are integers, so that sums are exact in any order and bit-identical to those of the dense product.
    """

    @staticmethod
    def forward(ctx: Any, levels: Tensor, weights: Tensor, silent: Tensor) -> Tensor:
        """Sums ``[n, out]``; ``silent [in]``: what silence is read as."""
        ctx.lists = listed(levels, silent)
        ctx.save_for_backward(weights, silent, levels if ctx.lists is None else None)
        if ctx.lists is None:
            return F.linear(levels, weights)
        return added(weights.t(), weights @ silent, ctx.lists)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Gradients of levels and weights."""
        weights, silent, levels = ctx.saved_tensors
        if levels is not None:
            return grad @ weights, grad.t() @ levels, None
        by_neuron = added(grad, grad.sum(0), turned(ctx.lists, silent))
        return grad @ weights, by_neuron.t().contiguous(), None


def event_product(silent: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function that multiplies levels ``[..., in]`` with weights ``[out, in]`` in training.

    Where the kernels do not apply, the product is dense. ``silent``: what silence is read as, ``[in]`` or ``[1]``.
    """

    def product(levels: Tensor, weights: Tensor) -> Tensor:
        if not _kernels_apply(levels, weights):
            return F.linear(levels, weights)
        rows = levels.reshape(-1, levels.shape[-1])
        own = silent.to(rows.dtype).expand(rows.shape[1])
        sums: Tensor = EventProduct.apply(rows, weights, own)  # type: ignore[no-untyped-call]
        return sums.reshape(*levels.shape[:-1], len(weights))

    return product


def _kernels_apply(levels: Tensor, weights: Tensor) -> bool:
    """Whether the kernels can multiply these: on a CPU, in float32, in whole vectors of neurons, not too many rows."""
    fan_out, fan_in = weights.shape
    plain = levels.device.type == "cpu" and levels.dtype == weights.dtype == torch.float32
    return plain and fan_out % LANES == fan_in % SCAN == 0 and max(fan_in, levels.numel() // fan_in) < MOST_LISTED


def listed(levels: Tensor, silent: Tensor) -> EventLists | None:
    """List the events of each row of levels ``[n, in]``. None: so many that a dense product is faster."""
    rows, quiet = _array(levels), _array(silent)
    counts = np.empty(len(rows), np.int64)
    _in_threads(partial(count_events, rows, quiet, counts), np.arange(len(rows) + 1))
    if counts.sum() > WORTHWHILE * rows.size:
        return None
    lists = EventLists.room_for(counts)
    _in_threads(partial(list_events, rows, quiet, lists), lists.bounds)
    return lists


def turned(lists: EventLists, silent: Tensor) -> EventLists:
    """List the same events by neuron."""
    counts = np.zeros(len(silent), np.int64)
    count_by_neuron(lists, counts)
    by_neuron = EventLists.room_for(counts)
    turn_lists(lists, _array(silent), by_neuron, by_neuron.bounds[:-1].copy())
    return by_neuron


def added(matrix: Tensor, silence: Tensor, lists: EventLists) -> Tensor:
    """For each list, add up the rows of a matrix that it names, times the sizes of its events.

    Args:
        matrix: ``[rows, columns]``.
        silence: one more row, ``[columns]``, which silence names.
        lists: n lists of row numbers.

    Returns:
        Sums ``[n, columns]``.
    """
    rows, columns = matrix.shape
    panels = torch.empty(columns // LANES, rows + 1, LANES)
    panels[:, :rows] = matrix.reshape(rows, -1, LANES).transpose(0, 1)
    panels[:, rows] = silence.reshape(-1, LANES)
    sums = torch.empty(len(lists.bounds) - 1, columns)
    _in_threads(partial(add_up, panels.numpy(), lists, sums.numpy()), lists.bounds)
    return sums


def _in_threads(task: Callable[[int, int], object], bounds: NDArray[np.int64]) -> None:
    """Run a task for all rows, divided evenly among as many threads as torch uses.

    Args:
        task: called with the first row of a part and the row after its last.
        bounds: amount of work before each row, rising, ``[n + 1]``.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        task(0, len(bounds) - 1)
        return
    ends = np.searchsorted(bounds, np.linspace(0, bounds[-1], threads + 1)[1:-1]).tolist()
    list(_pool(threads).map(task, [0, *ends], [*ends, len(bounds) - 1]))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of threads. It is kept, since starting threads takes as long as a product."""
    return ThreadPoolExecutor(threads)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().contiguous().numpy()
    return array
