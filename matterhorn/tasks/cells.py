"""The content of a label cell: a name, a number, a list of them, or nothing."""

from __future__ import annotations

import ast
import math
from typing import Any

MISSING = ("", "nan")
"""Texts that stand for no label."""


def cell(value: Any) -> Any:
    """A cell's value: a string without blanks around it, a number, a list of these, or None for nothing. Lists that are
    written out (``["a", "b"]``, as spreadsheets keep them) and NumPy's numbers are made Python's."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, str):
        value = value.strip()
        return None if value.casefold() in MISSING else _written_list(value) if value[0] == "[" else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return [cell(one) for one in value] if isinstance(value, (list, tuple)) else value


def _written_list(text: str) -> Any:
    try:
        return [cell(one) for one in ast.literal_eval(text)]
    except (ValueError, SyntaxError, TypeError):
        return text


def spelling(value: Any) -> str:
    """How a label's name is written: of whole numbers, "2" for 2.0 too (as tables with gaps keep them)."""
    number = None if isinstance(value, bool) else as_number(value)
    if number is not None and number.is_integer() and (not isinstance(value, str) or "." in value):
        return str(int(number))
    return str(value)


def as_number(value: Any) -> float | None:
    """A finite number, also one that is written as text; else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_flag(value: Any) -> bool | None:
    """0 or 1, false or true; else None."""
    number = as_number({"false": 0, "true": 1}.get(value.casefold(), value) if isinstance(value, str) else value)
    return bool(number) if number in (0, 1) else None
