"""What a connection costs either way: a model of three rates, measured once on the machine and kept."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path

from ..coding import SILENT, Code
from ..errors import InputError
from ..models.spiking import Connection


@dataclass(frozen=True)
class Costs:
    """Nanoseconds: of a product in the dense int8 product; of starting one, beyond starting the event kernel; of a
    row's word of output, and of adding a word of packed weights, in the event kernel; of listing an event."""

    product: float = 0.006
    start: float = 15_000.0
    row: float = 15.0
    word: float = 0.6
    event: float = 4.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1e9:
                raise InputError(f"{value!r} ns", field=name, cure="delete the file: it is measured anew")

    def dense(self, rows: int, fan_in: int, fan_out: int) -> float:
        """Expected time of the dense product, ns."""
        return self.start + self.product * rows * fan_in * fan_out

    def sparse(self, rows: int, events: int, words: int) -> float:
        """Expected time of the event kernel, ns; ``words`` of packed weights per event."""
        return self.row * rows * words + events * (self.event + self.word * words)


def machine_costs() -> Costs:
    """This machine's costs: from the cache, else measured; the defaults where the cache cannot be used."""
    path = cache_file()
    try:
        return Costs(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        costs = measure()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(asdict(costs)), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        return costs
    return costs


def cache_file() -> Path:
    """Where the measured costs are kept."""
    return user_cache_path("matterhorn", appauthor=False) / f"costs-{platform.machine() or 'any'}.json"


def measure() -> Costs:
    """Time both ways at two sizes each and solve for the rates. One thread, some tens of milliseconds."""
    from .events import integrate_events
    from .exact import ExactEngine

    exact, code, threads = ExactEngine(), Code(4, torch.tensor(8)), torch.get_num_threads()
    torch.set_num_threads(1)
    small, narrow, wide = _connection(64, 64), _connection(384, 64), _connection(384, 768)
    try:
        rows, thin, busy = 128, _slots(128, 384, 0.0), _slots(128, 384, 0.25)
        tiny = _slots(1, 64, 0.0)
        call = _nanoseconds(lambda: integrate_events(tiny, code, small))
        start = max(0.0, _nanoseconds(lambda: exact.integrate(tiny, code, small)) - call)
        dense = _nanoseconds(lambda: exact.integrate(thin, code, wide))
        bare = _nanoseconds(lambda: integrate_events(thin, code, wide))
        many = _nanoseconds(lambda: integrate_events(busy, code, wide))
        few = _nanoseconds(lambda: integrate_events(busy, code, narrow))
    finally:
        torch.set_num_threads(threads)
    dense, bare, many, few = (time - call for time in (dense, bare, many, few))
    events, row = int((busy != SILENT).sum()), max(0.1, bare / (rows * 12))
    word = max(0.05, (many - few - row * rows * 11) / (events * 11))
    event = max(0.1, (few - row * rows) / events - word)
    return Costs(max(1e-4, (dense - start) / (rows * 384 * 768)), start, row, word, event)


def _connection(fan_in: int, fan_out: int) -> Connection:
    connection = Connection(fan_in, fan_out, "1")
    draw = torch.Generator().manual_seed(0)
    connection.weights.copy_(torch.randint(0, 2, (fan_out, fan_in), generator=draw) * 2 - 1)
    return connection


def _slots(rows: int, neurons: int, share: float) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    slots = torch.randint(1, 5, (rows, neurons), generator=draw, dtype=torch.uint8)
    return slots.masked_fill(torch.rand(rows, neurons, generator=draw) >= share, SILENT)


def _nanoseconds(run: Callable[[], object], times: int = 25) -> float:
    """Least processor time of some calls: a busy machine does not stretch it."""
    best = float("inf")
    for _ in range(times):
        begin = time.thread_time_ns()
        run()
        best = min(best, time.thread_time_ns() - begin)
    return best
