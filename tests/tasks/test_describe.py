"""From rows of any source to tasks and examples. Sentences of our own."""

from __future__ import annotations

import json

import datasets
import pyarrow as arrow
import pytest

from matterhorn.errors import InputError
from matterhorn.tasks import Task, describe, get_task, load_examples, read_rows

OWN = {"name": "own", "text": ["text"], "label": ["label"], "labels": ["x", "y"]}

ROWS = [
    {"review": "A kettle that pours well.", "verdict": "keep"},
    {"review": 'The lid says "push", and\nsticks.', "verdict": "return"},
    {"review": "Fine for tea, not for soup.", "verdict": "keep"},
]
TEXTS = [(row["review"],) for row in ROWS]
NUMBERS = [row | {"verdict": int(row["verdict"] == "keep")} for row in ROWS]


def quoted(value: object, mark: str) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in f'"\n{mark}') else text


def write(path, rows):
    """Rows in the format that the file's name says."""
    if path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(str(path))
    elif path.suffix in (".csv", ".tsv"):
        mark = "," if path.suffix == ".csv" else "\t"
        lines = [mark.join(quoted(v, mark) for v in row.values()) for row in rows]
        path.write_text("\n".join([mark.join(rows[0]), *lines, ""]), encoding="utf-8")
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("[" + ",".join(lines) + "]" if path.suffix == ".json" else "\n".join(lines), encoding="utf-8")
    return path


def sources(folder, rows):
    """The same rows from everything that rows are read from."""
    yield from (write(folder / f"rows.{kind}", rows) for kind in ("csv", "tsv", "json", "jsonl", "parquet"))
    yield from (rows, datasets.Dataset.from_list(rows))
    saved = folder / "saved"
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(saved)
    yield str(saved)


def test_every_source_gives_the_same_rows(tmp_path):
    for source in sources(tmp_path, ROWS):
        task = describe(source, "review", "verdict")
        assert (task.kind, task.labels, task.outputs) == ("single_label", ["keep", "return"], 2)
        assert task.metrics == ["accuracy", "macro_f1"] and not task.is_regression
        found = read_rows(source, task)
        assert (found.texts, found.labels) == (TEXTS, [0, 1, 0])
        assert read_rows(source, task, labelled=False).labels == []


@pytest.mark.parametrize("labels, wanted", [(["return", "keep"], [1, 0, 1]), (["KEEP", "Return"], [0, 1, 0])])
def test_labels_are_matched_with_a_models_by_name(tmp_path, labels, wanted):
    for source in sources(tmp_path, ROWS):
        task = describe(source, "review", "verdict", labels=labels)
        assert task.labels == labels and read_rows(source, task).labels == wanted


def test_a_model_may_know_more_labels_than_the_rows_show():
    assert read_rows(ROWS, describe(ROWS, "review", "verdict", labels=["odd", "return", "keep"])).labels == [2, 1, 2]


@pytest.mark.parametrize("labels", [["bad", "good"], ["LABEL_0", "LABEL_1"]])
def test_numbers_are_those_of_the_models_outputs(tmp_path, labels):
    for source in sources(tmp_path, NUMBERS):
        task = describe(source, "review", "verdict", labels=labels)
        assert task.labels == labels and read_rows(source, task).labels == [1, 0, 1]


def test_outputs_whose_names_are_numbers_are_still_counted_from_0():
    """Stars from 1 to 5, written 0 to 4; written 1 to 5 they are names."""
    stars = [str(number) for number in range(1, 6)]
    for first in (0, 1):
        rows = [{"text": "a", "label": number + first} for number in range(5)]
        task = describe(rows, labels=stars)
        assert read_rows(rows, task).labels == [0, 1, 2, 3, 4], first
        assert read_rows(rows, task.for_labels(stars)).labels == [0, 1, 2, 3, 4], first
    rows = [{"text": "a", "label": 0}, {"text": "a", "label": 1}]
    task = Task(name="own", text=["text"], label=["label"], labels=["1", "2"], aliases={"1": ["0"], "2": ["1"]})
    assert read_rows(rows, task.for_labels(["2", "1"])).labels == [1, 0]


