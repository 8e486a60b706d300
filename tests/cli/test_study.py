"""``matterhorn msu study``, and ``matterhorn evaluate`` on chips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import matterhorn.program.samples as samples
from matterhorn.cli import app

from ..study.fakes import POINTS


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    """The sentences that come with the package, as SST-2's dev rows."""
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    rows = (Path(samples.__file__).parent / "sst2.tsv").read_text(encoding="utf-8")
    (folder / "SST-2" / "dev.tsv").write_text(rows, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def arguments(glue, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "points.yaml"
    path.write_text(POINTS)
    return ["msu", "study", "--points", str(path), "--glue-dir", str(glue)]


@pytest.mark.slow
def test_every_value_is_scored_on_every_chip(arguments, tmp_path):
    output = tmp_path / "a.json"
    result = CliRunner().invoke(app, [*arguments, "--rows", "8", "--chips", "2", "--output", str(output), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    answer = json.loads(result.stdout)
    assert json.loads(output.read_text()) == answer and list(tmp_path.iterdir()) == [output]
    assert (answer["format"], answer["n"], answer["chips"]) == (2, 8, 2)
    assert list(answer["studies"]) == ["deviation", "drift", "on_off"]
    for study in answer["studies"].values():
        for point in study["points"]:
            assert len(point["scores"]) == 2
            assert point["mean"] == pytest.approx(sum(point["scores"]) / 2)
            assert point["worst"] == min(point["scores"])
            assert point["yield"] == sum(s >= answer["clean"] - 0.01 for s in point["scores"]) / 2
    calm = answer["studies"]["deviation"]["points"][0]
    assert (calm["mean"], calm["spread"], calm["yield"]) == (answer["clean"], 0, 1)
    time = answer["studies"]["drift"]["points"]
    assert time[0]["mean"] == time[1]["mean"] == answer["clean"]


def test_a_table_in_the_terminal_and_a_page(arguments, tmp_path):
    pytest.importorskip("plotly", reason="the page needs plotly (extra: plot)")
    page = tmp_path / "page.html"
    short = [*arguments, "--rows", "4", "--chips", "1", "--only", "drift"]
    result = CliRunner().invoke(app, [*short, "--html", str(page)])
    assert result.exit_code == 0 and "The device you need" in result.stdout and "still costs" in result.stdout
    assert "One of 4 rows is worth 25 points" in result.stdout.replace("\n", " ")
    assert "<h2>The device you need</h2>" in page.read_text()
    for wrong, problem in ((["--only", "color"], "no property"), (["--html", "/no/such/page.html"], "no such folder")):
        assert problem in str(CliRunner().invoke(app, [*short, *wrong]).exception)


def test_evaluate_on_chips(glue):
    arguments = ["evaluate", "--glue-dir", str(glue), "--limit", "8", "--json"]
    noisy = ["--deviation", "0.5", "--seed"]
    options = (
        ["--deviation", "0"],
        [*noisy, "4", "--chips", "2"],
        [*noisy, "5", "--verify-writes", "9"],
        [*noisy, "5"],
    )
    answers = [
        json.loads(CliRunner().invoke(app, [*arguments, "--backend", "analog", *more]).stdout) for more in options
    ]
    exact = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert answers[0]["value"] == exact["value"]
    assert all(answers[0][key] == exact[key] for key in ("silent_share", "quiet_share"))
    assert [chip["seed"] for chip in answers[1]["chips"]] == [4, 5]
    assert answers[1]["chips"][1]["value"] == answers[3]["value"]
    off = [abs(answer["silent_share"] - exact["silent_share"]) for answer in answers]
    assert 0 == off[0] < off[2] < off[3]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--seed", "3"], "has no chip"),
        (["--backend", "analog", "--verify-writes", "3"], "no programming noise"),
        (["--backend", "analog", "--place-rows"], "no stuck cells"),
        (["--backend", "analog", "--deviation", "0.1", "--verify-writes", "2", "--tolerance", "2"], "tolerance"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, problem):
    assert problem in str(CliRunner().invoke(app, ["evaluate", *options]).exception)


@pytest.mark.parametrize("command", [["evaluate", "--backend", "analog"], ["msu", "netlist"], ["msu", "study"]])
def test_seeds_below_zero_are_refused(command):
    result = CliRunner().invoke(app, [*command, "--seed", "-1"])
    assert result.exit_code == 2 and "--seed" in str(result.exception) + result.output
