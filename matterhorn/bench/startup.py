"""Start-up: ``matterhorn run`` from shell to answer, and what of it is ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .rows import Row

IMPORTS = "import torch, transformers"
RUN = "import sys; sys.argv = ['matterhorn', 'run']; from matterhorn.cli import main; main()"


@dataclass(frozen=True)
class _Spent:
    """Seconds of one process: on the clock, and of the processor."""

    wall: float
    cpu: float


def startup_rows(times: int, *, first: bool) -> list[Row]:
    """Importing torch and transformers, and a run with nothing given, in turn, each in a process of its own.

    ``ours s`` is what the run takes beyond the imports (medians), ``ours cpu s`` the same in seconds of the processor,
    which a busy machine stretches less. ``first``: once more with no kernel compiled and nothing measured.
    """
    spent: dict[str, list[_Spent]] = {"imports": [], "run": []}
    for _ in range(times):
        spent["imports"].append(_process(IMPORTS))
        spent["run"].append(_process(RUN))
    if first:
        with tempfile.TemporaryDirectory() as empty:
            folders = {"NUMBA_CACHE_DIR": str(Path(empty) / "numba"), "XDG_CACHE_HOME": empty, "LOCALAPPDATA": empty}
            spent["run, not warmed up"] = [_process(RUN, **folders)]
    base = spent["imports"]
    return [_row(name, values, base) for name, values in spent.items()]


def _row(name: str, values: list[_Spent], base: list[_Spent]) -> Row:
    low, middle, high = np.percentile([v.wall for v in values], [25, 50, 75])
    cpu = float(np.median([v.cpu for v in values]))
    extra = {"cpu s": cpu}
    if values is not base:
        extra |= {"ours s": float(middle - np.median([v.wall for v in base]))}
        extra |= {"ours cpu s": cpu - float(np.median([v.cpu for v in base]))}
    return Row("start-up", name, {}, None, float(middle), float(high - low), 1, {}, extra)


def _process(program: str, **environment: str) -> _Spent:
    before, start = os.times(), time.perf_counter()
    known = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    subprocess.run([sys.executable, "-c", program], env=known, check=True, stdout=subprocess.DEVNULL)
    after, wall = os.times(), time.perf_counter() - start
    user, system = (after[i] - before[i] for i in (2, 3))
    return _Spent(wall, user + system)
