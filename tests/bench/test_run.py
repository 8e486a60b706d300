"""A tiny benchmark through the command line, and what it shows. Nothing here looks at how long anything took."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import matterhorn.bench as bench
from matterhorn import extras
from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.report.bench import COLUMNS, tables

from ..networks import small_program

TINY = bench.Plan(0, ("network", "connection"), {"sentences": (1, 2)}, (32,), (4,), (0.5, 0.9))
OURS = {"exact", "events"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("program")
    small_program(3).save(place / "own")
    return str(place / "own")


def invoke(*arguments: str):
    result = CliRunner().invoke(app, ["bench", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    """A run of a tiny plan: its document and the file it wrote."""
    file = tmp_path_factory.mktemp("ran") / "rows.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "FULL", TINY)
        answer = json.loads(invoke("--model", folder, "--threads", "1", "--output", str(file), "--json").stdout)
    assert list(file.parent.iterdir()) == [file]
    return answer, file


def test_a_run_from_plan_to_table(ran, tmp_path):
    answer, file = ran
    assert (
        json.loads(file.read_text()) == answer and answer["format"] == bench.BENCH_FORMAT and answer["threads"] == [1]
    )
    rows = answer["rows"]
    assert [row["what"] for row in rows] == sorted((row["what"] for row in rows), reverse=True)
    of_networks = [row for row in rows if row["what"] == "network"]
    assert {row["contestant"] for row in of_networks} >= OURS | {"hf-fp32", "hf-int8-dynamic"}
    assert [row["shape"]["tokens"] for row in of_networks if row["contestant"] == "events"] == [25, 24 + 26]
    of_connections = [row for row in rows if row["what"] == "connection"]
    assert len([row for row in of_connections if row["contestant"] == "events"]) == 3 * 2
    for row in rows:
        assert row["calls"] == 3 and row["median_s"] > 0 and row["iqr_s"] >= 0 and row["p99_s"] is None
        assert 0 < row["silent_share"] < 1 and 0 < row["quiet_share"] < 1
        assert OURS - {row["contestant"]} <= set(row["ratio_to"])
    shown = invoke("--tables", str(file)).stdout
    assert "connection" in shown and "int8-dynamic" in shown
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib (extra: plot)")
    invoke("--tables", str(file), "--plot", str(tmp_path / "time.png"))
    assert (tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_nothing_is_refused(ran, tmp_path, monkeypatch):
    """Where nothing is measured: in the file; else before any work."""
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib (extra: plot)")
    answer, picture = ran[0], tmp_path / "time.png"
    rows = tmp_path / "networks.json"
    rows.write_text(json.dumps(answer | {"rows": [row for row in answer["rows"] if row["what"] == "network"]}))
    with pytest.raises(InputError, match=r"networks\.json: --plot: no rows of the part 'connection'"):
        invoke("--tables", str(rows), "--plot", str(picture))
    monkeypatch.setattr(bench, "run_plan", None)
    with pytest.raises(InputError, match="--plot: only the part 'connection' is drawn"):
        invoke("--only", "network", "--plot", str(picture))
    assert not picture.exists()


@pytest.mark.slow
def test_processes_of_their_own(monkeypatch):
    monkeypatch.setattr(bench, "FULL", bench.Plan(0, ("memory", "start-up")))
    monkeypatch.setattr(bench.clock, "FEWEST_ROUNDS", 1)
    rows = json.loads(invoke("--json").stdout)["rows"]
    assert [row["contestant"] for row in rows[:3]] == ["hf-fp32", "exact", "events"]
    peaks = [row["extra"] for row in rows[:3] if row["extra"]]  # Linux alone knows them
    assert all(0 < extra["libraries MB"] < extra["peak MB"] for extra in peaks)
    assert {row["contestant"] for row in rows[3:]} == {"import torch, transformers", "matterhorn run"}


def row(contestant: str, median: float | None, **more) -> dict:
    shape = {"rows": 256, "in": 768, "out": 768}
    own = {"what": "connection", "contestant": contestant, "shape": shape, "threads": 1, "median_s": median, "calls": 9}
    return own | {"iqr_s": 1e-5, "silent_share": 0.95, "quiet_share": 0.95, "ratio_to": {}, "extra": {}} | more


def test_a_table_has_a_line_for_each_contestant_and_says_how_many_times_as_fast_events_is():
    others = [row("fp32", 4e-3, ratio_to={"events": 0.125}), row("events", 5e-4, ratio_to={"fp32": 8.0})]
    (title, columns, lines), *rest = tables([*others, row("events", 2.5, silent_share=0.5)])
    assert (title, columns, rest) == ("connection", COLUMNS, [])
    assert lines == [
        ["256 × 768 → 768", "1", "95.00 %", "95.00 %", "fp32", "4.00 (0.01) ms", "9", "8.00", ""],
        ["", "", "", "", "events", "500 (10) µs", "9", "", ""],
        ["256 × 768 → 768", "1", "50.00 %", "95.00 %", "events", "2.50 (0.00) s", "9", "", ""],
    ]


def test_each_contestant_is_compared_at_the_number_of_threads_that_is_best_for_it():
    """A network's silence may differ a little: no run has the inputs of another."""
    shape = {"layers": 6, "width": 384, "rows": 1, "of": "sentences"}

    def ran(name: str, threads: int, median: float, ratio: dict) -> dict:
        about = {"what": "network", "shape": shape, "threads": threads, "silent_share": 0.9 + threads / 1000}
        return row(name, median, ratio_to=ratio, **about)

    both = [ran("int8", 1, 6e-3, {"events": 0.5}), ran("events", 1, 3e-3, {"int8": 2.0})]
    more = [ran("int8", 2, 12e-3, {"events": 1 / 3}), ran("events", 2, 4e-3, {"int8": 3.0})]
    (_, _, lines), *_ = tables([*both, *more])
    assert [line[-2:] for line in lines] == [["2.00", "2.00"], ["", ""], ["3.00", "2.00"], ["", ""]]
    (_, _, lines), *_ = tables(both)
    assert [line[-1] for line in lines] == ["", ""]


