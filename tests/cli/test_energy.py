from __future__ import annotations

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from matterhorn import Engine, load
from matterhorn.cli.app import app
from matterhorn.cli.chips import CHIPS_FORMAT
from matterhorn.cli.energy import front_of, known_blocks, known_scores
from matterhorn.energy import load as load_chip
from matterhorn.energy.answer import ENERGY_FORMAT
from matterhorn.energy.study import COMPARISON_FORMAT
from matterhorn.errors import InputError
from matterhorn.program import find
from matterhorn.program.trace import Trace
from matterhorn.tasks.results import read_result

from ..energy import synthetic
from ..energy.synthetic import near

KEYS = {
    "format", "model", "task", "chip", "n", "total_j", "per_sentence_j", "by_category", "by_connection", "encodings",
    "bert_base_per_sentence_j", "rivals", "silent_share", "quiet_share",
}  # fmt: skip


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "sst2.json.gz"
    synthetic.minilm().save(path)
    return str(path)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A trace of the shipped model, two sentences."""
    program = load("sst2")
    path = tmp_path_factory.mktemp("own") / "run.json.gz"
    Engine(program)(**program.encode(["A quiet film.", "Loud."]), trace=True).trace.save(path)
    return path


def test_energy_as_json(saved):
    result = run("energy", "--trace", saved, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer) >= KEYS
    assert answer["model"] == "sst2" and answer["task"] is None  # a trace does not say
    assert answer["chip"] == "rram-22nm" and answer["n"] == 2
    assert answer["format"] == ENERGY_FORMAT
    trace = synthetic.minilm()
    assert (answer["silent_share"], answer["quiet_share"]) == (trace.silent_share, trace.quiet_share)
    assert answer["per_sentence_j"] == near(answer["total_j"] / answer["n"])
    assert answer["per_token_j"] == near(answer["total_j"] / trace.tokens)
    assert answer["per_synaptic_operation_j"] == near(
        answer["total_j"] / sum(c.accumulates for c in trace.connections.values())
    )
    assert sum(answer["by_category"].values()) == near(answer["total_j"])
    assert sum(answer["by_connection"].values()) == near(answer["total_j"])
    codes = {(e["code"], e["hardware"]) for e in answer["encodings"]}
    for code in ("dense", "rate", "ttfs", "mttfs-k0", "mttfs-k1", "mttfs-k2", "mttfs-k3"):
        assert {(code, "digital"), (code, "msu")} <= codes
    shares = {"silent_share", "quiet_share", "movement_share", "weight_share"}
    assert {"code", "hardware", "total_j", *shares} <= set(answer["encodings"][0])
    assert {"name", "total_j", "published_mj", *shares} <= set(answer["rivals"][0])
    assert all(r["total_j"] > answer["bert_base_per_sentence_j"] > 0 for r in answer["rivals"])
    assert 0 < answer["accumulate_only_j"] < answer["customary_j"]
    own = next(e for e in answer["encodings"] if (e["code"], e["hardware"]) == (answer["code"], answer["hardware"]))
    assert own["accumulate_only_share"] == near(answer["accumulate_only_j"] / answer["total_j"])
    assert "SpikeLM (" in answer["notes"]["die"] and "Otters" not in answer["notes"]["die"]
    assert {r["area_m2"] > 858e-6 for r in answer["rivals"] if r["name"] == "SpikeLM"} == {True}
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
    text = " ".join(result.stdout.split())
    assert "a dense network of the same bits costs less than" in text
    assert "Otters" in text and "quiet" in text and f"{synthetic.minilm().quiet_share:.1%} quiet" in text
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert re.search(r"wins \d+\.\d% against rivals and \d+\.\d% against dense words", text)
    assert re.search(r"driven by (?!.*spikes.*The smallest).* The smallest ratio is driven by .*spikes", text)
    assert "The paper says 2.31x, most likely against Otters" in text
    assert "accuracy of the dense network: not measured" in text
    assert not re.search(r"mttfs|large_sram|msu\b|msu_|noc\.", text)


def test_losses_are_against_the_best_teacher_of_the_same_backbone():
    quiet, base = known_scores("sst2-quiet"), known_scores("sst2-base")
    assert quiet.teacher == known_scores("sst2").teacher == pytest.approx(0.9025, abs=1e-4)
    assert base.teacher == pytest.approx(0.9346, abs=1e-4)
    assert quiet.shipped == base.shipped and quiet.shipped["sst2-quiet"] == quiet.lost == pytest.approx(
        0.0459, abs=1e-4
    )
    assert quiet.shipped["sst2-base"] == base.lost < 0.011
    assert known_scores("embed-mini") is None


def test_blocks_of_the_teacher_are_known_or_it_is_said_that_they_are_not(tmp_path):
    assert known_blocks("sst2-lean") == (6, {}) and known_blocks("sst2") == known_blocks("embed-mini") == (None, {})
    load("sst2").save(tmp_path / "mine")
    result = read_result(find("sst2") / "results.json")
    result.model_copy(update={"backbone": "mine", "blocks": (0, 2)}).save(tmp_path / "mine" / "results.json")
    blocks, notes = known_blocks(str(tmp_path / "mine"))
    assert blocks is None and "billed with all twelve" in notes["blocks"]
    own = {"backbone": "mine", "blocks": (0, 2), "teacher_blocks": 8}
    result.model_copy(update=own).save(tmp_path / "mine" / "results.json")
    assert known_blocks(str(tmp_path / "mine")) == (8, {})


def test_scores_on_other_rows_stand_beside_no_score_of_glue(own, tmp_path):
    """Neither those of the networks that ship nor published ones, on the energy page."""
    folder, chip = tmp_path / "mine", load_chip("rram-22nm")
    load("sst2").save(folder)
    result, trace = read_result(find("sst2") / "results.json"), Trace.load(own)
    result.save(folder / "results.json")
    assert {"sst2-base, k = 3", "Sorbet"} <= {point.name for point in front_of(str(folder), trace, chip)}
    result.model_copy(update={"data": "own.csv"}).save(folder / "results.json")
    points = front_of(str(folder), trace, chip)
    assert {point.kind for point in points} == {"spiking", "dense"}
    assert all(point.name.startswith("mine, ") for point in points)


def test_compare_and_chips(saved):
    answer = json.loads(run("compare", "--trace", saved, "--chip", "rram-22nm", "--chip", "loihi", "--json").stdout)
    rows = answer["rows"]
    assert answer["format"] == COMPARISON_FORMAT
    assert {(r["chip"], r["hardware"]) for r in rows} == {("rram-22nm", "digital"), ("rram-22nm", "msu"),
                                                         ("loihi", "digital")}  # fmt: skip
    assert {r["quiet_share"] for r in rows} == {synthetic.minilm().quiet_share}
    assert run("compare", "--trace", saved).exit_code == 0
    assert "rram-22nm" in run("chips").stdout
    assert "noc.hop.energy" in run("chips", "rram-22nm").stdout
    chips = json.loads(run("chips", "loihi", "--json").stdout)
    assert chips["format"] == CHIPS_FORMAT and chips["chips"]["loihi"]["logic"]["compare"]["value"] == 51.2


def test_traces_that_are_called_the_same_have_rows_of_their_own(saved, own, tmp_path):
    """So has a model that is called like a trace."""
    first, second, like_a_model = (tmp_path / name for name in ("a/trace.json.gz", "b/trace.json.gz", "sst2.json.gz"))
    for path, source in ((first, saved), (second, own), (like_a_model, saved)):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(source, path)

    def shares(*arguments: object) -> dict[str, float]:
        answer = json.loads(run("compare", *map(str, arguments), "--chip", "loihi", "--json").stdout)
        return {row["network"]: row["silent_share"] for row in answer["rows"]}

    made, ran = Trace.load(first).silent_share, Trace.load(second).silent_share
    assert shares("--trace", first, "--trace", second) == {str(first): made, str(second): ran}
    assert shares("--trace", first, "--trace", like_a_model) == {"trace": made, "sst2": made}
    shipped = shares("--model", "sst2")["sst2"]
    assert shares("--model", "sst2", "--trace", like_a_model) == {"sst2": shipped, str(like_a_model): made}
    twice = run("compare", "--trace", str(first), "--trace", str(first))
    assert isinstance(twice.exception, InputError) and "the same trace twice; give each once" in str(twice.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--trace", "nowhere.json.gz"), "nowhere.json.gz: no such file"),
        (("--chip", "abacus"), "chip: no chip 'abacus'"),
        (("--set", "noc.hop.energy=1 V"), "noc.hop.energy: unit 'V'"),
        (("--html", "/nowhere/page.html"), "no such folder"),
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
    assert "cannot be read" in str(run("energy", "--trace", str(path)).exception)


def test_an_empty_trace_is_refused(tmp_path):
    path = tmp_path / "empty.json.gz"
    Trace(synthetic.SMALL, 100, 2).save(path)
    assert "an empty trace; run at least one sentence" in str(run("energy", "--trace", str(path)).exception)


def test_a_trace_of_another_program_is_refused(own, saved):
    assert json.loads(run("energy", "--model", "sst2", "--trace", str(own), "--json").stdout)["model"] == "sst2"
    result = run("energy", "--model", "sst2", "--trace", saved)
    assert isinstance(result.exception, InputError)
    assert f"{saved}: trace: the trace of another program than sst2" in str(result.exception)


def test_the_trace_beside_a_program_is_found(own, saved, tmp_path):
    folder = tmp_path / "mine"
    load("sst2").save(folder)
    shutil.copy(own, folder / "trace.json.gz")
    answer = json.loads(run("energy", "--model", str(folder), "--json").stdout)
    assert answer["n"] == 2 and answer["model"] == str(folder)
    rows = json.loads(run("compare", "--model", str(folder), "--chip", "loihi", "--json").stdout)["rows"]
    assert [r["network"] for r in rows] == [str(folder)]
    shutil.copy(saved, folder / "trace.json.gz")
    assert "another program" in str(run("energy", "--model", str(folder)).exception)
    assert "no model 'nobody'" in str(run("energy", "--model", "nobody").exception)


def test_a_program_without_a_trace_runs_the_dev_rows(monkeypatch, tmp_path):
    folder, rows = tmp_path / "mine", tmp_path / "SST-2" / "dev.tsv"
    load("sst2").save(folder)
    rows.parent.mkdir()
    rows.write_text("sentence\tlabel\na quiet film\t1\nloud and long\t0\n")
    monkeypatch.setenv("MATTERHORN_GLUE_DIR", str(tmp_path))
    answer = json.loads(run("energy", "--model", str(folder), "--json").stdout)
    assert answer["n"] == 2 and answer["tokens"] == 10 and 0 < answer["quiet_share"] < answer["silent_share"]
    assert "trained for sst2, not for rte" in str(run("energy", "--model", str(folder), "--task", "rte").exception)


ROWS = "sentence\tlabel\nA quiet film.\t1\nLoud.\t0\nA long, long wait.\t0\n"


@pytest.fixture
def rows(tmp_path):
    """Three rows in GLUE's layout."""
    (tmp_path / "glue" / "SST-2").mkdir(parents=True)
    (tmp_path / "glue" / "SST-2" / "dev.tsv").write_text(ROWS)
    return str(tmp_path / "glue")