def test_what_is_binary_is_no_text_and_no_label():
    with pytest.raises(InputError, match="row 0, column text: a bytes; give a text"):
        read_rows([{"text": b"a", "label": "x"}, {"text": b"b", "label": "y"}], Task(**OWN))
    with pytest.raises(InputError, match="binary; store the column as text"):
        read_rows([{"text": "a", "label": b"x"}], Task(**OWN))


def test_numbers_with_gaps_and_truth_values_are_classes():
    floats = [row | {"verdict": float(row["verdict"])} for row in NUMBERS]
    assert describe(floats, "review", "verdict").labels == ["0", "1"]
    flags = [row | {"verdict": bool(row["verdict"])} for row in NUMBERS]
    assert read_rows(flags, describe(flags, "review", "verdict", labels=["no", "yes"])).labels == [1, 0, 1]
    for written in (("TRUE", "FALSE"), ("true", "false")):
        named = [{"text": "a", "label": word} for word in written]
        assert read_rows(named, describe(named, labels=["no", "yes"])).labels == [1, 0]
    large = [{"text": "a", "label": number} for number in (2**53, 2**53 + 1)]
    assert len(describe(large).labels) == 2
    many = [{"text": "a", "label": number} for number in (10, 9, 2)]
    assert describe(many).labels == ["2", "9", "10"]


@pytest.mark.parametrize(
    "rows, labels",
    [
        (ROWS, ["good", "bad"]),
        (ROWS, ["LABEL_0", "LABEL_1"]),
        (ROWS, ["keep", "send back"]),
        ([{"review": "a", "verdict": n} for n in (1, 2)], ["one star", "two stars", "three stars"]),
        ([{"review": "a", "verdict": n} for n in (0, 3)], ["low", "mid", "high"]),
    ],
)
def test_labels_that_do_not_match_are_refused_in_one_line(rows, labels):
    with pytest.raises(
        InputError, match=r"column verdict: the labels are .*, the model's outputs .*; name them alike"
    ) as error:
        describe(rows, "review", "verdict", labels=labels)
    assert "\n" not in str(error.value)


def test_names_of_a_sets_numbers_are_its_labels(tmp_path):
    names = datasets.ClassLabel(names=["Return", "keep"])
    own = datasets.Dataset.from_list(NUMBERS).cast_column("verdict", names)
    own.to_parquet(str(tmp_path / "named.parquet"))
    for source in (own, tmp_path / "named.parquet"):
        assert describe(source, "review", "verdict").labels == ["Return", "keep"]
        task = describe(source, "review", "verdict", labels=["KEEP", "RETURN"])
        assert read_rows(source, task).labels == [0, 1, 0]
        task = describe(source, "review", "verdict", labels=["LABEL_0", "LABEL_1"])
        assert task.labels == ["Return", "keep"] and read_rows(source, task).labels == [1, 0, 1]
        with pytest.raises(InputError, match="name them alike"):
            describe(source, "review", "verdict", labels=["bad", "good"])
    unknown = own.map(lambda row: row | {"verdict": -1})
    with pytest.raises(InputError, match="row 0, column verdict: no label"):
        describe(unknown, "review", "verdict")


def test_pairs_are_two_columns(tmp_path):
    rows = [{"claim": "It rains.", "found": "The street is dry.", "so": s} for s in ("yes", "no")]
    for source in sources(tmp_path, rows):
        task = describe(source, ["claim", "found"], "so")
        assert task.text == ["claim", "found"]
        assert read_rows(source, task).texts == [("It rains.", "The street is dry.")] * 2


def test_scores_are_a_regression(tmp_path):
    rows = [{"text": f"Line {i}.", "label": i / 4} for i in range(4)]
    for source in sources(tmp_path, rows):
        task = describe(source)
        assert (task.kind, task.labels, task.metrics) == ("regression", ["score"], ["pearson", "spearman"])
        assert read_rows(source, task).labels == [0, 0.25, 0.5, 0.75]
    assert describe([{"text": "a", "label": 3}], labels=["LABEL_0"]).is_regression  # one output: whole numbers as well
    with pytest.raises(InputError, match="one score per row, the model has 2 outputs"):
        describe(rows, labels=["a", "b"])


