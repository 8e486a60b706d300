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
"""Prepares an input in its own form, which is not timed, and returns the call to time."""

FEWEST_ROUNDS = 3
"""Rounds that are always measured."""

LEAST, PATIENCE = 9, 40
"""Rounds that are measured unless they take more than PATIENCE times the planned time."""

PERCENTILE_CALLS = 100
"""Minimum number of calls for a 99th percentile."""


def interleave(
    contestants: Mapping[str, Contestant[Input]],
    inputs: Iterable[Input],
    *,
    seconds: float,
    most: int = PERCENTILE_CALLS,
    pause: float = 0.0,
) -> dict[str, list[float]]:
    """Run contestants in turn, and return the seconds of each call by contestant.

    In each round, every contestant runs once; the order is reversed from round to round. A first round warms up and is
    not counted.

    Args:
        contestants: by name.
        inputs: one for each call. If all differ, no contestant profits from having seen its input before.
        seconds: approximate time to spend. :data:`LEAST` rounds may take longer.
        most: maximum number of rounds.
        pause: seconds to wait before each call, so that idle threads of the contestant before come to rest.
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
"""Version of the JSON document. Version 2 added contestants and quiet shares, and uses no input twice. Version 3 added
99th percentiles and the contestants' settings."""


@dataclass(frozen=True)
class Row:
    """Result of one contestant in one task.

    Attributes:
        what: the task, one of :data:`.suite.PARTS`, or ``stages``.
        contestant: name of the contestant; our backends have their own names.
        shape: sizes by name.
        threads: number of threads.
        median_s, iqr_s, p99_s: seconds of one call: median, interquartile range and 99th percentile. The last is None
            below :data:`PERCENTILE_CALLS` calls.
        calls: number of calls that were measured.
        silent_share, quiet_share: shares of the input; None if it has no events.
        ratio_to: for each other contestant, its median divided by this one's, i.e. how many times as fast this one is.
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
    """Make a row for each contestant of a task.

    Args:
        times: seconds of each call, by contestant.
        more: fields that are the same in all rows.
    """
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
    """Make the JSON document of a run.

    Args:
        program: hash of the program that was measured.
        settings: how each contestant was made, by name.
    """
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
