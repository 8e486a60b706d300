from __future__ import annotations

import sys

import pytest

from matterhorn.errors import InputError
from matterhorn.tasks.rows import Examples, hold_out, load_examples, read_rows
from matterhorn.tasks.task import Task, get_task, tasks


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_nine_tasks_by_any_usual_name():
    assert len(tasks()) == 9
    assert get_task("SST-2") is get_task("sst2")
    assert get_task("STS-B").is_regression and get_task("mnli").outputs == 3
    with pytest.raises(InputError, match="choose one of"):
        get_task("imdb")


def test_quotes_and_tabs_are_read_as_written(tmp_path):
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    path = write(tmp_path / "m.tsv", header + '1\t7\t8\tHe said "no.\t"Never, he said.\n')
    assert read_rows(path, get_task("mrpc")).texts == [('He said "no.', '"Never, he said.')]
    header = "id\tquestion1\tquestion2\tis_duplicate\n"
    path = write(tmp_path / "q.tsv", header + '0\t"Is ""the"" needed?"\tWhy?\t0\n')
    assert read_rows(path, get_task("qqp")).texts == [('Is "the" needed?', "Why?")]


def test_cola_without_a_header(tmp_path):
    path = write(tmp_path / "c.tsv", "gj04\t1\t\tShe sleeps.\ngj04\t0\t*\tShe sleep soundly have.\n")
    examples = read_rows(path, get_task("cola"))
    assert examples.labels == [1, 0] and examples.texts[0] == ("She sleeps.",)


def test_rows_to_predict_may_be_empty_and_have_no_labels(tmp_path):
    write(tmp_path / "QQP" / "test.tsv", "id\tquestion1\tquestion2\n0\ta dog ?\t\n1\ta cat ?\ta dog ?\n")
    rows = load_examples(get_task("qqp"), "test", tmp_path)
    assert rows.texts == [("a dog ?", ""), ("a cat ?", "a dog ?")] and rows.labels == []
    assert rows.subset([1]).texts == [("a cat ?", "a dog ?")]


def test_texts_of_ones_own_are_never_empty(tmp_path):
    path = write(tmp_path / "s.csv", "text,label\nfine,a\n,b\n")
    with pytest.raises(InputError, match=r"s\.csv: row 3, column text: empty text"):
        read_rows(path, Task(name="own", text=["text"], label=["label"], labels=["a", "b"]), labelled=False)


FAULTS = {
    "columns": ("text\tlabel\nfine\t1\n", "sentence"),
    "label": ("sentence\tlabel\nfine\t1\nbad\t2\n", "row 3.*label '2'"),
    "text": ("sentence\tlabel\nfine\t1\n \t0\n", "row 3.*empty"),
    "equal columns": ("\t".join(["c"] * 200_000) + "\n", "a duplicate column"),
    "short row": ("sentence\tlabel\nfine\t1\nbad\n", "row 3.*1 of 2 columns"),
    "no rows": ("sentence\tlabel\n", "no rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files_name_file_and_row(tmp_path, fault):
    text, message = FAULTS[fault]
    path = write(tmp_path / "SST-2" / "dev.tsv", text)
    with pytest.raises(InputError, match=message) as error:
        load_examples(get_task("sst2"), "dev", tmp_path)
    assert str(path) in str(error.value)


def test_a_text_too_long_to_read_is_named_by_its_row(tmp_path):
    path = write(tmp_path / "s.tsv", "sentence\tlabel\na\t1\n" + "long " * 2**18 + "\t0\n")
    with pytest.raises(InputError, match=r"s\.tsv: row 3, column sentence: 1310719 .* \(begins 'long long"):
        read_rows(path, get_task("sst2"))


def test_cells_may_be_longer_than_the_csv_module_reads_by_default(tmp_path):
    task = Task(name="own", text=["text"], label=["label"], labels=["a", "b"])
    path = write(tmp_path / "s.csv", "text,label,page\nfine,a," + "x" * 2**18 + "\n")
    assert read_rows(path, task).texts == [("fine",)]
    path = write(tmp_path / "t.csv", "text,label\nfine,a\n" + "long " * 2**18 + ",b\n")
    with pytest.raises(InputError, match=r"t\.csv: row 3, column text: 1310719 .*cut it"):
        read_rows(path, task)


def test_scores_out_of_range_are_refused(tmp_path):
    path = write(tmp_path / "s.tsv", "sentence1\tsentence2\tscore\na\tb\t4.5\na\tb\t5.5\n")
    with pytest.raises(InputError, match=r"row 3.*5\.5"):
        read_rows(path, get_task("stsb"))


def test_missing_file_and_split_say_how_to_name_them(tmp_path):
    with pytest.raises(InputError, match="--glue-dir"):
        load_examples(get_task("rte"), "dev", tmp_path)
    with pytest.raises(InputError, match="no split 'final'; choose one of"):
        load_examples(get_task("rte"), "final", tmp_path)


def test_the_hub_needs_a_package_that_one_can_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r'give --glue-dir, or pip install "matterhorn-snn\[train\]"'):
        load_examples(get_task("rte"), "dev")


def test_held_out_sentences_leave_no_pieces_behind():
    whole = [" ".join(f"w{i}_{j}" for j in range(20)) for i in range(30)]
    pieces = [" ".join(s.split()[a : a + 6]) for s in whole for a in (0, 5, 12)]
    longer = [f"{s} and more" for s in whole[:3]]
    examples = Examples([(t,) for t in whole + pieces + longer], [0.0] * (len(whole) + len(pieces) + len(longer)))
    learn, chosen = hold_out(examples, 8, seed=1, fragments=True)
    assert len(chosen) == 8
    for (sentence,) in chosen.texts:
        assert len(sentence.split()) >= 15
        for (text,) in learn.texts:
            assert text not in sentence and sentence not in text


def test_pieces_alone_cannot_be_chosen_by():
    with pytest.raises(InputError, match="no whole sentences"):
        hold_out(Examples([("a piece",)] * 20, [0.0] * 20), 4, seed=1, fragments=True)


def test_hold_out_is_seeded_and_disjoint():
    examples = Examples([(str(i),) for i in range(100)], list(range(100)))
    learn, chosen = hold_out(examples, 50, seed=3)
    assert (len(learn), len(chosen)) == (80, 20)
    assert not {*learn.labels} & {*chosen.labels}
    assert hold_out(examples, 50, seed=3)[1].labels == chosen.labels != hold_out(examples, 50, seed=4)[1].labels


def test_real_rows(glue_dir):
    counts = {"cola": 1043, "sst2": 872, "mrpc": 408, "stsb": 1500, "rte": 277, "wnli": 71, "qnli": 5463, "mnli": 9815}
    for name, count in counts.items():
        assert len(load_examples(get_task(name), "dev", glue_dir)) == count
