"""Fair timing. Contestants take turns, so that a slowdown of the machine affects all of them. Results are rows."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import __version__

Input = TypeVar("Input")
Run = Callable[[], object]

Contestant = Callable[[Input], Run]
"""Takes an input in a form of its own; what it gives back is timed."""

LEAST, FEWEST_ROUNDS = 9, 3
"""Rounds that are measured where they take no longer than :data:`PATIENCE` times what was to be spent, and in any
case."""

PATIENCE = 40

PERCENTILE_CALLS = 100
"""From so many calls on there is a 99th percentile."""


def interleave(
    contestants: Mapping[str, Contestant[Input]],
    inputs: Iterable[Input],
    *,
    seconds: float,
    most: int = PERCENTILE_CALLS,
    pause: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of each call of contestants that run in turn, forwards and backwards, after a round that warms up.

    Args:
        inputs: one for each call; where all differ, nobody profits from having seen its own.
        seconds: to spend, about; :data:`LEAST` rounds may take longer (see there). No more than ``most`` rounds.
        pause: seconds before each call, in which another's idle threads come to rest.
    """
    given, taken = iter(inputs), {name: list[float]() for name in contestants}
    began = 0.0
    for turn in range(-1, most):
        if turn == 0:
            began = time.perf_counter()
        if turn >= FEWEST_ROUNDS and time.perf_counter() - began > seconds * (1 if turn >= LEAST else PATIENCE):
            break
        for name in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            run = contestants[name](next(given))
            time.sleep(pause)
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in taken.items()}


BENCH_FORMAT = 3
"""Of the JSON document; 2: contestants, quiet shares, no input twice. 3: 99th percentiles, settings of contestants."""


@dataclass(frozen=True)
class Row:
    """One contestant at one task.

    Attributes:
        what: the task (:data:`.suite.PARTS`). contestant: who ran it, one of our backends by its name.
        shape: sizes by name. threads: that it ran on.
        median_s, iqr_s, p99_s: seconds of one call, over so many ``calls``; the 99th percentile from
            :data:`PERCENTILE_CALLS` on.
        silent_share, quiet_share: of what came in (None where there are no events).
        ratio_to: for each other contestant, how many times as fast this one is (the other's median / own).
        extra: other figures, by name with unit.
    """

    what: str
    contestant: str
    shape: Mapping[str, int | str]
    threads: int = 1
    median_s: float | None = None
    iqr_s: float | None = None
    p99_s: float | None = None
    calls: int = 0
    silent_share: float | None = None
    quiet_share: float | None = None
    ratio_to: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)


def rows_of(what: str, shape: Mapping[str, int | str], times: Mapping[str, Sequence[float]], **more: Any) -> list[Row]:
    """A row for each contestant of a task, of the seconds of its calls. ``more``: fields that are the same in all."""
    rows, medians = [], {name: float(np.median(own)) for name, own in times.items()}
    for name, own in times.items():
        more |= {"median_s": medians[name], "iqr_s": float(np.subtract(*np.percentile(own, [75, 25])))}
        more |= {"p99_s": float(np.percentile(own, 99)) if len(own) >= PERCENTILE_CALLS else None}
        more |= {"ratio_to": {other: medians[other] / medians[name] for other in times if other != name}}
        rows.append(Row(what, name, shape, calls=len(own), **more))
    return rows


def as_json(
    program: str, threads: Sequence[int], rows: Sequence[Row], settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The document of a run. ``program``: hash of the one that was measured. ``settings``: of contestants, by name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    measured = ("torch", "transformers", "onnxruntime", "openvino", "nncf")
    return {
        "format": BENCH_FORMAT,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "versions": {"matterhorn-snn": __version__} | {name: version(name) for name in measured if find_spec(name)},
        "program": program,
        "threads": list(threads),
        "settings": dict(settings or {}),
        "rows": [asdict(row) for row in rows],
    }
