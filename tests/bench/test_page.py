"""What docs/performance.md says is in docs/performance.json is there."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from matterhorn.bench.clock import PERCENTILE_CALLS

from ..pages import ROOT

PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
FP32, KINDS = ("hf-fp32", "ort-fp32", "ov-f32"), {"1 sentence": "1 sentences", "1 pair": "1 pairs"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return json.loads((ROOT / "docs" / "performance.json").read_text(encoding="utf-8"))["rows"]


def cells(heading: str) -> list[list[str]]:
    """The body of the first table below a heading."""
    lines = PAGE.partition(f"\n{heading}\n")[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    found = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip(" *") for cell in line.strip("|").split("|")])
    return found


def medians(rows: list[dict[str, Any]], threads: tuple[int, ...]) -> dict[str, dict[tuple[str, int], float]]:
    """ms by contestant and threads, by network and rows."""
    found: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for row in rows:
        if row["what"] == "network" and row["threads"] in threads:
            shape = row["shape"]
            times = "× " if "tokens" in shape["of"] else ""
            name = f"{shape['layers']} × {shape['width']}, {shape['rows']} {times}{shape['of']}"
            found[name][row["contestant"], row["threads"]] = 1e3 * row["median_s"]
    return found


def named(task: str) -> str:
    """A task of the page as :func:`medians` names it."""
    network, _, batch = task.partition(", ")
    return f"{network}, {KINDS.get(batch, batch)}"


def fastest(own: dict[tuple[str, int], float], contestants: list[str]) -> tuple[str, int]:
    return min((key for key in own if key[0] in contestants), key=lambda key: own[key])


def ms(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}"


def test_the_main_table(rows):
    found, table = medians(rows, (1,)), cells("## Main table")
    assert len(table) == len(found) == 15
    for task, _, _, fp32, int8, events, _, _, ratio, _ in table:
        own = found[named(task.rpartition(", ")[0])]
        key = fastest(own, [name for name, _ in own if "int8" in name])
        assert int8.startswith(f"{ms(own[key])} (") and key[0] in int8
        assert fp32.startswith(f"{ms(own[fastest(own, list(FP32))])} (")
        assert events.startswith(f"{ms(own['events', 1])} (") and ratio == f"{own[key] / own['events', 1]:.2f}"


def test_how_many_calls(rows):
    ours = [row for row in rows if row["what"] == "network" and row["contestant"] == "events" and row["threads"] == 1]
    assert [str(row["calls"]) for row in ours] == [line[-1] for line in cells("## Main table")]
    assert all(row["p99_s"] is None for row in rows if row["calls"] < PERCENTILE_CALLS)


def test_best_against_best(rows):
    found, table = medians(rows, (1, 2)), cells("### Two threads")
    assert len(table) == len(found) == 15
    for task, fp32, int8, events, fp32_ratio, int8_ratio in table:
        own = found[named(task)]
        keys = [
            fastest(own, list(FP32)),
            fastest(own, [name for name, _ in own if "int8" in name]),
            fastest(own, ["events"]),
        ]
        told = [f"{ms(own[key])} `{key[0]}` ({key[1]})" for key in keys[:2]]
        assert [fp32, int8, events] == [*told, f"{ms(own[keys[2]])} ({keys[2][1]})"]
        ratios = [own[key] / own[keys[2]] for key in keys[:2]]
        assert [fp32_ratio, int8_ratio] == [f"{ratios[0]:.1f}", f"{ratios[1]:.2f}"]


def test_roofline_stages_and_start_up(rows):
    (own,) = (row for row in rows if row["what"] == "roofline")
    told = {cell[0]: cell[1] for cell in cells("## What limits it")}
    extra = own["extra"]
    assert told["sums to look up"] == f"{extra['look-ups'] / 1e9:.2f} · 10⁹"
    assert told["least time"] == f"{1e3 * extra['least s']:.0f} ms"
    assert told["time of the call"] == f"{1e3 * own['median_s']:.0f} ms"
    assert told["times the least"] == f"{extra['times the least']:.1f}"
    (eight,) = (row for row in rows if row["what"] == "stages" and row["shape"]["rows"] == 8)
    stages = PAGE.partition("| stage |")[2].splitlines()[2:]
    names = ("sums", "events", "scores", "thresholds", "weights", "norms", "contexts", "levels")
    for line, name in zip(stages, names, strict=False):
        assert line.split("|")[2].strip() == f"{eight['extra'][f'{name} %']:.0f} %"
    for row in rows:
        if row["what"] == "start-up":
            assert f"{row['median_s']:.2f}" in PAGE
