"""Studies on the shipped model: known answers, the command, the page."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.study import load_plan, needed, set_to
from matterhorn.zoo import ZOO

sys.path.insert(0, str(Path(__file__).parents[1] / "energy"))
from browser import CHROMIUM, DRIVER, Browser

POINTS = """
device: rram-wan
circuit: array-128
studies:
  deviation: {title: "noise < of writing", unit: "%", values: [0, 10, 100]}
  drift: {title: time, unit: s, values: [1, 31536000], scale: log}
  on_off: {title: on and off, unit: "1", values: [40, 2], scale: log, deviation: 5}
"""


def test_the_limit_lies_on_the_line_between_tried_values():
    assert needed([0, 10, 20], [0.0, 0.005, 0.025], 0.01) == {"value": pytest.approx(12.5), "how": "interpolated"}
    found = needed([1, 100, 10000], [0.0, 0.0, 0.02], 0.01, "log")
    assert found["value"] == pytest.approx(1000) and found["how"] == "interpolated"
    assert needed([40, 10], [0.0, 0.02], 0.01, "log")["value"] == pytest.approx(20)
    assert needed([1, 2], [0.0, 0.009], 0.01) == {"value": 2, "how": "beyond"}
    assert needed([1, 2], [0.01, 0.5], 0.01) == {"value": None, "how": "none"}
    assert needed([0, 1, 2, 3], [0.0, 0.02, 0.0, 0.02], 0.01)["value"] == pytest.approx(0.5)


def test_every_value_of_the_shipped_plan_varies_its_property_and_nothing_else():
    plan = load_plan()
    assert len(plan.studies) == 8
    for name, study in plan.studies.items():
        for value in study.values:
            device, circuit, seconds = set_to(name, value, study, plan)
            noisy = [
                part for part in ("programming", "read", "drift", "stuck", "nonlinearity") if getattr(device, part)
            ]
            parts = ("wires", "saturation", "mismatch", "leak", "comparator", "jitter", "conversion")
            built = [part for part in parts if getattr(circuit, part)]
            on = {"deviation": "programming", "on_off": "programming", "offset": "comparator"}.get(name, name)
            assert set(noisy + built) <= {on, *study.keep}
            assert (on in noisy + built) == (value != 0 or name in ("deviation", "stuck"))
            assert seconds == (value if name == "drift" else 0)
    stuck = set_to("stuck", 2, plan.studies["stuck"], plan)[0].stuck
    assert (stuck.low.si, stuck.high.si) == (pytest.approx(0.01), pytest.approx(0.01))
    assert set_to("on_off", 5, plan.studies["on_off"], plan)[0].on_off == pytest.approx(5)
    assert set_to("wires", 2, plan.studies["wires"], plan)[1].wires.bit_line.si == 2
    assert set_to("offset", 5, plan.studies["offset"], plan)[1].comparator.offset.si == pytest.approx(5e-3)
    assert set_to("jitter", 50, plan.studies["jitter"], plan)[1].jitter.ramp.si == pytest.approx(50e-12)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("studies: {}", "device"),
        (POINTS.replace("[0, 10, 100]", "[0, 10, 5]"), "one direction"),
        (POINTS.replace("[1, 31536000]", "[0, 31536000]"), "log scale"),
        (POINTS.replace("drift:", "colour:"), "colour"),
        ("[", "not YAML"),
    ],
)
def test_bad_plans_are_refused(tmp_path, text, problem):
    (tmp_path / "points.yaml").write_text(text)
    with pytest.raises(InputError, match=problem):
        load_plan(tmp_path / "points.yaml")
    with pytest.raises(InputError, match="cannot read"):
        load_plan(tmp_path / "none.yaml")


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    sample = (ZOO.parent / "samples" / "sst2.tsv").read_text(encoding="utf-8")
    (folder / "SST-2" / "dev.tsv").write_text(sample, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def studied(glue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "points.yaml").write_text(POINTS)
    arguments = ["msu", "study", "--points", str(folder / "points.yaml"), "--glue-dir", str(glue), "--rows", "8"]
    outputs = ["--chips", "2", "--output", str(folder / "a.json"), "--html", str(folder / "page.html"), "--json"]
    result = CliRunner().invoke(app, arguments + outputs)
    assert result.exit_code == 0, (result.output, result.exception)
    return folder / "page.html", json.loads(result.stdout)


def test_the_command_scores_every_value_on_every_chip(studied):
    page, answer = studied
    assert json.loads((page.parent / "a.json").read_text()) == answer
    assert (answer["n"], answer["chips"], list(answer["studies"])) == (8, 2, ["deviation", "drift", "on_off"])
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


def test_a_table_in_the_terminal(glue, tmp_path):
    (tmp_path / "points.yaml").write_text(POINTS)
    arguments = ["msu", "study", "--points", str(tmp_path / "points.yaml"), "--glue-dir", str(glue), "--rows", "4"]
    result = CliRunner().invoke(app, [*arguments, "--chips", "1", "--only", "drift"])
    assert result.exit_code == 0 and "The device you need" in result.stdout and "still costs" in result.stdout
    assert "One of 4 rows is worth 25 points" in result.stdout.replace("\n", " ")
    for wrong, problem in ((["--only", "colour"], "no property"), (["--html", "/no/such/page.html"], "no such folder")):
        assert problem in str(CliRunner().invoke(app, [*arguments, *wrong]).exception)


def test_evaluate_on_chips(glue):
    arguments = ["evaluate", "--glue-dir", str(glue), "--limit", "8", "--engine", "analog", "--json"]
    noisy = ["--deviation", "0.5", "--seed"]
    options = (
        ["--deviation", "0"],
        [*noisy, "4", "--chips", "2"],
        [*noisy, "5", "--verify-writes", "30"],
        [*noisy, "5"],
    )
    told = [json.loads(CliRunner().invoke(app, [*arguments, *more]).stdout) for more in options]
    exact = json.loads(CliRunner().invoke(app, [*arguments[:5], "--json"]).stdout)
    assert told[0]["value"] == exact["value"] and told[0]["silent_share"] == exact["silent_share"]
    assert [chip["seed"] for chip in told[1]["chips"]] == [4, 5]
    assert told[1]["chips"][1]["value"] == told[3]["value"]
    off = [abs(answer["silent_share"] - exact["silent_share"]) for answer in told]
    assert 0 == off[0] < off[2] < off[3]


def test_options_that_make_no_sense_are_refused():
    for options, problem in (
        (["--seed", "3"], "has no chip"),
        (["--engine", "analog", "--verify-writes", "3"], "no programming noise"),
        (["--engine", "analog", "--place-rows"], "no stuck cells"),
        (["--engine", "analog", "--deviation", "0.1", "--verify-writes", "2", "--tolerance", "2"], "tolerance"),
    ):
        assert problem in str(CliRunner().invoke(app, ["evaluate", *options]).exception)


def test_the_page_is_one_file_that_loads_nothing(studied):
    pytest.importorskip("plotly", reason="the page needs plotly (extra: plot)")
    text = studied[0].read_text()
    assert "<!--" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    head = text.split('<script type="application/json"')[0]
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", head)
    assert "@import" not in head and "url(" not in head


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)")
@pytest.mark.parametrize("width", [1200, 390])
def test_figures_on_the_page_are_those_of_the_json(studied, width):
    path, answer = studied
    with Browser(width, 900, phone=width < 640) as browser:
        browser.open(path)
        assert browser.complaints() == []
        text = lambda element: browser.run(f"return document.getElementById('{element}').textContent")  # noqa: E731
        assert text("headline") == f"{100 * answer['clean']:.1f} %"
        assert browser.run("return JSON.parse(document.getElementById('data').textContent).answer") == answer
        assert browser.run("return document.querySelectorAll('.chart .main-svg').length") >= 2 * 3
        for name, study in answer["studies"].items():
            for point in study["points"]:
                assert f"{100 * point['mean']:.2f} %" in text(f"table-{name}")
            drawn = browser.run(f"return document.getElementById('chart-{name}').data[3].y")
            assert drawn == [point["mean"] for point in study["points"]]
            assert study["title"] in text("needed")
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_chips_that_cannot_differ_are_scored_once():
    """No part that does something: no chip is built. Nothing drawn: one stands for all."""
    from matterhorn.engines import ExactEngine
    from matterhorn.study.run import run_plan

    built = []

    class Scored:
        def score(self, engine):
            return 0.9 if isinstance(engine, ExactEngine) else 0.8

        def on_chip(self, bank, seconds):
            built.append(bank.seed)

    shipped = load_plan().studies
    values = {"deviation": [0, 5], "stuck": [0, 1], "read": [0, 2], "offset": [0, 1], "jitter": [0, 10], "wires": [1]}
    studies = {name: shipped[name].model_copy(update={"values": v, "chips": None}) for name, v in values.items()}
    found = run_plan(Scored(), load_plan().model_copy(update={"studies": studies}), chips=3)
    means = {name: [point["mean"] for point in study["points"]] for name, study in found["studies"].items()}
    free = pytest.approx([0.9, 0.8])
    assert all(means[name] == free for name in ("deviation", "stuck", "read", "offset"))
    assert means["jitter"] == pytest.approx([0.8, 0.8]) and means["wires"] == pytest.approx([0.8])
    assert len(built) == 5 * 3 + 1 + 1
