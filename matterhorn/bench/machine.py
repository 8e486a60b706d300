"""The machine that was measured, and the limits it sets: operations per second, bytes per second."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Machine:
    """Processor, versions, load at the start, and rates measured on one thread (10⁹ per second)."""

    processor: str
    cores: int
    load: float
    date: str
    torch: str
    fp32_gmacs: float
    int8_gmacs: float
    copy_gbytes: float


def this_machine() -> Machine:
    """Look around and measure, about a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    size = 1024
    square = torch.rand(size, size)
    small = (square * 10).to(torch.int8)
    block = torch.zeros(1 << 24)
    other = torch.empty_like(block)
    fp32 = size**3 / _fastest(lambda: square @ square) / 1e9
    int8 = size**3 / _fastest(lambda: torch._int_mm(small, small)) / 1e9
    copy = 2 * block.numel() * 4 / _fastest(lambda: other.copy_(block)) / 1e9
    torch.set_num_threads(threads)
    return Machine(_processor(), os.cpu_count() or 1, _load(), _today(), torch.__version__, fp32, int8, copy)


def _fastest(run: Callable[[], object], times: int = 7) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