def test_several_scores_are_several_columns():
    rows = [{"text": "a", "warmth": 0.5, "wit": 2}, {"text": "b", "warmth": 1.5, "wit": 1}]
    task = describe(rows, "text", ["warmth", "wit"], labels=["wit", "warmth"])
    assert (task.kind, task.labels, task.outputs) == ("regression", ["wit", "warmth"], 2)
    assert read_rows(rows, task).labels == [[2, 0.5], [1, 1.5]]
    listed = [{"text": "a", "label": [0.5, 2]}, {"text": "b", "label": [1.5, 1]}]
    task = describe(listed)
    assert task.is_regression and read_rows(listed, task).labels == [[0.5, 2], [1.5, 1]]


MULTI = [(["warm", "wet"], [1, 0, 1]), ([], [0, 0, 0]), (["dry"], [0, 1, 0])]


def test_lists_are_several_labels(tmp_path):
    rows = [{"text": "a", "label": own} for own, _ in MULTI]
    for source in sources(tmp_path, rows):
        task = describe(source, labels=["WARM", "dry", "wet"])
        assert task.kind == "multi_label" and task.metrics == ["micro_f1", "exact_match"]
        assert read_rows(source, task).labels == [flags for _, flags in MULTI]
        assert describe(source).labels == ["dry", "warm", "wet"]


def test_several_labels_as_flags_in_columns_in_lists_and_in_a_text(tmp_path):
    wanted = [flags for _, flags in MULTI]
    columns = [{"text": "a"} | dict(zip(("warm", "dry", "wet"), flags, strict=True)) for flags in wanted]
    for source in sources(tmp_path, columns):
        task = describe(source, "text", ["wet", "dry", "warm"], labels=["warm", "dry", "wet"])
        assert task.kind == "multi_label" and read_rows(source, task).labels == wanted
    lists = [{"text": "a", "label": flags} for flags in wanted]
    task = describe(lists, labels=["warm", "dry", "wet"])
    assert task.flags and read_rows(lists, task).labels == wanted
    texts = [{"text": "a", "label": "; ".join(own)} for own, _ in MULTI]
    task = describe(texts, kind="multi_label", separator=";", labels=["warm", "dry", "wet"])
    assert read_rows(texts, task).labels == wanted


