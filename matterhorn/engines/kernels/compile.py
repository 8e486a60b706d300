"""How every kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator: compiled on first use, kept on disk, without the interpreter's lock, with IEEE division."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