def test_rows_are_run_where_no_trace_is_given(own, rows):
    found = run("energy", "--model", "sst2", "--glue-dir", rows, "--limit", "2", "--json")
    answer = json.loads(found.stdout)
    trace = Trace.load(own)
    assert (answer["program"], answer["rows"], answer["n"]) == (trace.program, trace.rows_hash, 2)
    assert answer["total_j"] == json.loads(run("energy", "--trace", str(own), "--json").stdout)["total_j"]
    compared = json.loads(run("compare", "--model", "sst2", "--glue-dir", rows, "--chip", "loihi", "--json").stdout)
    assert compared["rows"][0]["silent_share"] != trace.silent_share  # three rows, not the two, nor those beside
    refused = run("energy", "--trace", str(own), "--glue-dir", rows)
    assert "a trace has its own rows; give a trace, or rows" in str(refused.exception)


def test_runs_leave_traces_that_merge(own, rows, tmp_path):
    first, second, whole = (str(tmp_path / name) for name in ("a.json.gz", "b.json.gz", "ab.json.gz"))
    assert run("run", "A quiet film.", "--trace", first).exit_code == 0
    assert run("run", "Loud.", "--trace", second).exit_code == 0
    answer = json.loads(run("trace", "merge", first, second, "-o", whole, "--json").stdout)
    trace = Trace.load(own)
    assert (answer["rows"], answer["n"], answer["silent_share"]) == (trace.rows_hash, 2, trace.silent_share)
    assert "already there" in str(run("trace", "merge", first, second, "-o", whole).exception)
    twice = run("trace", "merge", whole, first, "-o", str(tmp_path / "twice.json.gz"))
    assert "two traces of the same rows" in str(twice.exception) and not (tmp_path / "twice.json.gz").exists()


