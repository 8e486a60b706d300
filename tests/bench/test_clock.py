"""Contestants take turns, and nobody is given an input that was given before."""

from __future__ import annotations

import itertools

import pytest

from matterhorn.bench import clock, interleave
from matterhorn.bench.clock import rows_of


class Time:
    """A clock that moves only when a contestant runs, and notes what ran on what."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(clock.time, "sleep", lambda seconds: None)

    def contestant(self, name, costs):
        spending = itertools.cycle(costs)

        def given(number):
            self.now += 100  # what is done to an input beforehand costs nothing

            def run():
                self.calls.append((name, number))
                self.now += next(spending)

            return run

        return given


@pytest.fixture
def time(monkeypatch) -> Time:
    return Time(monkeypatch)


def test_all_run_in_turn_forwards_and_backwards_each_on_an_input_of_its_own(time):
    both = {name: time.contestant(name, [1.0]) for name in "ab"}
    times = interleave(both, itertools.count(), seconds=1e9, most=4)
    assert "".join(name for name, _ in time.calls) == "ba" + "ab" + "ba" + "ab" + "ba"
    assert [number for _, number in time.calls] == list(range(10))
    assert times == {"a": [1.0] * 4, "b": [1.0] * 4}


def test_the_first_round_is_not_counted(time):
    assert interleave({"a": time.contestant("a", [9.0, 1.0, 2.0, 3.0])}, itertools.count(), seconds=0) == {
        "a": [1.0, 2.0, 3.0]
    }


@pytest.mark.parametrize(("seconds", "rounds"), [(0, 3), (10, 4), (25, 9), (1050, 11), (1e9, 12)])
def test_it_ends_in_time_but_not_before_nine_rounds_nor_ever_before_three(time, seconds, rounds):
    """A round takes 101 seconds; for nine of them there are 40 times as many as are to be spent."""
    times = interleave({"a": time.contestant("a", [1.0])}, itertools.count(), seconds=seconds, most=12)
    assert len(times["a"]) == rounds


def test_there_is_a_99th_percentile_of_a_hundred_calls_alone():
    times = {"few": [1.0] * 99, "many": list(map(float, range(1, 101)))}
    few, many = rows_of("connection", {}, times)
    assert (few.calls, few.p99_s) == (99, None) and many.calls == 100 and many.p99_s == pytest.approx(99.01)


def test_rows_hold_medians_spread_and_ratios_of_medians():
    times = {"fp32": [4.0, 4.0, 5.0, 3.0, 9.0], "events": [1.0, 0.5, 2.0]}
    fp32, events = rows_of("connection", {"rows": 8}, times, threads=2, silent_share=0.9, quiet_share=0.8)
    assert (fp32.median_s, fp32.iqr_s, fp32.calls, fp32.ratio_to) == (4.0, 1.0, 5, {"events": 0.25})
    assert (events.median_s, events.iqr_s, events.calls, events.ratio_to) == (1.0, 0.75, 3, {"fp32": 4.0})
    assert (events.threads, events.silent_share, events.quiet_share) == (2, 0.9, 0.8)
    assert (events.what, events.contestant, events.shape) == ("connection", "events", {"rows": 8})
