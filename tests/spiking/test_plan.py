"""Which rows are read, and which output is which label: before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.spiking import make_plan
from matterhorn.spiking.plan import Plan
from matterhorn.tasks import Task

from .laid import lay_classifier, lay_rows

YAML = "text: review\nlabel: verdict\nfiles: {train: train.csv, dev: dev.csv}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier that says bad and good, rows, and tasks that list labels in its order, the other, and not at all."""
    lay_rows(tmp_path / "train.csv")
    lay_rows(tmp_path / "dev.csv", count=30, seed=1)
    lay_classifier(tmp_path / "model")
    for name, labels in (("same", "[bad, good]"), ("other", "[good, bad]"), ("none", "")):
        (tmp_path / f"{name}.yaml").write_text(YAML + (f"labels: {labels}\n" if labels else ""))
    return tmp_path


def labelled(plan: Plan) -> list[str]:
    """What the rows to report on are labelled, by the names of the model's outputs."""
    return [plan.teacher.labels[int(number)].lower() for number in plan.eval.labels]


def test_rows_longer_than_the_classifier_reads_are_refused(folder: Path) -> None:
    (folder / "dev.csv").write_text("review,verdict\n" + "film " * 90 + ",bad\nfilm,good\n")
    plan = make_plan(folder / "model", None, None, task=folder / "same.yaml")
    with pytest.raises(InputError, match="max_length: a row of 92 tokens, where at most 64 can be read"):
        plan.tokens(plan.eval)


def test_a_run_is_of_its_tokenizer_and_of_all_that_its_classifier_computes(folder: Path) -> None:
    """Not only of weights and rows. How a tokenizer pads and truncates plays no part, as the settings cut rows."""
    model = BertForSequenceClassification.from_pretrained(folder / "model")
    words = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))

    def identity() -> dict[str, object]:
        rows = {"train": None, "eval": folder / "dev.csv", "text": "review", "label": "verdict"}
        return make_plan(model, tokenizer=words, minutes=0, **rows).identity

    first = identity()
    words.enable_padding(length=64)
    words.enable_truncation(32)
    assert identity() == first and json.dumps(first)
    words.add_tokens(["warm film"])
    assert {name for name, value in identity().items() if value != first[name]} == {"tokenizer"}
    model.config.hidden_act = "relu"
    assert {name for name, value in identity().items() if value != first[name]} == {"tokenizer", "encoder"}


@pytest.mark.parametrize("name", ["same", "other", "none"])
def test_labels_are_matched_by_name(folder: Path, name: str) -> None:
    """In whatever order a file lists them, as with columns named one by one."""
    plain = make_plan(folder / "model", None, folder / "dev.csv", text="review", label="verdict")
    plan = make_plan(folder / "model", None, folder / "dev.csv", task=folder / f"{name}.yaml", minutes=0)
    assert plan.task.labels == plan.teacher.labels == ["bad", "good"]
    assert labelled(plan) == labelled(plain) == ["bad", "good"] * 15
    task = Task.from_yaml(folder / f"{name}.yaml")  # its labels are in the file's order still
    assert labelled(make_plan(folder / "model", None, None, task=task, minutes=0)) == labelled(plain)


def test_the_teacher_scores_the_same_whatever_order_labels_are_listed_in(folder: Path) -> None:
    """From the shell: value, teacher and agreement as without a task."""
    said = []
    task, columns = (
        ["--task", str(folder / "other.yaml")],
        ["--train", str(folder / "train.csv"), "--text", "review", "--label", "verdict"],
    )
    for name, asked in (("a", task), ("b", columns)):
        rows = ["--eval", str(folder / "dev.csv"), "--minutes", "0", "--verify-rows", "1", *asked]
        options = ["--weights", "int4", "--kv-bits", "4", "--output", str(folder / name), "--json"]
        done = CliRunner().invoke(app, ["spike", str(folder / "model"), *rows, *options], catch_exceptions=False)
        assert done.exit_code == 0
        answer = json.loads(done.stdout)
        said.append([answer["metrics"], answer["teacher_metrics"], answer["agreement"]])
    assert said[0] == said[1]


