"""Read files. All input goes through this subpackage, with limits on size and a one-line error for any problem."""

from __future__ import annotations

from .arrays import LARGEST_ARRAYS, Arrays, parse_arrays, parse_npz, read_arrays, read_npy
from .documents import (
    Exact,
    Model,
    Name,
    Strict,
    parse_json,
    parse_mapping,
    read_bytes,
    read_json,
    read_mapping,
    read_packed_json,
    read_text,
    read_yaml,
    unpacked,
    validated,
    whole,
)

__all__ = [
    "LARGEST_ARRAYS",
    "Arrays",
    "Exact",
    "Model",
    "Name",
    "Strict",
    "parse_arrays",
    "parse_json",
    "parse_mapping",
    "parse_npz",
    "read_arrays",
    "read_bytes",
    "read_json",
    "read_mapping",
    "read_npy",
    "read_packed_json",
    "read_text",
    "read_yaml",
    "unpacked",
    "validated",
    "whole",
]
