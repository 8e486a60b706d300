from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from matterhorn.cli.app import app
from matterhorn.errors import InputError

KEYS = {
    "model", "task", "chip", "n", "total_j", "per_sentence_j", "by_category", "by_connection", "encodings",
    "bert_base_per_sentence_j", "rivals",
}  # fmt: skip


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def saved(minilm, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "sst2.json.gz"
    minilm.save(path)
    return str(path)


def test_energy_as_json(saved):
    result = run("energy", "--trace", saved, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer) >= KEYS
    assert answer["model"] == answer["task"] == "sst2" and answer["chip"] == "rram-22nm" and answer["n"] == 2
    assert answer["per_sentence_j"] == pytest.approx(answer["total_j"] / answer["n"], rel=1e-12)
    assert sum(answer["by_category"].values()) == pytest.approx(answer["total_j"], rel=1e-12)
    assert sum(answer["by_connection"].values()) == pytest.approx(answer["total_j"], rel=1e-12)
    codes = {(e["code"], e["hardware"]) for e in answer["encodings"]}
    for code in ("dense", "rate", "ttfs", "mttfs-k0", "mttfs-k1", "mttfs-k2", "mttfs-k3"):
        assert {(code, "digital"), (code, "msu")} <= codes
    assert {"code", "hardware", "total_j", "silent_share", "movement_share", "weight_share"} <= set(
        answer["encodings"][0]
    )
    assert {"name", "total_j", "published_mj"} <= set(answer["rivals"][0])
    assert all(r["total_j"] > answer["bert_base_per_sentence_j"] > 0 for r in answer["rivals"])
    assert 0 < answer["accumulate_only_j"] < answer["customary_j"]
    assert len(answer["tornado"]) == 10
    band = list(answer["weight_band_j"].values())
    assert band == sorted(band) and len(band) == 4


def test_overrides_change_the_bill(saved):
    before, after = (
        json.loads(run("energy", "--trace", saved, "--json", "--chip", "nus-22nm-mesh", *extra).stdout)
        for extra in ((), ("--set", "noc.hop.energy=1 pJ"))
    )
    ratio = after["by_category"]["spike_movement"] / before["by_category"]["spike_movement"]
    assert ratio == pytest.approx(1 / 3)
    assert after["by_category"]["computing"] == before["by_category"]["computing"]


def test_the_tables_name_who_wins(saved):
    result = run("energy", "--trace", saved)
    assert result.exit_code == 0
    assert "dense 4-bit network costs less than" in " ".join(result.stdout.split())
    assert "Otters" in result.stdout


def test_compare_and_chips(saved):
    rows = json.loads(run("compare", "--trace", saved, "--chip", "rram-22nm", "--chip", "loihi", "--json").stdout)[
        "rows"
    ]
    assert {(r["chip"], r["hardware"]) for r in rows} == {("rram-22nm", "digital"), ("rram-22nm", "msu"),
                                                         ("loihi", "digital")}  # fmt: skip
    assert run("compare", "--trace", saved).exit_code == 0
    assert "rram-22nm" in run("chips").stdout
    assert "noc.hop.energy" in run("chips", "rram-22nm").stdout
    assert json.loads(run("chips", "loihi", "--json").stdout)["loihi"]["logic"]["compare"]["value"] == 22


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--trace", "nowhere.json.gz"), "nowhere.json.gz: --trace: no such file"),
        (("--chip", "abacus"), "chip: no chip 'abacus'"),
        (("--set", "noc.hop.energy=1 V"), "noc.hop.energy: unit 'V'"),
        (("--html", "/nowhere/page.html"), "cannot write"),
    ],
)
def test_bad_input_is_one_line(saved, arguments, says):
    given = arguments if "--trace" in arguments else ("--trace", saved, *arguments)
    result = run("energy", *given)
    assert isinstance(result.exception, InputError)
    assert says in str(result.exception)


def test_a_broken_trace_is_named(tmp_path):
    path = tmp_path / "broken.json.gz"
    path.write_bytes(b"no gzip")
    assert "not a trace" in str(run("energy", "--trace", str(path)).exception)


def test_the_trace_beside_a_model_is_found(minilm, tmp_path):
    minilm.save(tmp_path / "trace.json.gz")
    answer = json.loads(run("energy", "--model", str(tmp_path), "--json").stdout)
    assert answer["n"] == minilm.sequences
    missing = run("energy", "--model", str(tmp_path), "--task", "rte")
    assert "no checkpoint here" in str(missing.exception)
