"""Options of :func:`matterhorn.quantize` that a recipe may set for its student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..models.quantize import unknown_option
from ..program import Config

FORMATS = ("weights", "activation_bits", "kv_bits", "dead_zones", "silence_per", "levels_per", "activation", "digital")
"""Number formats. The dead zone is a setting of the phases."""

OPTIONS = (*FORMATS, "blocks")


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """Check a recipe's options and return them unchanged.

    Raises:
        InputError: there is no such option, or its value is not possible with any teacher.
    """
    for name in options:
        if name not in OPTIONS:
            raise unknown_option(name, OPTIONS)
    blocks = options.get("blocks")
    if blocks is not None and not (isinstance(blocks, list) and all(type(number) is int for number in blocks)):
        raise InputError(f"{blocks!r}", field="blocks", cure="give a list of block numbers, e.g. [0, 1, 4, 5]")
    formats_of(options)
    return options


def formats_of(options: Mapping[str, Any], dead_zone: int = 0) -> Config:
    """Return the number formats among a student's options, with a dead zone.

    Raises:
        InputError: a value is not possible.
    """
    return Config(**{name: value for name, value in options.items() if name in FORMATS}, dead_zone=dead_zone)
