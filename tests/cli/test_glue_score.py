"""``matterhorn glue score`` and ``submit``: small networks with random weights, sentences of our own."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.hf import model_card
from matterhorn.models.convert import convert_folder
from matterhorn.program import load
from matterhorn.tasks.results import read_result
from matterhorn.tasks.task import get_task

from ..networks import small_bert
from ..tiny import lay_dev, lay_network, lay_run


def program_for(task: str, folder: Path) -> Path:
    convert_folder(lay_network(folder.with_name(f"{folder.name}-network"), task, 1), task=task).save(folder)
    return folder


def glue(*arguments: object) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["glue", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout, done.stderr


@pytest.mark.parametrize("task", ["mrpc", "stsb", "mnli"])
def test_a_run_is_scored_in_one_go(tmp_path, task):
    run, rows, output = lay_run(tmp_path / "run", task), lay_dev(tmp_path / "glue", task), tmp_path / "results.json"
    told = json.loads(glue("score", run, "--task", task, "--glue-dir", rows, "--output", output, "--json")[0])
    result = read_result(output)
    assert told == result.model_dump() and not list(tmp_path.glob("*.tmp"))
    names = {*get_task(task).metrics, *(["accuracy_mismatched"] if task == "mnli" else [])}
    assert {*result.teacher.metrics} == {*result.quantized.metrics} == {*result.spiking[0].metrics} == names
    assert [spiking.k for spiking in result.spiking] == [1, 2] and result.seed == 5 and result.backbone == "tiny"
    first, second = result.spiking
    assert first.silent_share < second.silent_share and first.quiet_share < second.quiet_share and result.n == 20
    row = next(row for row in json.loads(glue("table", output, "--json")[0])["tasks"] if row["task"] == task)
    assert row["spiking"] == first.metrics[row["metric"]] and row["seeds"] == [5]
    assert row["quiet_share"] == first.quiet_share


def test_the_command_in_the_file_gives_the_same_figures(tmp_path):
    rows, output = lay_dev(tmp_path / "glue", "rte"), tmp_path / "results.json"
    model = program_for("rte", tmp_path / "rte")
    own = ["--task", "rte", "--limit", "12", "--max-length", "8"]
    glue("score", model, *own, "--glue-dir", rows, "--output", output, "--name", model, "--seed", "2")
    result = read_result(output)
    assert result.teacher is None and result.seed == 2 and result.n == 12
    command = [*shlex.split(result.command)[1:], "--glue-dir", str(rows)]
    told = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    spiking = result.spiking[0]
    assert (told["metrics"], told["silent_share"], told["n"]) == (spiking.metrics, spiking.silent_share, result.n)
    assert (told["quiet_share"], told["format"]) == (spiking.quiet_share, 3)
    assert told["events_per_token"] == spiking.events_per_token


def test_the_line_of_a_model_is_shown_whatever_it_is_called(tmp_path):
    """A target, or the name of a model whose backbone is not known, stands behind its task."""
    rows, output = lay_dev(tmp_path / "glue", "rte"), tmp_path / "results.json"
    model = program_for("rte", tmp_path / "rte")
    told = glue("score", model, "--glue-dir", rows, "--output", output, "--name", "mine", "--seed", "7")[0]
    assert "rte, mine" in " ".join(told.split())
    (model / "recipe.yaml").write_text("{backbone: tiny, phases: [{quiet_share: 0.9}]}")
    assert "rte, quiet" in " ".join(glue("score", model, "--glue-dir", rows, "--output", output)[0].split())


@pytest.mark.parametrize(
    ("options", "title"),
    [
        (["--split", "train"], "rte on train"),
        (["--limit", "12"], "rte, first 12 rows"),
        (["--split", "train", "--limit", "12"], "rte on train, first 12 rows"),
        (["--limit", "21"], "rte"),
    ],
)
def test_rows_that_are_not_all_dev_rows_are_named(tmp_path, options, title):
    """In the file, in the table and in its means, which they are not part of."""
    rows, output = lay_dev(tmp_path / "glue", "rte"), tmp_path / "results.json"
    shutil.copy(rows / "RTE" / "dev.tsv", rows / "RTE" / "train.tsv")
    more = ["--teacher", lay_run(tmp_path / "run", "rte") / "teacher" / "best"]
    model = program_for("rte", tmp_path / "rte")
    glue("score", model, "--task", "rte", "--glue-dir", rows, "--output", output, *options, *more)
    result = read_result(output)
    assert (result.title, result.task, result.split) == (title, "rte", "train" if "train" in options else "dev")
    told = json.loads(glue("table", output, "--json")[0])
    scored = {row["task"] for row in told["tasks"] if row["spiking"] is not None}
    assert scored == {title} == {row["task"] for row in told["rows"] if row["value"] is not None}
    assert [mean["tasks"] for mean in told["means"] if mean["name"] == "all present"] == [["rte"]] * (title == "rte")
    card = model_card(load(model), result, name="mine")
    assert f"{title} dev (" in card if title == "rte" else f"{title} (" in card and "GLUE" not in card
    assert ("split: validation" in card) == (title == "rte")


def test_the_first_rows_of_mnli_have_its_second_accuracy(tmp_path):
    rows, output = lay_dev(tmp_path / "glue", "mnli"), tmp_path / "results.json"
    model = program_for("mnli", tmp_path / "mnli")
    glue("score", model, "--task", "mnli", "--glue-dir", rows, "--output", output, "--limit", "6")
    assert {*read_result(output).spiking[0].metrics} == {"accuracy", "accuracy_mismatched"}
    assert "accuracy mismatched" in glue("table", output, "--markdown")[0]


def test_a_teacher_and_a_network_without_a_dead_zone_can_be_given(tmp_path):
    rows, output = lay_dev(tmp_path / "glue", "rte"), tmp_path / "results.json"
    run, model = lay_run(tmp_path / "run", "rte"), program_for("rte", tmp_path / "rte")
    more = ["--teacher", run / "teacher" / "best", "--quantized", run / "phase-0-k0" / "best", "--limit", 6]
    glue("score", model, "--task", "rte", "--glue-dir", rows, "--output", output, *more)
    result = read_result(output)
    assert result.teacher and result.quantized and result.n == 6 and result.note == "only the first 6 rows"
    assert result.teacher_blocks is None
    (model / "recipe.yaml").write_text("task: rte\nnetwork: {blocks: [0]}\n")
    glue("score", model, "--task", "rte", "--glue-dir", rows, "--output", output, *more)
    assert (read_result(output).blocks, read_result(output).teacher_blocks) == ((0,), 2)


def test_another_teacher_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("matterhorn.tasks.evaluate.evaluate", None)
    rows, model, teacher = lay_dev(tmp_path / "glue", "rte"), program_for("rte", tmp_path / "rte"), tmp_path / "teacher"
    small_bert(2, id2label={0: "not_entailment", 1: "entailment"}).save_pretrained(teacher)
    for place, problem in ((teacher, "in another order than the program's"), (tmp_path / "gone", "no such file")):
        with pytest.raises(InputError, match=problem):
            glue("score", model, "--glue-dir", rows, "--output", tmp_path / "r.json", "--teacher", place)


def test_the_wrong_task_is_named(tmp_path):
    run, rows = lay_run(tmp_path / "run", "rte"), lay_dev(tmp_path / "glue", "mnli")
    lay_dev(rows, "wnli"), lay_dev(rows, "rte")
    for task in ("mnli", "wnli"):
        with pytest.raises(InputError, match=f"trained for rte, not for {task}"):
            glue("score", run, "--task", task, "--glue-dir", rows, "--output", tmp_path / "r.json")
    (run / "recipe.yaml").unlink()
    with pytest.raises(InputError, match="2 outputs, mnli needs 3"):
        glue("score", run, "--task", "mnli", "--glue-dir", rows, "--output", tmp_path / "r.json")
    with pytest.raises(InputError, match="no network here"):
        glue("score", rows, "--task", "rte", "--glue-dir", rows, "--output", tmp_path / "r.json")


def test_a_submission_names_its_models_and_what_it_lacks(tmp_path):
    rows = tmp_path / "glue" / "RTE"
    rows.mkdir(parents=True)
    (rows / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta film\tfine\n1\ta film\tdull\n")
    model, output = program_for("rte", tmp_path / "rte"), tmp_path / "submission.zip"
    told, errors = glue("submit", "--glue-dir", rows.parent, "--output", output, "--model", f"rte={model}", "--json")
    files = {file["name"]: file for file in json.loads(told)["files"]}
    assert files["RTE"] | {"problem": ""} == {"name": "RTE", "rows": 2, "model": str(model), "problem": ""}
    assert "RTE.tsv: 2 rows, the server expects 3000" in errors and "CoLA.tsv: no test rows" in errors
    for given, problem in (("rte", "TASK=MODEL"), (f"squad={model}", "unknown task"), ("rte=nowhere", "no model")):
        with pytest.raises(InputError, match=problem):
            glue("submit", "--glue-dir", rows.parent, "--output", output, "--model", given)


def test_a_trace_is_written_beside_the_figures(tmp_path):
    rows, model = lay_dev(tmp_path / "glue", "rte"), program_for("rte", tmp_path / "rte")
    arguments = ["evaluate", "--model", model, "--glue-dir", rows, "--trace", tmp_path / "t.json.gz", "--json"]
    told = json.loads(CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).stdout)
    from matterhorn.program import Trace

    trace = Trace.load(tmp_path / "t.json.gz")
    assert (trace.silent_share, trace.quiet_share) == (told["silent_share"], told["quiet_share"])
    assert told["backend"] == "events" and torch.get_num_threads() == 1
