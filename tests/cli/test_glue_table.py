"""``matterhorn glue table``: made-up runs with known means, and the shipped zoo."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.program import find
from matterhorn.report import glue_table
from matterhorn.report.glue_rows import RIVAL_TASKS, means_of, published, rows_of
from matterhorn.report.tables import print_table
from matterhorn.tasks.results import read_result, read_results
from matterhorn.tasks.task import tasks

KEYS = {"task", "metric", "teacher", "quantized", "spiking", "k", "silent_share", "quiet_share", "drop", "seeds"}
MODELS = find("mnli").parent
"""Of the checkout."""


def write(folder: Path, task: str, metric: str, seed: int, values: tuple[float, float, float], /, **more) -> Path:
    """A result file: teacher, quantized and spiking at k = 3."""
    teacher, quantized, spiking = ({"metrics": {metric: value}} for value in values)
    plain = {
        "format": 3,
        "task": task,
        "model": f"{task}-{seed}",
        "backbone": "tiny",
        "n": 100,
        "metric": metric,
        "seed": seed,
        "teacher": teacher,
        "quantized": quantized,
        "spiking": [spiking | {"k": 3, "silent_share": 0.9 + seed / 100, "quiet_share": 0.8 + seed / 100}],
    }
    path = folder / task / f"results-seed-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain | more))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "rte", "accuracy", 1, (0.7, 0.68, 0.66))
    write(tmp_path, "rte", "accuracy", 2, (0.72, 0.69, 0.67))
    write(tmp_path, "rte", "accuracy", 3, (0.71, 0.66, 0.64))
    write(tmp_path, "sst2", "accuracy", 1, (0.9, 0.89, 0.88))
    write(tmp_path, "cola", "matthews", 1, (0.5, 0.45, 0.46))
    return tmp_path


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["glue", "table", *arguments], catch_exceptions=False, env={"COLUMNS": "150"})
    assert done.exit_code == 0
    return done.stdout


def test_seeds_are_brought_together(folder):
    told = json.loads(invoke(str(folder), "--json"))
    assert told["format"] == 5
    assert [row["task"] for row in told["tasks"]] == list(tasks())
    assert all(row.keys() >= KEYS for row in told["tasks"])
    row = next(row for row in told["tasks"] if row["task"] == "rte")
    assert row["seeds"] == [1, 2, 3] and row["k"] == 3
    assert row["spiking"] == pytest.approx(0.6566666666) and row["drop"] == pytest.approx((0.04 + 0.05 + 0.07) / 3)
    assert row["silent_share"] == pytest.approx(0.92) and row["quiet_share"] == pytest.approx(0.82)
    assert row["spread"]["spiking"] == pytest.approx(statistics.stdev([0.66, 0.67, 0.64]))
    empty = next(row for row in told["tasks"] if row["task"] == "mrpc")
    assert empty["spiking"] is None and empty["seeds"] == [] and empty["metric"] == "accuracy"


def test_a_drop_is_the_difference_of_the_figures_beside_it_or_not_known(folder):
    """Not of the seeds alone that have a teacher; such a row stands for its task in no mean."""
    write(folder, "rte", "accuracy", 4, (0, 0, 0.5), teacher=None)
    write(folder, "sst2", "accuracy", 2, (0.92, 0.9, 0.85))
    told = json.loads(invoke(str(folder), "--json"))
    rows = {row["task"]: row for row in told["tasks"]}
    assert rows["rte"]["seeds"] == [1, 2, 3, 4] and rows["rte"]["teacher"] == pytest.approx(0.71)
    assert rows["rte"]["drop"] is None is rows["rte"]["spread"]["drop"]
    assert rows["sst2"]["drop"] == pytest.approx(rows["sst2"]["teacher"] - rows["sst2"]["spiking"])
    assert all("rte" not in mean["tasks"] for mean in told["means"])


def test_every_task_and_model_has_a_row_of_its_own(folder):
    write(folder, "mnli", "accuracy", 1, (0, 0, 0.7), teacher=None)
    rows = json.loads(invoke(str(folder), "--json"))["rows"]
    assert {row["task"] for row in rows} == {*tasks()} and len(rows) == len(tasks()) + 2
    found = {row["model"]: row for row in rows}
    assert found["rte-3"] == {
        "task": "rte", "model": "rte-3", "metric": "accuracy", "k": 3, "value": 0.64, "teacher": 0.71,
        "drop": pytest.approx(7.0), "silent_share": pytest.approx(0.93), "quiet_share": pytest.approx(0.83),
    }  # fmt: skip
    assert found["mnli-1"]["drop"] is None and found["mnli-1"]["value"] == 0.7
    assert found["cola-1"]["drop"] == pytest.approx(4.0)


def test_all_shipped_models_are_in_the_table():
    rows = json.loads(invoke("--json"))["rows"]
    own = {path.parent.name for path in MODELS.glob("*/results.json")}
    assert {row["model"] for row in rows} >= own >= {"sst2", "stsb-lean"}


def test_a_network_that_was_trained_for_a_target_is_a_row_of_its_own():
    usual, quiet = read_results([MODELS / "sst2", MODELS / "sst2-quiet"])
    priced = quiet.model_copy(update={"price": "rram-22nm"})
    for own, name, standing in ((quiet, "quiet", quiet), (priced, "by price", usual)):  # the one that loses less
        first, last = (row for row in rows_of([usual, own]) if row.task == "sst2")
        assert (last.price, last.quiet_target) == (None, None) and first.quiet_target == 0.921
        assert first.quiet_share > 0.92 > 0.9 > last.quiet_share
        assert {mean.spiking for mean in means_of([first, last])} == {standing.spiking[0].metrics["accuracy"]}
        assert f"sst2, {name}" in [line[0] for line in glue_table.tables([usual, own])[0][2]]


def test_a_network_of_fewer_blocks_is_a_row_of_its_own_and_stands_for_no_other():
    quiet = read_results([MODELS / "sst2-quiet"])[0]
    best = quiet.spiking[0].model_copy(update={"metrics": {"accuracy": 0.88}})
    lean = quiet.model_copy(update={"blocks": (0, 1, 4, 5), "model": "lean", "spiking": [best]})
    first, last = (row for row in rows_of([quiet, lean]) if row.task == "sst2")
    assert (first.blocks, last.blocks) == ((0, 1, 4, 5), None)
    assert {mean.spiking for mean in means_of([first, last])} == {quiet.spiking[0].metrics["accuracy"]}
    assert "sst2, quiet, 4 blocks" in [line[0] for line in glue_table.tables([quiet, lean])[0][2]]


def test_runs_of_other_widths_or_targets_are_no_seeds_of_each_other(tmp_path):
    """Each has a row, and the one that loses least stands for the task."""
    for place, (weights, target) in enumerate([("int1", None), ("int4", None), ("int1", 0.9), ("int1", 0.92)]):
        path = write(tmp_path / str(place), "rte", "accuracy", 1, (0.7, 0.68, 0.6 + place / 100), quiet_target=target)
        plain = json.loads(path.read_text())
        plain["spiking"][0]["weights"] = weights
        path.write_text(json.dumps(plain))
    results = read_results([tmp_path])
    told = [(row.weights, row.quiet_target, row.seeds) for row in rows_of(results) if row.task == "rte"]
    assert told == [("int1", 0.92, [1]), ("int1", 0.9, [1]), ("int1", None, [1]), ("int4", None, [1])]
    assert {mean.spiking for mean in means_of(rows_of(results))} == {0.63}
    names = [line[0] for line in glue_table.tables(results)[0][2] if line[0].startswith("rte")]
    assert names == ["rte, quiet", "rte, quiet", "rte", "rte, int4"]
    with pytest.raises(InputError, match="with seed 1 is in"):
        read_results([tmp_path / "2", write(tmp_path / "4", "rte", "accuracy", 1, (0.7, 0.6, 0.6), quiet_target=0.9,
            spiking=[{"metrics": {"accuracy": 0.6}, "k": 3, "weights": "int1"}])])  # fmt: skip


def test_different_models_of_unknown_backbones_are_no_seeds_of_each_other(tmp_path):
    """Each has a row, and may have the same seed; runs of one model are seeds."""
    for model, seed, score in (("north", 1, 0.6), ("south", 1, 0.7), ("south", 2, 0.8)):
        values = (0.9, 0.8, score)
        write(tmp_path / model, "rte", "accuracy", seed, values, backbone=None, model=model)
    results = read_results([tmp_path])
    told = [
        (row["model"], row["seeds"], row["spiking"]) for row in glue_table.as_json(results)["tasks"] if row["seeds"]
    ]
    assert told == [("north", [1], 0.6), ("south", [1, 2], 0.75)]
    names = [line[0] for line in glue_table.tables(results)[0][2] if line[0].startswith("rte")]
    assert names == ["rte, north", "rte, south"]
    named = read_results([write(tmp_path / "named", "rte", "accuracy", 1, (0.9, 0.8, 0.7))])
    assert all("model" not in row for row in glue_table.as_json(named)["tasks"])


def test_means_name_the_tasks_they_are_over(folder):
    means = {mean.name: mean for mean in means_of(rows_of(read_results([folder])))}
    small = means["small tasks"]
    assert small.tasks == ["sst2", "rte", "cola"] and small.missing == ["mrpc", "stsb"]
    assert small.quiet_share == pytest.approx((0.81 + 0.82 + 0.81) / 3)
    assert small.drop == pytest.approx((0.02 + 0.16 / 3 + 0.04) / 3)
    assert means["the rivals' seven"].tasks == ["sst2", "rte"] and "large tasks" not in means


def test_the_mean_takes_the_largest_dead_zone_and_keeps_backbones_apart(folder):
    scores = {"metrics": {"accuracy": 0.5}}
    write(folder, "qnli", "accuracy", 1, (0.9, 0.8, 0.7), spiking=[scores | {"k": 2}, scores | {"k": 1}])
    write(folder, "sst2", "accuracy", 2, (0.9, 0.8, 0.7), backbone="other")
    rows = rows_of(read_results([folder]))
    assert [row.k for row in rows if row.task == "qnli"] == [1, 2]
    means = {(mean.name, mean.backbone): mean for mean in means_of(rows)}
    assert means["all present", "other"].tasks == ["sst2"] and means["all present", "other"].spiking == 0.7
    named = [line[0] for line in glue_table.tables(read_results([folder]))[1][2]]
    assert {"all present, other", "all present, tiny"} <= {*named} and len({*named}) == len(named)
    assert means["large tasks", "tiny"].spiking == 0.5 and means["large tasks", "tiny"].silent_share is None


def test_networks_of_other_widths_have_rows_of_their_own_and_the_mean_takes_the_widest(tmp_path):
    for width, score in ((1536, 0.7), (6144, 0.8)):
        spiking = [{"metrics": {"accuracy": score}, "k": 3, "intermediate": width, "events_per_token": width / 2}]
        write(tmp_path / str(width), "rte", "accuracy", 1, (0.9, 0.8, 0.7), spiking=spiking)
    rows = [row for row in rows_of(read_results([tmp_path])) if row.task == "rte"]
    told = [(row.intermediate, row.spiking, row.events_per_token, row.seeds) for row in rows]
    assert told == [(1536, 0.7, 768, [1]), (6144, 0.8, 3072, [1])]
    assert {mean.spiking for mean in means_of(rows)} == {0.8}


def test_text_markdown_and_latex_say_the_same(folder):
    points = "65.67 ± 1.53"
    assert points in invoke(str(folder), "--markdown")
    assert points.replace("±", r"$\pm$") in invoke(str(folder), "--latex")
    text = invoke(str(folder))
    assert "88.00" in text and "–" in text and "Otters" in text
    assert "| rte" in invoke(str(folder), "--markdown") and r"\toprule" in invoke(str(folder), "--latex")


def test_a_second_metric_has_its_own_line(tmp_path):
    both = {"metrics": {"accuracy": 0.8, "f1": 0.85}}
    write(tmp_path, "mrpc", "accuracy", 1, (0, 0, 0), teacher=both, quantized=None, spiking=[both | {"k": 3}])
    row = next(row for row in rows_of(read_results([tmp_path])) if row.task == "mrpc")
    assert row.also["f1"].teacher == 0.85 and row.also["f1"].drop == 0 and row.quantized is None
    assert "f1" in invoke(str(tmp_path), "--markdown")


def test_a_second_metric_of_nought_has_its_line_too(tmp_path):
    fallen = {"metrics": {"accuracy": 0.3, "f1": 0.0}, "k": 3}
    write(tmp_path, "mrpc", "accuracy", 1, (0, 0, 0), teacher=None, quantized=None, spiking=[fallen])
    row = next(row for row in rows_of(read_results([tmp_path])) if row.task == "mrpc")
    assert row.also["f1"].spiking == 0
    assert "f1" in invoke(str(tmp_path), "--markdown")


def test_the_shipped_zoo_is_the_default():
    told = json.loads(invoke("--json"))
    for path in MODELS.glob("*/results*.json"):
        shipped = read_result(path)
        rows = [row for row in told["tasks"] if row["task"] == shipped.task and row["backbone"] == shipped.backbone]
        assert any(shipped.seed in row["seeds"] for row in rows)


def test_rivals_are_data_with_sources_and_doubts():
    rivals = {rival["name"]: rival for rival in json.loads(invoke("--json"))["rivals"]}
    assert len(rivals) == len(published()) and all(rival["source"] for rival in rivals.values())
    assert rivals["Sorbet"]["scores"]["sst2"] == {"value": 0.904, "confirmed": True}
    assert rivals["Matterhorn"]["mean"] == {"value": 0.8464, "confirmed": False}
    assert rivals["Otters"]["scores"]["mnli"] == {"value": None, "confirmed": False}
    assert rivals["BiT W1A4"]["scores"]["mrpc"]["value"] == 0.868  # as in its README; not STS-B's 0.863
    assert rivals["SpikeZIP-TF"]["mean"]["value"] is None and rivals["SpikingMiniLM"]["backbone"] == "MiniLMv2"
    for rival in published():
        if len(rival.scores) == len(RIVAL_TASKS):
            assert statistics.fmean(rival.scores.values()) == pytest.approx(rival.mean, abs=0.06)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n": 0}, "n"),
        ({"format": 1}, "format"),
        ({"teacher": {"metrics": {"accuracy": 89.3}}}, "teacher.metrics.accuracy"),
        ({"teacher": {"metrics": {"f1": 0.9}}}, "teacher.metrics"),
        ({"quantized": {"metrics": {"accuracy": 0.9, "bleu": 0.1}}}, "quantized.metrics.bleu"),
        ({"metric": "f1"}, "metric"),
        ({"spiking": [{"metrics": {"accuracy": 0.9}}]}, "spiking.0.k"),
        ({"speed": 3}, "speed"),
    ],
)
def test_bad_files_are_named_with_their_field(tmp_path, change, field):
    path = write(tmp_path, "rte", "accuracy", 1, (0.7, 0.68, 0.66), **change)
    with pytest.raises(InputError) as caught:
        read_results([tmp_path])
    assert caught.value.field == field and str(path) in str(caught.value)


def test_results_of_a_task_of_ones_own_stand_below(tmp_path):
    ends = {"low": 0.7, "high": 0.9}
    write(tmp_path, "kettles", "macro_f1", 1, (0.9, 0.8, 0.8))
    write(tmp_path, "rte", "accuracy", 1, (0, 0, 0), spiking=[{"metrics": {"accuracy": 0.8}, "k": 3} | ends])
    rows = rows_of(read_results([tmp_path]))
    assert (rows[-1].task, rows[-1].metric, rows[-1].spiking, rows[-1].low) == ("kettles", "macro_f1", 0.8, None)
    known = next(row for row in rows if row.task == "rte")
    assert (known.low, known.high) == (0.7, 0.9)
    assert "70.0 – 90.0" in invoke(str(tmp_path), "--markdown")
    write(tmp_path, "rte", "accuracy", 2, (0, 0, 0), spiking=[{"metrics": {"accuracy": 0.8}, "k": 3} | ends])
    assert "70.0 – 90.0" not in invoke(str(tmp_path), "--markdown")  # seeds together have a spread
    with pytest.raises(InputError, match="bleu"):
        read_results([write(tmp_path / "other", "kettles", "bleu", 1, (0.9, 0.8, 0.8))])


def test_bad_places_are_named(tmp_path, folder):
    (tmp_path / "results-x.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_result(tmp_path / "results-x.json")
    with pytest.raises(InputError, match="no such file"):
        read_results([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no results"):
        read_results([tmp_path / "empty"])
    again = tmp_path / "again.json"
    again.write_text((folder / "rte" / "results-seed-1.json").read_text())
    with pytest.raises(InputError, match="each run once"):
        read_results([folder / "rte", again])
    with pytest.raises(InputError, match="one of them"):
        CliRunner().invoke(app, ["glue", "table", "--json", "--latex"], catch_exceptions=False)


def test_a_terminal_of_80_columns_breaks_no_figure(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    first, *others = read_results(sorted(MODELS.glob("*/results.json")))
    again = first.model_copy(update={"seed": 2, "model": "again"})  # so that there is a spread
    for title, columns, rows in glue_table.tables([first, again, *others]):
        print_table(title, columns, rows)
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= 80
        assert all(word in said.split() for row in rows for cell in row[1:] for word in cell.split())
