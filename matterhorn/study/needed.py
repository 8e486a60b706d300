"""The device one needs: how far a property may go before it costs too much."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal


def needed(
    values: list[float], losses: list[float], allowed: float, scale: Literal["linear", "log"] = "linear"
) -> dict[str, Any]:
    """Where the loss first passes ``allowed``, interpolated on a straight line between the tried values around it.

    Args:
        values: tried ones, from the least harmful on. losses: of each, in the unit of ``allowed``.
        scale: whether the line is straight in the value or in its logarithm.

    Returns:
        ``value`` (None where even the first one costs too much) and ``how``: ``interpolated``, ``beyond`` (even the
        last value costs less: the limit lies further) or ``none``.
    """
    if losses[0] >= allowed:
        return {"value": None, "how": "none"}
    for (value, loss), (further, worse) in pairwise(zip(values, losses, strict=True)):
        if worse >= allowed:
            share = (allowed - loss) / (worse - loss)
            if scale == "linear":
                return {"value": value + share * (further - value), "how": "interpolated"}
            return {"value": math.exp(math.log(value) + share * math.log(further / value)), "how": "interpolated"}
    return {"value": values[-1], "how": "beyond"}
