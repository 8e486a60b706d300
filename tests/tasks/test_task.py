"""Tasks as data: small YAML files of one's own, and spellings of labels."""

from __future__ import annotations

import re

import pytest

from matterhorn.errors import InputError
from matterhorn.tasks import Task, read_rows

from .test_describe import ROWS, write


def test_a_task_of_ones_own_is_a_small_yaml(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    path = tmp_path / "kettles.yaml"
    path.write_text("text: review\nlabel: verdict\nfiles: {train: train.csv, dev: train.csv}\n")
    task = Task.from_yaml(path)
    assert (task.name, task.labels, task.text) == ("kettles", ["keep", "return"], ["review"])
    assert read_rows(task.files["dev"], task).labels == [0, 1, 0]
    assert Task.from_yaml(path, ["return", "keep"]).labels == ["return", "keep"]
    path.write_text("text: review\nlabel: verdict\nlabels: [return, keep]\nmetrics: [matthews]\n")
    assert Task.from_yaml(path).labels == ["return", "keep"]
    with pytest.raises(InputError, match="labels: the model's outputs are only numbered, LABEL_0 …; name the model's"):
        Task.from_yaml(path, ["LABEL_0", "LABEL_1"])
    for numbers, order in (
        ("return: [0], keep: [1]", ["return", "keep"]),
        ("return: [1], keep: [0]", ["keep", "return"]),
    ):
        numbered = re.sub(r"(\d)", r"'\1'", numbers)
        path.write_text(f"text: review\nlabel: verdict\nlabels: [return, keep]\naliases: {{{numbered}}}\n")
        assert Task.from_yaml(path, ["LABEL_0", "LABEL_1"]).labels == order
    path.write_text("text: review\nlabel: verdict\nlabels: [return, keep]\nmetrics: [matthews]\n")
    assert Task.from_yaml(path, ["Keep", "Return"]).labels == ["Keep", "Return"]


YAMLS = {
    "metrics: [bleu]\nlabels: [a, b]\ntext: t\nlabel: l": "metrics: 'bleu' is not one of accuracy",
    "text: t\nlabel: l": "labels: missing; list them, or give files",
    "text: t\nlabel: l\nlabels: [a, a]": "a duplicate in",
    "text: t\nlabel: l\nlabels: [a, b]\ncolor: red": "color: unknown key",
    "text: t\nlabel: l\nlabels: [a, b, c]\nmetrics: [f1]": "take macro_f1",
    "- text": "not a mapping",
    "text: [": "not YAML",
}


@pytest.mark.parametrize("text", YAMLS)
def test_faulty_yamls_name_file_and_field(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=YAMLS[text]):
        Task.from_yaml(path)


@pytest.mark.parametrize("line", ["", "name: sst2\n"])
def test_a_task_of_ones_own_does_not_pass_for_a_shipped_one(tmp_path, line):
    (tmp_path / "sst2.yaml").write_text(f"{line}text: t\nlabel: l\nlabels: [a, b]\n")
    assert Task.from_yaml(tmp_path / "sst2.yaml").name == "own sst2"


@pytest.mark.parametrize("aliases", [{"low": ["1"], "mid": ["1"]}, {"low": ["mid"]}])
def test_a_spelling_of_two_labels_is_refused(aliases):
    with pytest.raises(ValueError, match="is both"):
        Task(name="own", text=["text"], label=["label"], labels=["low", "mid"], aliases=aliases)
