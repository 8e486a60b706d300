"""Rows of one's own, through every command that reads rows; the shipped model and sentences of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.hf import model_card
from matterhorn.program import Trace, load
from matterhorn.report.tables import print_facts
from matterhorn.tasks.results import read_result

LINES = [("a warm and clever film .", "Positive"), ("dull , cold and far too long .", "Negative")] * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f'"{text}",{label}\n' for text, label in LINES)
    (tmp_path / "dev.csv").write_text("verdict_text,verdict\n" + rows)
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": text}) for text, _ in LINES))
    (tmp_path / "scores.csv").write_text("text,label\n" + "".join(f"a film,{number}.25\n" for number in range(30)))
    (tmp_path / "own.yaml").write_text(
        "text: verdict_text\nlabel: verdict\nfiles: {dev: dev.csv}\nmetrics: [macro_f1]\n"
    )
    return tmp_path


OWN = ["--data", "dev.csv", "--text", "verdict_text", "--label", "verdict"]


def answer(*arguments: str) -> dict:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_evaluate_takes_rows_of_ones_own(folder):
    found = answer("evaluate", *OWN)
    assert (found["n"], found["value"], found["metric"], found["data"]) == (4, 1.0, "accuracy", "dev.csv")
    assert 0.5 < found["low"] < 1 == found["high"] and found["format"] == 3
    assert {"silent_share", "quiet_share"} <= found.keys()
    assert answer("evaluate", *OWN, "--limit", "3")["n"] == 3
    found = answer("evaluate", "--model", "sst2", "--task", "own.yaml")
    assert (found["task"], found["metric"], found["value"], found["low"]) == ("own", "macro_f1", 1, 1)


def test_the_model_that_ran_is_named_with_a_task_in_a_file(folder):
    assert answer("evaluate", "--task", "own.yaml")["model"] == "sst2"


def test_a_task_that_is_called_like_a_shipped_one_is_ones_own_in_every_answer(folder):
    (folder / "sst2.yaml").write_text((folder / "own.yaml").read_text())
    found = [answer(command, "--task", "sst2.yaml", "--limit", "2") for command in ("evaluate", "energy")]
    assert [one["task"] for one in found] == ["own sst2"] * 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("kind: regression", "own.yaml: labels: the model has 2 outputs, own needs 1"),
        ("name: [a]", "own.yaml: name: Input should be a valid string"),
    ],
)
def test_a_task_that_does_not_fit_is_named_by_its_file(folder, line, says):
    (folder / "own.yaml").write_text(f"text: verdict_text\nlabel: verdict\nfiles: {{dev: dev.csv}}\n{line}\n")
    with pytest.raises(InputError, match=says):
        CliRunner().invoke(app, ["evaluate", "--task", "own.yaml"], catch_exceptions=False)


def test_traces_alone_take_no_rows(folder):
    answer("run", "fine", "--trace", "ran.json.gz")
    with pytest.raises(InputError, match="--trace: traces have rows of their own; give --model too, or no rows"):
        CliRunner().invoke(app, ["compare", "--trace", "ran.json.gz", *OWN], catch_exceptions=False)


def test_rows_that_are_cut_are_counted(folder):
    (folder / "long.csv").write_text("text,label\n" + '"' + "a fine film , " * 60 + '",positive\nshort,negative\n')
    done = CliRunner().invoke(app, ["evaluate", "--data", "long.csv", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["cut"] == 1
    assert done.stderr == "1 of 2 rows were truncated to 128 tokens; --max-length allows more\n"
    assert answer("evaluate", "--data", "long.csv", "--max-length", "300")["cut"] == 0


def test_texts_alone_do_for_what_needs_no_labels(folder):
    trace = folder / "trace.json.gz"
    found = answer("run", "--data", "texts.jsonl", "--trace", str(trace))
    assert [row["labels"] for row in found["texts"]] == [["positive"], ["negative"]] * 2 and "correct" not in found
    told = Trace.load(trace)
    assert told.sequences == 4 and told.program == load("sst2").hash and told.silent_share == found["silent_share"]
    assert answer("run", *OWN)["correct"] == 4
    assert answer("verify", "--data", "texts.jsonl", "--limit", "1")["n"] == 1


def test_rows_are_of_the_models_own_task_in_every_answer(folder):
    """Not of one named after the file, unless the model knows none; the data stand beside it."""
    replace(load("sst2"), task="verdict").save(folder / "own")
    texts = ["--data", "dev.csv", "--text", "verdict_text"]
    found = [
        answer("evaluate", *OWN, "--model", "own"),
        answer("verify", *texts, "--model", "own", "--limit", "1"),
        answer("energy", *texts, "--model", "own"),
        answer("predict", "own", *texts, "--output", "answers.csv"),
    ]
    assert [(one["task"], one["data"]) for one in found] == [("verdict", "dev.csv")] * 4 and found[0]["split"] is None
    replace(load("sst2"), task=None).save(folder / "plain")
    assert answer("predict", "plain", *texts, "--output", "plain.csv")["task"] == "dev"


def test_scores_of_other_rows_do_not_pass_for_those_of_glue(folder):
    score = ["glue", "score", "sst2", "--output", "results.json", *OWN]
    found = answer(*score)
    assert (found["task"], found["data"], found["metric"]) == ("sst2", "dev.csv", "accuracy")
    assert found["command"] == f"matterhorn evaluate {' '.join(OWN)} --model sst2 --json"
    rows = {row["task"]: row["spiking"] for row in answer("glue", "table", "results.json")["tasks"]}
    assert rows["sst2"] is None and rows["sst2 on dev.csv"] == 1
    card = model_card(load("sst2"), read_result(folder / "results.json"), name="mine")
    assert "GLUE" not in card and "name: sst2 on dev.csv" in card and "| Accuracy, sst2 on dev.csv (4) |" in card


def test_a_shipped_tasks_metric_stays_with_its_model(folder):
    replace(load("sst2"), task="cola", labels=("unacceptable", "acceptable")).save(folder / "own")
    rows = "".join(f'"{text}",{int(label == "Positive")}\n' for text, label in LINES)
    (folder / "marks.csv").write_text("text,label\n" + rows)
    found = answer("evaluate", "--model", "own", "--data", "marks.csv")
    assert (found["task"], found["metric"], found["value"]) == ("cola", "matthews", 1)


def test_predict_takes_the_column_text_where_none_is_named(folder):
    assert answer("predict", "sst2", "--data", "texts.jsonl", "--output", "out.jsonl")["n"] == 4
    assert "default: text" in CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "200"}).stdout


def test_facts_are_shown_as_they_are(capsys):
    """Small numbers by their first figures, no minus before nought, nothing of Python."""
    print_facts("facts", {"eps": 1e-12, "nought": -0.0, "metrics": {"f1": 0.5}, "labels": ["a", "b"], "share": 0.25})
    said = capsys.readouterr().out
    assert all(own in said for own in ("1e-12", " 0.0000", "f1 0.5000", "a, b", "0.2500")) and "-0.0" not in said


BAD = {
    "no such column; choose from the columns 'verdict_text', 'verdict'": ["evaluate", "--data", "dev.csv"],
    "the labels are Negative, Positive, the model's outputs entailment, not_entailment": [
        "evaluate", "--model", "rte", *OWN
    ],
    "own: no texts, and the shipped sample is of another task; give a sentence": ["run", "--model", "own"],
    "--split: a file has no splits": ["evaluate", *OWN, "--split", "train"],
    "texts and rows": ["run", "a text", "--data", "texts.jsonl"],
    "one text per row, the model takes two": ["energy", "--model", "rte", "--data", "texts.jsonl"],
    "two texts per row, the model takes one": ["evaluate", *OWN, "--text", "verdict"],
    "two texts per row, the model takes one; give one column, or texts without a tab": ["run", "one\tand another"],
    "label: no such column": ["evaluate", "--data", "texts.jsonl"],
    "dev.xlsx: unknown kind of file; save it as one of .csv, .tsv": ["evaluate", "--data", "dev.xlsx"],
    "are 0.25, 1.25, 10.25, 11.25, 12.25, 13.25, 14.25, 15.25, 16.25, 17.25 and 20 more, the model's outputs": [
        "evaluate", "--data", "scores.csv"
    ],
}  # fmt: skip


@pytest.mark.parametrize("shard", ["²/4", "0/²", "1", "-1/4"])
def test_a_shard_is_two_numbers(folder, shard):
    with pytest.raises(InputError, match=r"--shard: .* is not i/n; write e\.g\. 0/4"):
        command = ["predict", "sst2", "--data", "texts.jsonl", "-o", "a.csv", "--shard", shard]
        CliRunner().invoke(app, command, catch_exceptions=False)


MISSING = {
    "gone.csv: no such file": ["--data", "gone.csv"],
    "gone.yaml: --task: no such file": ["--task", "gone.yaml"],
    "unknown task 'gone'": ["--task", "gone"],
    "gone: --glue-dir: no such folder": ["--task", "sst2", "--glue-dir", "gone"],
}


@pytest.mark.parametrize("message", MISSING)
@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"], ["verify"], ["run"], ["energy"], ["compare"], ["msu", "study"], ["publish", "run", "mine"],
        ["glue", "score", "sst2", "--output", "results.json"],
    ],
)  # fmt: skip
def test_what_is_named_is_there_before_any_work(folder, command, message, monkeypatch):
    monkeypatch.setattr("matterhorn.program.files.load", None)
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, [*command, *MISSING[message]], catch_exceptions=False)
    assert message in str(caught.value)


def test_traces_are_read_before_models_run(folder, monkeypatch):
    monkeypatch.setattr("matterhorn.program.files.load", None)
    with pytest.raises(InputError, match=r"gone\.json\.gz: no such file"):
        CliRunner().invoke(app, ["compare", *OWN, "--model", "sst2", "--trace", "gone.json.gz"], catch_exceptions=False)


def test_a_model_of_ones_own_task_wants_rows(folder):
    replace(load("sst2"), task="verdict").save(folder / "own")
    with pytest.raises(InputError, match="own rows are not known; give --data FILE --text COLUMN --label COLUMN"):
        CliRunner().invoke(app, ["evaluate", "--model", "own"], catch_exceptions=False)


@pytest.mark.parametrize("message", BAD)
def test_bad_rows_are_refused_in_one_line(folder, message):
    if "own" in BAD[message]:
        replace(load("sst2"), task="verdict", labels=("return", "keep")).save(folder / "own")
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, BAD[message], catch_exceptions=False)
    assert message in str(caught.value) and "\n" not in str(caught.value)
