"""Measurements that need a process of their own: peak memory, and time from the shell to the first answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..program import Config, load
from ..program.files import find, read_config
from ..program.text import pad
from ..runtime import Engine
from .clock import Contestant, Row, Run, interleave, rows_of

SEQUENCES, LENGTH = 32, 128
"""Number of sequences in the batch whose memory is measured, and tokens of each."""


def memory_rows(model: str) -> Iterator[Row]:
    """Measure the peak memory of a process that loads a network and runs one batch, and of its libraries alone, MB."""
    for name in ("hf-fp32", "exact", "events"):
        figures = json.loads(_alone("-m", __name__, model, name))
        yield Row("memory", name, {"batch": SEQUENCES, "tokens": SEQUENCES * LENGTH}, extra=figures)


def start_up_rows(model: str, seconds: float) -> Iterator[Row]:
    """Measure the time from the shell to the answer for one text, and the time to import torch and transformers."""

    def started(*command: str) -> Run:
        return lambda: _alone(*command)

    contestants: dict[str, Contestant[str]] = {
        "import torch, transformers": lambda text: started("-c", "import torch, transformers"),
        "matterhorn run": lambda text: started("-m", "matterhorn", "run", "--model", model, text),
    }
    texts = (f"Film number {number} is as fine as any." for number in range(1, 100))
    yield from rows_of("start-up", {}, interleave(contestants, texts, seconds=seconds, most=9))


def _alone(*command: str) -> str:
    known = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command], env=known, check=True, capture_output=True, text=True).stdout


def _peak(model: str, contestant: str) -> dict[str, float]:
    """Run one batch in this process, and return its peak memory and that before the network was loaded."""
    config = Config(**read_config(find(model))["network"])
    batch = pad([[number % config.vocab_size for number in range(LENGTH)]] * SEQUENCES, [[0] * LENGTH] * SEQUENCES, 0)
    if contestant == "hf-fp32":
        from . import opponents

        before = _high_water()
        opponents.classifier(opponents.bert(config))(batch)()
    else:
        before = _high_water()
        Engine(load(model), contestant, threads=1)(**batch)
    return {"peak MB": _high_water(), "libraries MB": before} if before else {}


def _high_water() -> float:
    """Peak resident memory of this process in MB, or 0 if unknown. (``getrusage`` would include the parent's.)"""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    print(json.dumps(_peak(sys.argv[1], sys.argv[2])))