def numbered(folder: Path) -> Path:
    """The same classifier, its outputs numbered only."""
    model = BertForSequenceClassification.from_pretrained(folder / "model")
    model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    model.config.label2id = {"LABEL_0": 0, "LABEL_1": 1}
    lay_classifier(folder / "numbered")
    model.save_pretrained(folder / "numbered")
    return folder / "numbered"


@pytest.mark.parametrize("name", ["same", "other", "none"])
def test_outputs_that_are_only_numbered_match_no_names(folder: Path, name: str) -> None:
    """Guessing would swap labels without a word."""
    with pytest.raises(InputError, match=r"labels.*LABEL_0|LABEL_0.*name"):
        make_plan(numbered(folder), None, None, task=folder / f"{name}.yaml", minutes=0)


@pytest.mark.parametrize("labels", ["[bad, good]", "[good, bad]"])
def test_aliases_say_which_number_is_which_label(folder: Path, labels: str) -> None:
    (folder / "own.yaml").write_text(f"{YAML}labels: {labels}\naliases: {{bad: ['0'], good: ['1']}}\n")
    plan = make_plan(numbered(folder), None, None, task=str(folder / "own.yaml"), minutes=0)
    assert plan.task.labels == ["bad", "good"] and plan.eval.labels == [0, 1] * 15


def test_rows_are_those_of_the_task(folder: Path) -> None:
    """Both splits where none is given, one where the other is; named columns count more than the task's."""
    task, model = folder / "other.yaml", folder / "model"
    plan = make_plan(model, None, None, task=task)
    assert plan.train is not None and (len(plan.train), len(plan.eval)) == (60, 30) and plan.is_trained
    plan = make_plan(model, folder / "dev.csv", folder / "train.csv", task=task)
    assert plan.train is not None and (len(plan.train), len(plan.eval)) == (30, 60)
    assert not make_plan(model, None, None, task=task, minutes=0).is_trained
    (folder / "late.csv").write_text((folder / "dev.csv").read_text().replace("review,", "body,"))
    plan = make_plan(model, folder / "late.csv", folder / "late.csv", task=task, text="body")
    assert len(plan.eval) == 30 and plan.task.label == ["verdict"]


def test_glue_by_name(tmp_path: Path) -> None:
    """Columns, labels and rows of a shipped task; labels as the classifier calls them."""
    model = lay_classifier(tmp_path / "model")
    (tmp_path / "SST-2").mkdir()
    for split, count in (("train", 12), ("dev", 6)):
        lines = [f"a film, {'fine' if i % 2 else 'dull'}\t{i % 2}" for i in range(count)]
        (tmp_path / "SST-2" / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *lines]))
    with pytest.raises(InputError, match=r"outputs are bad, good, the labels of sst2 negative, positive"):
        make_plan(model, None, None, task="sst2", glue_dir=tmp_path)
    plan = make_plan(numbered(tmp_path), None, None, task="SST-2", glue_dir=tmp_path)
    assert plan.train is not None and (len(plan.train), plan.eval.labels) == (12, [0, 1] * 3)
    asked = ["--task", "sst2", "--glue-dir", str(tmp_path), "--dry-run", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["spike", str(tmp_path / "numbered"), *asked], catch_exceptions=False)
    assert done.exit_code == 0 and "total_minutes" in done.stdout and "12 given" in done.stdout


def test_a_setting_that_cannot_be_or_has_no_effect_is_refused_before_training(folder: Path) -> None:
    rows = (folder / "train.csv", folder / "dev.csv")
    about = {"text": "review", "label": "verdict"}
    for settings, problem in (
        ({"dead_zone": 8}, r"dead_zone: 8 is not possible; give 0 … 7"),
        ({"activation_bits": 2}, r"dead_zone: 3 is not possible; give 0 … 1"),
        ({"dead_zone": 0, "silent_share": 0.5}, "silent_share: no silence is held without a dead zone"),
        ({"dead_zone": 0, "quiet_share": 0.5}, "quiet_share: no silence is held without a dead zone"),
    ):
        with pytest.raises(InputError, match=problem):
            make_plan(folder / "model", *rows, **about, **settings)
    assert make_plan(folder / "model", *rows, **about, dead_zone=0).used.silent_share is None
    assert make_plan(folder / "model", *rows, **about).used.silent_share == 0.9
