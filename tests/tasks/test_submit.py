"""The test server's zip: small networks with random weights, sentences of our own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from matterhorn.errors import InputError
from matterhorn.program import Program
from matterhorn.tasks.evaluate import predict
from matterhorn.tasks.rows import load_examples
from matterhorn.tasks.submit import as_predictions, sheets, submit
from matterhorn.tasks.task import get_task, tasks
from matterhorn.tasks.tokens import tokens_for

from ..networks import small_program

LINES = ["a b c", "d e f g", "h a b c d", "a f g h", "b a c d e f"]

COLUMNS = {
    "cola": ["index", "sentence"],
    "sst2": ["index", "sentence"],
    "mrpc": ["index", "#1 ID", "#2 ID", "#1 String", "#2 String"],
    "stsb": ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"],
    "qqp": ["id", "question1", "question2"],
    "mnli": ["index", "promptID", "pairID", "genre", "sentence1_parse", "sentence2_parse", "sentence1", "sentence2"],
    "qnli": ["index", "question", "sentence"],
    "rte": ["index", "sentence1", "sentence2"],
    "wnli": ["index", "sentence1", "sentence2"],
}
"""Of the official test files."""


def program_for(task: str) -> Program:
    program = small_program(1, labels=get_task(task).outputs)
    return program.from_arrays(
        program.config, program.arrays(), labels=program.labels, task=task, tokenizer=program.tokenizer
    )


def lay_test(folder: Path) -> Path:
    """Five test rows of every task."""
    for name, header in COLUMNS.items():
        task = get_task(name)
        for split in ("test", "test_mismatched"):
            if split in task.files:
                write_rows(folder / task.files[split], header, task.text)
    write_rows(folder / "diagnostic" / "diagnostic.tsv", COLUMNS["rte"], ["sentence1", "sentence2"])
    return folder


def write_rows(path: Path, header: list[str], text: list[str]) -> None:
    cells = [[line if column in text else "x" for column in header[1:]] for line in LINES]
    rows = ["\t".join([str(index), *row]) for index, row in enumerate(cells)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["\t".join(header), *rows, ""]), encoding="utf-8")


def read_zip(path: Path) -> dict[str, list[list[str]]]:
    with zipfile.ZipFile(path) as archive:
        return {n: [r.split("\t") for r in archive.read(n).decode().splitlines()] for n in archive.namelist()}


def test_the_zip_has_what_the_server_takes(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    submit({task: program_for(task) for task in tasks()}, output, rows)
    files = read_zip(output)
    names = ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX"]
    assert sorted(files) == sorted(f"{name}.tsv" for name in names) and not list(tmp_path.glob("*.tmp"))
    three = {"entailment", "neutral", "contradiction"}
    two = {"entailment", "not_entailment"}
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
    rows, output, program = lay_test(tmp_path / "glue"), tmp_path / "submission.zip", program_for("qnli")
    submit({"qnli": program}, output, rows, backend="stepped")
    task = get_task("qnli")
    logits = predict(program, tokens_for(program, load_examples(task, "test", rows), 128, task=task)).logits
    assert [row[1] for row in read_zip(output)["QNLI.tsv"][1:]] == [task.classes[i] for i in logits.argmax(-1)]


def test_a_model_with_permuted_outputs_says_the_same(tmp_path):
    rows, program = lay_test(tmp_path / "glue"), program_for("qnli")
    arrays = {n: a[::-1] if n.startswith("classifier.") else a for n, a in program.arrays().items()}
    about = {"task": "qnli", "tokenizer": program.tokenizer}
    said = []
    for name, labels, own in (
        ("a", [*get_task("qnli").labels], program.arrays()),
        ("b", ["not_entailment", "entailment"], arrays),
    ):
        model = program.from_arrays(program.config, own, labels=labels, **about)
        submit({"qnli": model}, tmp_path / f"{name}.zip", rows)
        said.append(read_zip(tmp_path / f"{name}.zip")["QNLI.tsv"])
    assert said[0] == said[1]


def test_what_is_not_predicted_is_filled_and_named(tmp_path):
    rows, output = lay_test(tmp_path / "glue"), tmp_path / "submission.zip"
    (rows / "RTE" / "test.tsv").unlink()
    problems = {file.name: file.problem for file in submit({"rte": program_for("rte")}, output, rows)}
    files = read_zip(output)
    assert len(files["RTE.tsv"]) == 1 + sheets()["RTE"].rows and len(files["CoLA.tsv"]) == 6
    assert "no test rows" in problems["RTE"] and "no model for cola" in problems["CoLA"]
    assert files["STS-B.tsv"][1] == ["0", "0.000"] and files["MNLI-mm.tsv"][1] == ["0", "entailment"]


def test_bad_submissions_are_refused_and_leave_nothing(tmp_path):
    rows, output, program = lay_test(tmp_path / "glue"), tmp_path / "submission.zip", program_for("rte")
    with pytest.raises(InputError, match="not for qnli"):
        submit({"qnli": program}, output, rows)
    with pytest.raises(InputError, match=r"submission\.zip"):
        submit({"rte": program}, tmp_path / "x.tar", rows)
    path = rows / "RTE" / "test.tsv"
    path.write_text(path.read_text().replace("3\t", "7\t"))
    with pytest.raises(InputError, match="index '7' instead of 3") as caught:
        submit({"rte": program}, output, rows)
    assert caught.value.field == "row 5" and not output.exists()
    path.write_bytes(path.read_text().replace("7\t", "3\t").encode() + b"5\tcaf\xe9\tb\n")
    with pytest.raises(InputError, match=r"test\.tsv: not UTF-8"):
        submit({"rte": program}, output, rows)


def test_scores_are_cut_to_the_scale():
    assert as_predictions(get_task("stsb"), np.array([[-1.0], [2.5], [9.0]])) == ["0.000", "2.500", "5.000"]
