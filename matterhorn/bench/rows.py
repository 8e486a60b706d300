"""One measurement, and a run's worth of them as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from .clock import Timing
from .machine import Machine


@dataclass(frozen=True)
class Row:
    """One contestant at one task.

    Attributes:
        what: the task (``network``, ``connection``, ``layer``, ``training step``, ``memory``, ``start-up`` …).
        engine: who ran it.
        shape: sizes by name. silent_share: of the events that came in (None where there are none).
        median_s, iqr_s: seconds of one call. threads: that it ran on.
        ratio_to: for each baseline of the same task, how many times faster this is (baseline's median / own).
        extra: other figures, by name with unit.
    """

    what: str
    engine: str
    shape: dict[str, int | str]
    silent_share: float | None
    median_s: float | None
    iqr_s: float | None
    threads: int
    ratio_to: dict[str, float] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)


def rows_of(
    what: str,
    shape: Mapping[str, int | str],
    timings: Mapping[str, Timing],
    *,
    baselines: Iterable[str],
    threads: int,
    silent_share: float | None = None,
    extra: Mapping[str, dict[str, float]] = MappingProxyType({}),
) -> list[Row]:
    """A row for each contestant, with its ratios to the baselines that took part; ``extra`` by contestant."""
    rivals = [name for name in baselines if name in timings]
    return [
        Row(
            what,
            name,
            dict(shape),
            silent_share,
            timing.median_s,
            timing.iqr_s,
            threads,
            {rival: timings[rival].median_s / timing.median_s for rival in rivals if rival != name},
            extra.get(name, {}),
        )
        for name, timing in timings.items()
    ]


def as_json(machine: Machine, threads: list[int], rows: list[Row]) -> dict[str, Any]:
    """``{machine, threads, rows}`` for the file and for machines."""
    return {"machine": asdict(machine), "threads": threads, "rows": [asdict(row) for row in rows]}