def test_a_table_of_memory():
    shape, extra = {"batch": 32, "tokens": 4096}, {"peak MB": 239.4, "libraries MB": 105.0}
    about = {"what": "memory", "shape": shape, "extra": extra, "silent_share": None, "quiet_share": None, "calls": 0}
    own = row("events", None, **about)
    _, _, lines = next(tables([own]))
    assert lines == [["32 sequences, 4096 tokens", "1", "", "", "events", "peak 239 MB, libraries 105 MB", "", "", ""]]


def test_batches_that_are_longer_than_a_programs_positions_are_left_out_and_named(folder, monkeypatch):
    kinds = {"sentences": (1,), "128 tokens": (8,)}
    monkeypatch.setattr(bench, "FULL", bench.Plan(0, ("network",), kinds))
    monkeypatch.setattr(bench.suite, "interleave", lambda *_, **__: {})
    monkeypatch.setattr(bench.suite, "rows_of", lambda _, shape, *__, **___: [bench.Row("network", "events", shape)])
    said: list[str] = []
    rows = list(bench.run_plan(bench.FULL, folder, [1], said.append))
    assert [row.shape["of"] for row in rows] == ["sentences"]
    assert said[-1] == "no 128 tokens, 8 a batch: rows of 128 tokens, the program has 64 positions"


def test_no_such_part():
    with pytest.raises(InputError, match="only: no part 'walk'; choose from network, base"):
        invoke("--only", "walk")


def test_no_threads_is_a_wrong_call():
    done = CliRunner().invoke(app, ["bench", "--only", "network", "--threads", "0"])
    assert done.exit_code == 2 and "--threads" in done.stderr and "equal to 1" in done.stderr


def test_without_torch_it_says_so_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r'torch, which is not installed; pip install "matterhorn-snn\[bench\]"'):
        invoke("--model", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "problem"), [('{"rows": []}', "format None, not 3"), ("[]", "not a mapping"), ("{", "Expecting")]
)
def test_a_file_of_another_format_is_refused(tmp_path, text, problem):
    file = tmp_path / "rows.json"
    file.write_text(text)
    with pytest.raises(InputError, match=rf"rows\.json.*{problem}.*matterhorn bench --output"):
        invoke("--tables", str(file))
