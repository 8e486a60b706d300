"""Accuracy against energy."""

from __future__ import annotations

from pathlib import Path

import pytest

from matterhorn.energy import bill, load
from matterhorn.energy.rivals import Comparison
from matterhorn.energy.shapes import SHAPES, as_wide, lay
from matterhorn.program import Trace, files
from matterhorn.report.front import front, plot_front
from matterhorn.tasks.results import read_result

FOLDER = files.find("sst2")


@pytest.fixture(scope="module")
def networks():
    return {"sst2": (Trace.load(FOLDER / "trace.json.gz"), read_result(FOLDER / "results.json"))}


def test_points_have_the_bills_and_the_values_that_stand_elsewhere(networks):
    chip, (trace, result) = load("rram-22nm"), networks["sst2"]
    points = {point.name: point for point in front(networks, chip)}
    own, comparison = points["sst2 (mttfs-k3-neuron)"], Comparison.of(trace, chip, 128)
    laid = lay(trace, as_wide(SHAPES["bert-base"], trace), 128)
    assert own.joules == pytest.approx(min(bill(laid, chip, kind).total for kind in ("digital", "msu")), rel=1e-12)
    assert own.value == result.spiking[-1].metrics["accuracy"] and own.trained
    assert points["sst2 (dense words)"].joules == min(comparison.dense.dense_j(chip).values())
    assert not points["sst2 (dense words)"].trained
    assert points["Sorbet"].joules == pytest.approx(own.joules * comparison.ratios(chip)["Sorbet"], rel=1e-12)
    assert points["Sorbet"].value == pytest.approx(0.904)


def test_the_front_is_what_nothing_cheaper_reaches(networks):
    points = front(networks, load("rram-22nm"))
    assert [p.joules for p in points] == sorted(p.joules for p in points)
    for point in points:
        cheaper = [p.value for p in points if p.joules < point.joules]
        assert point.on_front == all(value < point.value for value in cheaper)


def test_a_picture(networks, tmp_path: Path):
    plot_front(front(networks, load("rram-22nm")), "sst2", tmp_path / "front.svg")
    assert "Sorbet" in (tmp_path / "front.svg").read_text() or (tmp_path / "front.svg").stat().st_size > 10_000
