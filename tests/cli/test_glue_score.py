"""``matterhorn glue score`` and ``submit``: small networks with random weights, sentences of our own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizerFast
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.models import from_bert
from matterhorn.models.checkpoint import save_spiking
from matterhorn.models.convert import convert
from matterhorn.models.from_bert import calibrate_steps, choose_silence, level_histograms
from matterhorn.training.data import load_examples, tokenize
from matterhorn.training.results import read_result
from matterhorn.training.submit import as_predictions, sheets
from matterhorn.training.tasks import get_task, tasks
from matterhorn.zoo import find

from ..conftest import small_batch, small_bert

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "runs", "sleeps", "fast", "here", "now", "?"]
LINES = ["a dog runs", "a cat sleeps here", "now a cat runs fast", "a dog sleeps now", "here a dog runs fast now"]


def network_for(task: str, folder: Path, k: int) -> Path:
    """A quantised network with random weights and a tokenizer beside it."""
    teacher = small_bert(labels=get_task(task).outputs, vocabulary=len(WORDS))
    model = from_bert(teacher).eval()
    batch = small_batch(vocabulary=len(WORDS))
    calibrate_steps(model, batch)
    model.set_dead_zone(k)
    choose_silence(model, level_histograms(model, [batch]))
    model.save_pretrained(folder)
    lay_tokenizer(folder)
    return folder


def lay_tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)


def spiking_for(task: str, folder: Path) -> Path:
    from matterhorn.models import MatterhornForSequenceClassification

    plain = network_for(task, folder.with_name(folder.name + "-quantised"), 1)
    network = convert(MatterhornForSequenceClassification.from_pretrained(plain).eval())
    extra = [plain / "tokenizer.json", plain / "tokenizer_config.json"]
    save_spiking(network, folder, task=task, extra=extra)
    return folder


def lay_run(folder: Path, task: str) -> Path:
    """A run's folder as ``matterhorn train`` leaves it."""
    small_bert(labels=get_task(task).outputs, vocabulary=len(WORDS)).save_pretrained(folder / "teacher" / "best")
    for number, k in enumerate((0, 1, 2)):
        network_for(task, folder / f"round-{number}-k{k}" / "best", k)
    (folder / "recipe.json").write_text(json.dumps({"task": task, "backbone": "tiny", "seed": 5}))
    return folder


def lay_dev(folder: Path, task: str, rows: int = 20) -> Path:
    """Labelled rows of two sentences, in GLUE's columns."""
    chosen = get_task(task)
    labels = [str(number % 6) for number in range(6)] if chosen.is_regression else chosen.classes
    lines = [f"{LINES[i % 5]}\t{LINES[i % 3]}\t{labels[i % len(labels)]}" for i in range(rows)]
    for split in ("dev", "dev_mismatched"):
        if split in chosen.files:
            path = folder / chosen.folder / chosen.files[split]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["\t".join([*chosen.text, chosen.label]), *lines]), encoding="utf-8")
    return folder