def test_layers_of_another_simulator(tmp_path):
    (tmp_path / "net.csv").write_text(
        "layer,fan_in,fan_out,spikes,steps,after\nfc1,784,100,900,10,\nfc2,100,10,,,fc1\n"
    )
    (tmp_path / "net.jsonl").write_text(
        '{"layer": "fc1", "fan_in": 784, "fan_out": 100, "spikes": 900, "steps": 10}\n'
        '{"layer": "fc2", "fan_in": 100, "fan_out": 10}\n'
    )
    by_suffix = [
        json.loads(run("energy", "--layers", str(tmp_path / f"net.{suffix}"), "--json").stdout)
        for suffix in ("csv", "jsonl")
    ]
    for answer in by_suffix:
        assert answer.pop("model").startswith(str(tmp_path))
    assert by_suffix[0] == by_suffix[1]
    assert by_suffix[0]["total_j"] == min(by_suffix[0]["by_hardware_j"].values())
    text = run("energy", "--layers", str(tmp_path / "net.csv"), "--chip", "loihi").stdout
    assert "fc1" in text and "By layer" in text
    (tmp_path / "net.csv").write_text("layer,fan_in,rows,spikes\nfc1,784,100,900\n")
    says = str(run("energy", "--layers", str(tmp_path / "net.csv")).exception)
    assert "net.csv: rows: no such column; columns are layer, fan_in, fan_out" in says


