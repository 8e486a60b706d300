"""The time that each stage of a block takes, in ticks of the processor's counter.

Kernels contain the code that counts only if they are compiled for a buffer of counts; it is absent for None.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array

from .compile import kernel
from .lanes import I64, instruction

STAGES = ("levels", "events", "sums", "thresholds", "scores", "weights", "contexts", "norms")
"""Stages of a block.

- ``levels``: real values → levels and slots.
- ``events``: slots → groups with spikes, and their tables of sums.
- ``sums``: look-ups by weight → potentials.
- ``thresholds``: potentials → levels and slots, or keys and values.
- ``scores``: queries · keys.
- ``weights``: scores → weights of the softmax.
- ``contexts``: weights → levels of the probabilities → contexts.
- ``norms``: potentials → the residual stream.
"""

LEVELS, EVENTS, SUMS, THRESHOLDS, SCORES, WEIGHTS, CONTEXTS, NORMS = range(len(STAGES))


def _ticks(builder: Any) -> Any:
    kind = ir.FunctionType(I64, [])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])


@instruction
def now(typingctx: Any, spent: Any) -> Any:
    """Return the processor's counter, or 0 if ``spent`` is None."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(I64, 0) if isinstance(spent, types.NoneType) else _ticks(builder)

    return types.int64(spent), generate


@instruction
def note(typingctx: Any, spent: Any, stage: Any, began: Any) -> Any:
    """Add the ticks since ``began`` to ``spent[stage]`` (int64 ``[stages]``), and return :func:`now`.

    If ``spent`` is None, do nothing.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if isinstance(spent, types.NoneType):
            return ir.Constant(I64, 0)
        ticks = _ticks(builder)
        place = builder.gep(make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        builder.store(builder.add(builder.load(place), builder.sub(ticks, args[2])), place)
        return ticks

    return types.int64(spent, types.intp, types.int64), generate


@kernel
def ticks_now(spent):
    """Return :func:`now` to callers that are not compiled."""
    return now(spent)