FAULTS = {
    "column": ("text,verdict\na,x\n", r"review: no such column; choose from the columns 'text', 'verdict'"),
    "empty text": ("review,verdict\na,x\n ,y\n", "row 3, column review: empty text"),
    "missing label": ("review,verdict\na,x\nb,\n", "row 3, column verdict: no label"),
    "NaN": ("review,verdict\na,x\nb,NaN\n", "row 3, column verdict: no label"),
    "ragged": ("review,verdict\na,x\nb, and more,y\n", "row 3: 3 of 2 columns"),
    "short": ("review,verdict\na,x\nb\n", "row 3: 1 of 2 columns"),
    "open quote": ('review,verdict\na,x\n"b,y\nc,x\n', "row 3: unexpected end of data"),
    "no rows": ("review,verdict\n", "no rows"),
    "nothing": ("", "empty; give a header, and at least one row"),
    "semicolons": ("review;verdict\na;x\n", r"no such column; put commas \(.csv\) or tabs .* not ';'"),
    "tabs": ("review\tverdict\na\tx\n", r"no such column; put commas .* not '\\t'"),
    "twice": ("review,review,verdict\na,b,x\n", "column 'review': a duplicate column"),
    "one label": ("review,verdict\na,x\nb,x\n", "only one label: x"),
    "after two lines": ('review,verdict\n"a\nb",x\nc,\n', "row 4, column verdict"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files_name_file_row_and_column(tmp_path, fault):
    text, message = FAULTS[fault]
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_rows(path, describe(path, "review", "verdict"))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_unknown_labels_and_scores_name_their_row():
    task = describe(ROWS, "review", "verdict")
    with pytest.raises(InputError, match=r"row 1, column verdict: label 'burn'; use one of \['keep', 'return'\]"):
        read_rows([ROWS[0], ROWS[1] | {"verdict": "burn"}], task)
    with pytest.raises(InputError, match="row 0, column verdict: score 'high'"):
        read_rows(
            [{"review": "a", "verdict": "high"}], describe([{"review": "a", "verdict": 0.5}], "review", "verdict")
        )
    for value in (None, float("nan")):
        with pytest.raises(InputError, match="row 0, column verdict: no label"):
            read_rows([{"review": "a", "verdict": value}], task)


def test_marks_and_line_ends_of_other_systems_are_read(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffreview,verdict\r\nÇa va.,x\r\n\r\n"two\r\nlines",y\r\n'.encode())
    assert read_rows(path, describe(path, "review", "verdict")).texts == [("Ça va.",), ("two\r\nlines",)]
    path.write_bytes("review,verdict\nÇa va.,x\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        describe(path, "review", "verdict")


OTHERS = {
    "rows.txt": ("a", "unknown kind of file"),
    "cut.jsonl": ('{"review": "a", "verdict": "x"}\n{"review": ', "row 2: not JSON"),
    "gap.jsonl": ('{"review": "a", "verdict": "x"}\n\n{"review": "b"}', "row 3: no 'verdict'"),
    "list.jsonl": ('{"review": "a", "verdict": "x"}\n["b"]', "row 2: a list"),
    "map.json": ('{"review": "a"}', "not a list"),
    "cut.json": ('[{"review": "a"', "not JSON"),
    "cut.parquet": ("PAR1", "cannot be read"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_faulty_files_of_other_formats(tmp_path, name):
    text, message = OTHERS[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        describe(tmp_path / name, "review", "verdict")


def test_sources_that_are_none():
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        describe("nowhere.csv")
    with pytest.raises(InputError, match="no/such-set: cannot be loaded"):
        describe("no/such-set")
    with pytest.raises(InputError, match="several splits: a, b"):
        describe(datasets.DatasetDict(a=datasets.Dataset.from_list(ROWS), b=datasets.Dataset.from_list(ROWS)))
    with pytest.raises(InputError, match="give a mapping"):
        describe(["a text"], "review", "verdict")


def test_a_split_of_a_folder_is_named_behind_it(tmp_path):
    for split, rows in (("train", ROWS), ("test", ROWS[:2])):
        write(tmp_path / f"{split}.jsonl", rows)
    task = describe(str(tmp_path), "review", "verdict")
    assert len(read_rows(str(tmp_path), task)) == 2  # of a set without validation rows those of its test
    assert len(read_rows(f"{tmp_path}:train", task)) == 3
    with pytest.raises(InputError, match="no split 'dev'; choose from "):
        read_rows(f"{tmp_path}:dev", task)


def test_glues_labels_follow_a_models():
    task = get_task("mnli").for_labels(["contradiction", "ENTAILMENT", "neutral"])
    assert task.labels == ["contradiction", "ENTAILMENT", "neutral"]
    assert task.classes == ["contradiction", "entailment", "neutral"]
    task = get_task("mrpc").for_labels(["equivalent", "not_equivalent"])
    assert task.classes == ["1", "0"] and task.positive == "equivalent"
    assert get_task("rte").for_labels(["LABEL_0", "LABEL_1"]) is get_task("rte")
    for labels, problem in ((["a", "b"], "the model's outputs are a, b"), (["a"] * 3, "3 outputs, rte needs 2")):
        with pytest.raises(InputError, match=problem):
            get_task("rte").for_labels(labels)


def test_rows_in_memory_of_other_kinds():
    """A data set of a generator does not know its columns; a table of Arrow is columns, not rows."""
    rows = [{"text": "warm", "label": "good"}, {"text": "cold", "label": "bad"}]
    made = datasets.IterableDataset.from_generator(lambda: iter(rows))
    task = describe(made)
    assert task.labels == ["bad", "good"] and read_rows(made, task).labels == [1, 0]
    for source, says in (
        (arrow.table({"text": ["warm"], "label": ["good"]}), "rows: a Table, not rows; give a file, a data set"),
        (None, "rows: a NoneType, not rows"),
        (7, "rows: a int, not rows"),
    ):
        with pytest.raises(InputError, match=says):
            describe(source)


def test_the_folder_of_glue_may_be_a_text(tmp_path):
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nfine\t1\n")
    assert load_examples(get_task("sst2"), "dev", str(tmp_path)).labels == [1]
