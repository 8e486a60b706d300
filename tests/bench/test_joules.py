"""Joules of this machine: counted, never guessed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from matterhorn.bench.joules import joules, measure_dense
from matterhorn.topology import Shape


class Counter:
    """3 J a call and 2 W all the time; or nothing at all."""

    def __init__(self, *, dead: bool = False, gpu: bool = False):
        self.calls, self.dead, self.gpu = 0, dead, gpu

    def __call__(self) -> None:
        self.calls += 1

    def begin_window(self, key: str) -> None:
        self.before = self.calls

    def end_window(self, key: str) -> SimpleNamespace:
        drawn = 0.0 if self.dead else 3.0 * (self.calls - self.before) + 2.0 * 0.5
        return SimpleNamespace(
            time=0.5,
            cpu_energy=None if self.gpu or self.dead else {0: drawn / 2, 1: drawn / 2},
            gpu_energy={0: drawn} if self.gpu else {},
        )


@pytest.mark.parametrize("gpu", [False, True])
def test_what_the_counter_saw_is_shared_among_the_calls(gpu):
    counter = Counter(gpu=gpu)
    found = joules(counter, counter, seconds=0.01, idle=0)
    calls = counter.calls - 1  # the first one warms up
    assert found["calls"] == calls >= 1
    assert found["per_sentence_j"] == pytest.approx(3 + 1 / calls)
    assert found["idle_w"] == pytest.approx(2) and found["watts"] == pytest.approx((3 * calls + 1) / 0.5)
    assert found["seconds"] == pytest.approx(0.5 / calls)


def test_a_counter_that_stands_still_gives_nothing():
    dead = Counter(dead=True)
    assert joules(dead, dead, seconds=0, idle=0) is None


def test_what_cannot_be_read_is_absent_and_says_why(monkeypatch):
    device = pytest.importorskip("zeus.device", reason="needs the extra measure")

    def missing():
        raise RuntimeError("no counter\nhere")

    for name in ("get_cpus", "get_gpus"):
        monkeypatch.setattr(device, name, missing)
    found = measure_dense(Shape(1, 16, 2, 32), 50, 4)
    assert found["processor"] is found["gpu"] is None and found["tokens"] == 4
    assert found["absent"] == {"processor": "no counter here", "gpu": "no counter here"}
