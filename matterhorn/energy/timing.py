"""Latency: blocks one after the other, tokens streaming through a block's stages. Seconds."""

from __future__ import annotations

from collections.abc import Sequence

from ..trace import Trace
from .activity import Activity
from .chip import Chip
from .mapping import Mapping

STAGES = 6
"""Windows that a token needs through one block: projections, scores, context, output, FFN-1, FFN-2."""


def window(activities: Sequence[Activity], chip: Chip, mapping: Mapping) -> float:
    """Longest window of any connection, s: its slots, or on a digital array one cycle per arriving row if longer."""
    return max(_window(a, chip, mapping) for a in activities)


def _window(a: Activity, chip: Chip, mapping: Mapping) -> float:
    if mapping.hardware == "msu" and not a.dynamic:
        assert chip.msu is not None
        return max(a.steps, 2**a.level_bits - 1) * chip.msu.slot.si
    groups = mapping.groups[a.name].row_groups if a.name in mapping.groups else 1
    rows = a.events / a.vectors / groups if a.vectors else 0.0
    return max(a.steps, rows) * chip.logic.cycle.si


def latency(activities: Sequence[Activity], trace: Trace, chip: Chip, mapping: Mapping) -> float:
    """All sequences, one after the other, s.

    A block of n tokens takes 2n + stages − 2 windows: n to stream in, n more since scores wait for the last key.
    """
    layers = len({a.block for a in activities})
    windows = sum(count * layers * (2 * length + STAGES - 2) for length, count in trace.lengths.items())
    return windows * window(activities, chip, mapping)
