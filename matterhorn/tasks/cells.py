"""The content of a label cell: a name, a number, a list of them, or nothing."""

from __future__ import annotations

import ast
import math
from typing import Any

from ..errors import InputError

MISSING = ("", "nan")
"""Texts that stand for a missing label, in lower case."""


def cell(value: Any) -> Any:
    """Return a cell's value: a stripped string, a number, a list of these, or None for nothing.

    Lists that are written as text (``["a", "b"]``, as spreadsheets store them) and NumPy numbers become Python's.

    Raises:
        InputError: the cell is binary.
    """
    if isinstance(value, bytes):
        raise InputError("binary", cure="store the column as text")
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
    """Return the text of a label. Whole numbers lose their decimals: 2.0 becomes "2".

    (Libraries store integer columns with missing values as floats.)
    """
    number = None if isinstance(value, (bool, int)) else as_number(value)
    if number is not None and number.is_integer() and (not isinstance(value, str) or "." in value):
        return str(int(number))
    return str(value)


def as_number(value: Any) -> float | None:
    """Return a finite number, also from text; else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_flag(value: Any) -> bool | None:
    """Return False or True for 0, 1, false or true, also from text; else None."""
    number = as_number({"false": 0, "true": 1}.get(value.casefold(), value) if isinstance(value, str) else value)
    return bool(number) if number in (0, 1) else None
