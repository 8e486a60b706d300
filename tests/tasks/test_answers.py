from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from matterhorn import Predictor
from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.program.text import encodings
from matterhorn.tasks import answer_files, answers, predictor
from matterhorn.tasks.answers import write_answers

from ..networks import small_program
from .test_predictor import PAIRS, TEXTS

MEMORY = """
import resource, sys
from pathlib import Path
from matterhorn import Predictor
from matterhorn.tasks.answers import write_answers
write_answers(Predictor(sys.argv[1], "review"), sys.argv[2], Path(sys.argv[3]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("answers") / "program"
    small_program(k=1).save(place)
    return place


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(answers, "PART_ROWS", 4)


def lay_rows(path, count=30):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "first", "second"])
        writer.writerows([i, TEXTS[i % 30], TEXTS[-i % 30]] for i in range(count))
    return path


@pytest.fixture
def rows(tmp_path):
    return lay_rows(tmp_path / "rows.csv")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_three_formats_hold_the_same_answers(folder, rows, tmp_path):
    predictor = Predictor(folder, ["first", "second"], logits=True)
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert write_answers(predictor, rows, tmp_path / name) == (30, 0)
    with (tmp_path / "a.csv").open(newline="") as file:
        plain = [[json.loads(v) if k != "prediction" else v for k, v in row.items()] for row in csv.DictReader(file)]
    said, table = lines(tmp_path / "a.jsonl"), parquet.read_table(tmp_path / "a.parquet")
    assert plain == [list(row.values()) for row in said] and table.column_names == list(said[0])
    right = predictor.answers(list(zip(PAIRS["first"], [TEXTS[-i % 30] for i in range(30)], strict=True)))
    assert table["row"].to_pylist() == list(range(30))
    for name, column in right.items():
        assert table[name].to_pylist() == list(column)  # float32 all the way
        assert [row[name] for row in said] == [float(str(v)) if name != "prediction" else v for v in column]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet", "rows.csv"]


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_one_after_another_are_the_whole(folder, rows, tmp_path, shards):
    predictor = Predictor(folder, "first", logits=True)
    write_answers(predictor, rows, tmp_path / "whole.jsonl")
    parts = [tmp_path / f"{which}.jsonl" for which in range(shards)]
    counts = [write_answers(predictor, rows, part, shard=(which, shards)).rows for which, part in enumerate(parts)]
    assert sum(counts) == 30 and max(counts) - min(counts) <= 1
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole.jsonl").read_bytes()


def test_rows_that_are_cut_are_counted(folder, rows, tmp_path):
    """In parts that an earlier run answered too; the last token that is read ends a text, the first begins it."""
    long = sum(len(text.split()) > 6 for text in TEXTS)
    with pytest.raises(Stopped):
        write_answers(Predictor(folder, "first", max_length=8), rows, tmp_path / "a.csv", progress=stopping(3))
    assert 0 < long < 30
    assert write_answers(Predictor(folder, "first", max_length=8), rows, tmp_path / "a.csv") == (30, long)
    command = ["predict", folder, "--data", rows, "--text", "first", "--max-length", 8, "--json", "-o"]
    done = CliRunner().invoke(app, [str(one) for one in (*command, tmp_path / "b.csv")])
    assert json.loads(done.stdout)["cut"] == long and f"{long} of 30 rows were truncated" in done.stderr


class Stopped(Exception):
    pass


def stopping(after):
    def follow(parts):
        for number, part in enumerate(parts):
            if number == after:
                raise Stopped
            yield part

    return lambda title: follow if title == "predict" else iter


def test_a_stopped_run_goes_on_where_it_was(folder, rows, tmp_path, monkeypatch):
    write_answers(Predictor(folder, "first"), rows, tmp_path / "whole.csv")
    with pytest.raises(Stopped):
        write_answers(Predictor(folder, "first"), rows, tmp_path / "a.csv", progress=stopping(3))
    assert not (tmp_path / "a.csv").exists()
    again, answered = Predictor(folder, "first", batch_size=3), []
    right = again.answers_to
    monkeypatch.setattr(again, "answers_to", lambda coded: answered.extend(one.ids for one in coded) or right(coded))
    assert write_answers(again, rows, tmp_path / "a.csv") == (30, 0)
    assert answered == [one.ids for one in again.tokenized([(text,) for text in TEXTS[12:]])]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_each_text_is_tokenized_once(folder, rows, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        predictor, "encodings", lambda tokenizer, texts: seen.extend(texts) or encodings(tokenizer, texts)
    )
    write_answers(Predictor(folder, "first"), rows, tmp_path / "a.csv")
    assert seen == TEXTS[:30]


def test_parts_of_something_else_and_files_of_others_are_left_alone(folder, rows, tmp_path):
    output, parts = tmp_path / "a.csv", tmp_path / "a.csv.parts"
    with pytest.raises(Stopped):
        write_answers(Predictor(folder, "first"), rows, output, progress=stopping(2))
    kept = sorted(path.name for path in parts.iterdir())
    with pytest.raises(InputError, match=r"another text.0 .*'second'\), rows; delete it"):
        write_answers(Predictor(folder, "second"), rows, output)
    with pytest.raises(InputError, match="another shard"):
        write_answers(Predictor(folder, "first"), rows, output, shard=(0, 2))
    with pytest.raises(InputError, match="another rows"):
        write_answers(Predictor(folder, "first"), lay_rows(tmp_path / "more.csv", 31), output)
    assert sorted(path.name for path in parts.iterdir()) == kept
    (parts / "mine.txt").write_text("keep")
    write_answers(Predictor(folder, "first"), rows, output)
    assert [path.name for path in parts.iterdir()] == ["mine.txt"]
    before = output.read_bytes()
    with pytest.raises(InputError, match="already there"):
        write_answers(Predictor(folder, "first"), rows, output)
    assert output.read_bytes() == before
    (tmp_path / "b.csv.parts").mkdir()
    (tmp_path / "b.csv.parts" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not the folder of a run"):
        write_answers(Predictor(folder, "first"), rows, tmp_path / "b.csv")


def test_bad_input_is_told_before_any_work(folder, rows, tmp_path):
    holes = tmp_path / "holes.jsonl"
    holes.write_text("\n".join(json.dumps({"first": text}) for text in [*TEXTS, None, "fine"]))
    halves = tmp_path / "halves.jsonl"
    halves.write_text("\n".join(json.dumps({"first": text}) for text in [*TEXTS, "torn \ud800", "fine"]))
    for source, output, options, says in (
        (rows, "a.xlsx", {}, "unknown kind of file; name it .csv, .jsonl, .parquet"),
        (rows, "nowhere/a.csv", {}, "no such folder"),
        (rows, "a.csv", {"shard": (2, 2)}, "no shard 2 of 2; number shards from 0"),
        (rows, "a.csv", {"shard": (0, 31)}, "31 shards of 30 rows"),
        (tmp_path / "none.csv", "a.csv", {}, "no such file"),
        (holes, "a.csv", {}, "holes.jsonl: row 31, column first: empty text; fill it in"),
        (halves, "a.csv", {}, r"halves.jsonl: row 31, column first: not Unicode \(begins 'torn"),
    ):
        with pytest.raises(InputError, match=says):
            write_answers(Predictor(folder, "first"), source, tmp_path / output, **options)
    with pytest.raises(InputError, match="third: no such column"):
        write_answers(Predictor(folder, "third"), rows, tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halves.jsonl", "holes.jsonl", "rows.csv"]


@pytest.mark.slow
def test_a_killed_run_goes_on(folder, tmp_path):
    rows, output = lay_rows(tmp_path / "rows.csv", 20000), tmp_path / "a.parquet"
    command = [sys.executable, "-m", "matterhorn", "predict", folder, "--data", rows, "--text", "first", "-o", output]
    run = subprocess.Popen(command)
    while not list(tmp_path.glob("a.parquet.parts/0*")):
        assert run.poll() is None
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL and not output.exists()
    first = next(iter(sorted(tmp_path.glob("a.parquet.parts/0*"))))
    kept = first.stat().st_ino
    run = subprocess.Popen(command)
    while not len(list(tmp_path.glob("a.parquet.parts/0*"))) > 2:
        assert run.poll() is None
        time.sleep(0.01)
    assert first.stat().st_ino == kept
    assert run.wait() == 0
    subprocess.run([*command[:-1], tmp_path / "b.parquet"], check=True)
    found = parquet.read_table(output)
    assert found["row"].to_pylist() == list(range(20000)) and found.equals(parquet.read_table(tmp_path / "b.parquet"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(folder, tmp_path):
    peaks = []
    for count in (2000, 20000):
        rows = tmp_path / f"{count}.csv"
        rows.write_text("review\n" + "".join(f"{TEXTS[i % 30]}\n" for i in range(count)))
        arguments = [folder, rows, tmp_path / f"{count}.jsonl"]
        done = subprocess.run([sys.executable, "-c", MEMORY, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 32, peaks  # MiB


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_output_is_opened_once(tmp_path, monkeypatch, ending):
    """Opened again after the header, a file that was removed in between would come back without it."""
    opened, real = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *more, **how: (opened.append(path), real(path, *more, **how))[1])
    part, output = tmp_path / "part", tmp_path / f"out.{ending}"
    part.write_bytes(b"1,a\n")
    answer_files.FORMATS[f".{ending}"].join([part, part], ["row", "prediction"], output)
    assert opened.count(output) == 1
    assert output.read_bytes() == (b"row,prediction\n" if ending == "csv" else b"") + b"1,a\n" * 2