def test_an_encoder_from_its_configuration(tmp_path):
    plain = {"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
             "intermediate_size": 128, "quantization_config": {"bits": 8, "activations": "int8"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(plain))
    answer = json.loads(run("energy", "--config", str(tmp_path), "--tokens", "16", "--json").stdout)
    assert answer["tokens"] == 16 and set(answer["by_hardware_j"]) == {"digital", "msu", "macro"}
    fewer = run("energy", "--config", str(tmp_path), "--tokens", "16", "--weight-bits", "1", "--json")
    assert json.loads(fewer.stdout)["total_j"] < answer["total_j"]
    for also in (("--model", "sst2"), ("--html", "a.html"), ("--layers", "a.csv"), ("--limit", "3")):
        assert isinstance(run("energy", "--config", str(tmp_path), *also).exception, InputError)


def test_measured_beside_modelled_or_absent_with_a_reason(saved):
    pytest.importorskip("zeus", reason="needs the extra measure")
    answer = json.loads(run("energy", "--trace", saved, "--measure", "--json").stdout)["measured"]
    assert answer["tokens"] == 16
    for name in ("processor", "gpu"):
        if answer[name] is None:
            assert len(answer["absent"][name]) > 5
        else:
            assert answer[name]["per_sentence_j"] > 0 and name not in answer["absent"]
    refused = run("energy", "--layers", "a.csv", "--measure")
    assert "do not go together" in str(refused.exception)