def lay_test(folder: Path) -> Path:
    """Five test rows of every task, in the columns of the official files."""
    columns = {
        "cola": ["index", "sentence"],
        "sst2": ["index", "sentence"],
        "mrpc": ["index", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        "stsb": ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"],
        "qqp": ["id", "question1", "question2"],
        "mnli": [
            "index",
            "promptID",
            "pairID",
            "genre",
            "sentence1_parse",
            "sentence2_parse",
            "sentence1",
            "sentence2",
        ],
        "qnli": ["index", "question", "sentence"],
        "rte": ["index", "sentence1", "sentence2"],
        "wnli": ["index", "sentence1", "sentence2"],
    }
    for name, header in columns.items():
        task = get_task(name)
        for split in ("test", "test_mismatched"):
            if split in task.files:
                write_rows(folder / task.folder / task.files[split], header, task.text)
    write_rows(
        folder / "diagnostic" / "diagnostic.tsv", ["index", "sentence1", "sentence2"], ["sentence1", "sentence2"]
    )
    return folder


def write_rows(path: Path, header: list[str], text: list[str]) -> None:
    rows = []
    for index, line in enumerate(LINES):
        cells = [line if column in text else "x" for column in header]
        rows.append("\t".join([str(index), *cells[1:]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["\t".join(header), *rows, ""]), encoding="utf-8")


def glue(*arguments: str) -> tuple[str, str]:
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
    assert {*result.teacher.metrics} == {*result.quantised.metrics} == {*result.spiking[0].metrics} == names
    assert [spiking.k for spiking in result.spiking] == [1, 2] and result.seed == 5 and result.backbone == "tiny"
    assert result.spiking[0].silent_share < result.spiking[1].silent_share and result.n == 20
    row = next(row for row in json.loads(glue("table", output, "--json")[0])["tasks"] if row["task"] == task)
    assert row["spiking"] == result.spiking[0].metrics[row["metric"]] and row["seeds"] == [5]


def test_the_command_in_the_file_gives_the_same_figures(tmp_path):
    rows, output = lay_dev(tmp_path / "glue", "rte"), tmp_path / "results.json"
    model = spiking_for("rte", tmp_path / "rte")
    glue("score", model, "--task", "rte", "--glue-dir", rows, "--output", output, "--name", model, "--seed", "2")
    result = read_result(output)
    assert result.teacher is None and result.seed == 2
    command = [*result.command.split()[1:], "--glue-dir", str(rows)]
    told = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    spiking = result.spiking[0]
    assert (told["metrics"], told["silent_share"], told["n"]) == (spiking.metrics, spiking.silent_share, result.n)
    assert told["events_per_token"] == spiking.events_per_token


def test_the_wrong_task_is_named(tmp_path):
    run, rows = lay_run(tmp_path / "run", "rte"), lay_dev(tmp_path / "glue", "mnli")
    lay_dev(rows, "wnli")
    for task, problem in (("mnli", "not of mnli"), ("wnli", "not of wnli")):
        with pytest.raises(InputError, match=problem):
            glue("score", run, "--task", task, "--glue-dir", rows, "--output", tmp_path / "r.json")
    (run / "recipe.json").unlink()
    with pytest.raises(InputError, match="2 outputs, mnli wants 3"):
        glue("score", run, "--task", "mnli", "--glue-dir", rows, "--output", tmp_path / "r.json")
    with pytest.raises(InputError, match="no network here"):
        glue("score", rows, "--task", "rte", "--glue-dir", rows, "--output", tmp_path / "r.json")


def read_zip(path: Path) -> dict[str, list[list[str]]]:
    with zipfile.ZipFile(path) as archive:
        return {n: [r.split("\t") for r in archive.read(n).decode().splitlines()] for n in archive.namelist()}


def test_the_zip_has_what_the_server_takes(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    models = {task: spiking_for(task, tmp_path / task) for task in tasks()}
    named = [word for task, folder in models.items() for word in ("--model", f"{task}={folder}")]
    glue("submit", "--glue-dir", rows, "--output", output, *named)
    files = read_zip(output)
    names = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX"]
    assert sorted(files) == sorted(f"{name}.tsv" for name in names) and not list(tmp_path.glob("*.tmp"))
    three = {"entailment", "neutral", "contradiction"}
    two = three - {"neutral", "contradiction"} | {"not_entailment"}
    named_sets = {"MNLI-m": three, "MNLI-mm": three, "AX": three, "QNLI": two, "RTE": two}
    for name in names:
        header, *body = files[f"{name}.tsv"]
        assert header == ["index", "prediction"] and [row[0] for row in body] == ["0", "1", "2", "3", "4"]
        if name == "STS-B":
            assert all(0 <= float(row[1]) <= 5 for row in body)
        else:
            assert {row[1] for row in body} <= named_sets.get(name, {"0", "1"})
    assert files["MNLI-m.tsv"] == files["AX.tsv"]


def test_predictions_are_those_of_the_network(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    model = spiking_for("qnli", tmp_path / "qnli")
    glue("submit", "--glue-dir", rows, "--output", output, "--model", f"qnli={model}", "--engine", "stepped")
    from transformers import PreTrainedTokenizerFast

    from matterhorn.engines import classify, get_engine
    from matterhorn.models.checkpoint import load_spiking

    task = get_task("qnli")
    tokens = tokenize(load_examples(task, "test", rows), PreTrainedTokenizerFast.from_pretrained(model), task, 128)
    batch = tokens.batch(list(range(5)))
    inputs = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
    logits = classify(load_spiking(model), *inputs, get_engine("exact"))
    expected = [task.classes[i] for i in logits.argmax(-1)]
    assert [row[1] for row in read_zip(output)["QNLI.tsv"][1:]] == expected


def test_what_is_not_predicted_is_filled_and_named(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    (rows / "RTE" / "test.tsv").unlink()
    model = spiking_for("rte", tmp_path / "rte")
    _, errors = glue("submit", "--glue-dir", rows, "--output", output, "--model", f"rte={model}")
    files = read_zip(output)
    assert len(files["RTE.tsv"]) == 1 + sheets()["RTE"].rows and len(files["CoLA.tsv"]) == 6
    assert "RTE.tsv: no test rows" in errors and "CoLA.tsv: no model for cola" in errors
    assert files["STS-B.tsv"][1] == ["0", "0.000"] and files["MNLI-mm.tsv"][1] == ["0", "entailment"]


def test_bad_submissions_are_refused_and_leave_nothing(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    model = spiking_for("rte", tmp_path / "rte")
    for arguments, problem in (
        (["--model", "rte"], "TASK=MODEL"),
        (["--model", f"qnli={model}"], "not for qnli"),
        (["--model", f"squad={model}"], "unknown task"),
        (["--output", tmp_path / "x.tar"], "submission.zip"),
    ):
        with pytest.raises(InputError, match=problem):
            glue("submit", "--glue-dir", rows, "--output", output, *arguments)
    path = rows / "RTE" / "test.tsv"
    path.write_text(path.read_text().replace("3\t", "7\t"))
    with pytest.raises(InputError, match="index '7' instead of 3") as caught:
        glue("submit", "--glue-dir", rows, "--output", output, "--model", f"rte={model}")
    assert caught.value.field == "row 5" and not output.exists()


def test_scores_are_cut_to_the_scale_and_empty_test_rows_are_kept(tmp_path):
    assert as_predictions(get_task("stsb"), np.array([[-1.0], [2.5], [9.0]])) == ["0.000", "2.500", "5.000"]
    path = tmp_path / "QQP" / "test.tsv"
    path.parent.mkdir()
    path.write_text("id\tquestion1\tquestion2\n0\ta dog ?\t\n1\ta cat ?\ta dog ?\n")
    assert load_examples(get_task("qqp"), "test", tmp_path).texts == [("a dog ?", ""), ("a cat ?", "a dog ?")]


def test_traces_of_parts_add_up_to_that_of_the_whole():
    from matterhorn.engines import TraceRecorder, classify, get_engine
    from matterhorn.models.checkpoint import load_spiking

    network = load_spiking(find("sst2"))
    ids = torch.randint(1000, 2000, (4, 9))
    types, present = torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool)
    recorders = [TraceRecorder(network) for _ in range(3)]
    for recorder, rows in zip(recorders, (slice(0, 4), slice(0, 1), slice(1, 4)), strict=True):
        classify(network, ids[rows], types[rows], present[rows], get_engine("exact"), recorder)
    whole, part, other = (recorder.trace for recorder in recorders)
    part.merge(other)
    assert part.lengths == whole.lengths and part.digital == whole.digital
    for name, connection in whole.connections.items():
        for field, value in vars(connection).items():
            assert np.array_equal(value, getattr(part.connections[name], field)), (name, field)
