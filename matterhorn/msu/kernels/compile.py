"""How the kernels of arrays are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator: compiled on first use, kept on disk, without the interpreter's lock; a · b + c may be rounded once."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
