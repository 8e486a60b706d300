"""One program, many threads: every answer is that of one thread, and memory does not grow."""

from __future__ import annotations

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from matterhorn.msu import ArrayBank
from matterhorn.runtime import Engine

from ..networks import small_arrays, small_program

BACKENDS = ("stepped", "exact", "events", "analog")
CALLS, THREADS = 2000, 8


@pytest.mark.slow
def test_a_program_is_shared_by_threads_and_memory_is_flat():
    program = small_program(1)
    chip = ArrayBank.of("ideal", "ideal-128")
    engines = [Engine(program, name, threads=1, chip=chip if name == "analog" else None) for name in BACKENDS]
    batches = [small_arrays(seed=seed, rows=2) for seed in range(5)]
    alone = [[engine(**batch).logits for batch in batches] for engine in engines]

    def call(number: int) -> bool:
        engine, batch = number % len(engines), number % len(batches)
        return np.array_equal(engines[engine](**batches[batch]).logits, alone[engine][batch])

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(call, range(CALLS // 4)))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        assert all(pool.map(call, range(CALLS)))
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert after - before < 2**20


def test_of_processors_only_those_count_that_the_process_may_use(monkeypatch):
    """Of a container or ``taskset``, unless a number is asked for."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    program = small_program()
    assert Engine(program).threads == 2 and Engine(program, threads=3).threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert Engine(program).threads == 5
