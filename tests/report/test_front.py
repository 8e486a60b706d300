"""Accuracy against energy."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from matterhorn.energy import bill, bill_encoder, load
from matterhorn.energy.foreign import dense_words
from matterhorn.energy.rivals import Comparison, Side
from matterhorn.energy.shapes import SHAPES, in_proportion, lay
from matterhorn.program import Trace, files
from matterhorn.report.front import FRONT_FORMAT, front, own_formats, plot_front, teacher_blocks
from matterhorn.tasks.results import read_result

from ..energy.synthetic import near

FOLDER, DOCS = files.find("sst2"), Path(__file__).parents[2] / "docs"
BERT_BASE = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "num_hidden_layers": 12,
    "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
}  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    return {"sst2": (Trace.load(FOLDER / "trace.json.gz"), read_result(FOLDER / "results.json"))}


@pytest.fixture(scope="module")
def points(networks):
    return front(networks, load("rram-22nm"))


def test_points_have_the_bills_and_the_values_that_stand_elsewhere(networks, points):
    chip, (trace, result) = load("rram-22nm"), networks["sst2"]
    found = {point.name: point for point in points}
    own, comparison = found["sst2, k = 3"], Comparison.of(trace, chip, 128)
    laid = lay(trace, in_proportion(SHAPES["bert-base"], trace), 128)
    assert own.joules == pytest.approx(min(bill(laid, chip, kind).total for kind in ("digital", "msu")), rel=1e-12)
    assert own.value == own.drawn_at == result.spiking[-1].metrics["accuracy"] and own.trained
    assert found["Sorbet"].joules == pytest.approx(own.joules * comparison.ratios(chip)["Sorbet"], rel=1e-12)
    assert found["Sorbet"].value == pytest.approx(0.904) and not found["Sorbet"].trained
    words = found["sst2, dense W1A4"]  # a network without a dead zone was trained, and measured
    assert words.joules == pytest.approx(min(comparison.dense.dense_j(chip).values()), rel=1e-12)
    assert words.value == result.quantized.metrics["accuracy"] and words.trained


def test_what_was_not_measured_is_not_known_and_hollow(networks, points, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BERT_BASE))
    trace, result = networks["sst2"]
    for formats, bits in (("W4A4", (4, 4)), ("int8", (8, 8))):
        point = next(point for point in points if point.name == f"sst2, dense {formats}")
        assert point.value is None and not (point.trained or point.on_front)
        assert point.drawn_at == result.teacher.metrics["accuracy"]
        costs = bill_encoder(tmp_path, load("rram-22nm"), weight_bits=bits[0], activation_bits=bits[1])[1]
        assert point.joules == pytest.approx(min(costs.values()), rel=0.02)  # of BERT-base by its configuration
    alone = {"sst2": (trace, result.model_copy(update={"quantized": None, "teacher": None}))}
    found = {point.name: point for point in front(alone, load("rram-22nm"))}
    same = found["sst2, dense W1A4"]  # its own levels as words: worth the same, and not trained so
    assert same.value == found["sst2, k = 3"].value and not same.trained and same.drop is None
    assert found["sst2, dense int8"].drawn_at is None


def test_a_network_with_half_of_its_teachers_blocks_has_half_of_bert_bases():
    """So have its dense versions; the published rivals have all of theirs."""
    folder, chip = files.find("sst2-lean"), load("rram-22nm")
    trace, result = Trace.load(folder / "trace.json.gz"), read_result(folder / "results.json")
    assert (trace.shape.layers, result.blocks, teacher_blocks(result)) == (3, (0, 1, 4), 6)
    assert teacher_blocks(result.model_copy(update={"backbone": "mine"})) is None
    found = {point.name: point for point in front({"lean": (trace, result)}, chip)}
    laid = lay(trace, replace(SHAPES["bert-base"], layers=6), 128)
    assert found["lean, k = 3"].joules == near(min(bill(laid, chip, kind).total for kind in ("digital", "msu")))
    int8 = Side.of(dense_words(laid.shape, 128, 8, 8), laid, chip).dense_j(chip)
    assert found["lean, dense int8"].joules == near(min(int8.values()))
    assert found["Otters"].joules == near(
        min(bill.total for bill in Comparison.of(trace, chip, 128).rival_bills(chip)["Otters"].values())
    )


def test_rivals_are_those_of_the_first_networks_rows(networks):
    """A network of other rows has no rivals; whichever comes after it."""
    trace, result = networks["sst2"]
    both = {"sst2": (trace, result), "own": (trace, result.model_copy(update={"data": "own.csv"}))}
    for names, rivals in ((["sst2", "own"], True), (["own", "sst2"], False)):
        found = front({name: both[name] for name in names}, load("rram-22nm"))
        assert ("rival" in {point.kind for point in found}) == rivals


def test_the_front_is_what_nothing_cheaper_is_known_to_reach(points):
    assert [p.joules for p in points] == sorted(p.joules for p in points)
    known = [p for p in points if p.value is not None]
    for point in known:
        cheaper = [p.value for p in known if p.joules < point.joules]
        assert point.on_front == all(value < point.value for value in cheaper)


def test_formats_are_named_as_in_the_field(networks):
    trace = copy.deepcopy(networks["sst2"][0])
    assert own_formats(trace) == "W1A4"
    for c in trace.connections.values():
        c.operand_bits, c.digits = 2, 1
    assert own_formats(trace) == "ternary A4"


@pytest.mark.parametrize(("task", "model"), [("sst2", "sst2-base"), ("stsb", "stsb-base")])
def test_committed_fronts_have_the_scores_of_the_networks_that_ship(task, model):
    kept = json.loads((DOCS / f"front-{task}.json").read_text())
    assert (kept["format"], kept["task"]) == (FRONT_FORMAT, task)
    own = [point for point in kept["points"] if point["kind"] == "spiking"]
    for point in own:
        result = read_result(files.find(point["name"].removesuffix(", k = 3")) / "results.json")
        assert point["value"] == result.spiking[-1].metrics[result.metric] and point["trained"]
    assert f"{model}, k = 3" in {point["name"] for point in kept["points"] if point["on_front"]}


def test_what_is_committed_is_what_the_command_prints(points):
    kept = json.loads((DOCS / "front-sst2.json").read_text())
    assert (kept["format"], kept["task"], kept["chip"]) == (FRONT_FORMAT, "sst2", "rram-22nm")
    found = {point["name"]: point for point in kept["points"]}
    for point in points:
        own = asdict(point)
        assert found[point.name]["joules"] == pytest.approx(own.pop("joules"), rel=1e-9)
        assert {name: found[point.name][name] for name in own if name != "on_front"} == pytest.approx(
            {name: value for name, value in own.items() if name != "on_front"}
        )


def test_a_picture_has_every_point_by_its_name(points, tmp_path: Path, monkeypatch):
    from matplotlib import pyplot

    kept = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    plot_front(points, "sst2", "accuracy", tmp_path / "front.svg")
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")
    (axis,) = kept[0].axes
    shown = [point for point in points if point.drawn_at is not None]
    named = [point.name if point.value is not None else f"{point.name} ?" for point in shown]
    assert [(text.get_text(), text.xy) for text in axis.texts] == [
        (name, (1e6 * point.joules, point.drawn_at)) for name, point in zip(named, shown, strict=True)
    ]
    *marks, line = axis.get_lines()
    assert [mark.get_fillstyle() == "full" for mark in marks] == [point.trained for point in shown]
    assert list(line.get_ydata()) == [point.drawn_at for point in points if point.on_front]
