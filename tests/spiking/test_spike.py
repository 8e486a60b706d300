"""A user's way: a fine-tuned classifier and rows → a folder with a verified, billed spiking network."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification

import matterhorn as mh
from matterhorn.distill.provenance import hash_of_model
from matterhorn.energy import load as load_chip
from matterhorn.errors import InputError
from matterhorn.spiking import Spiked, forecast, make_plan, spike
from matterhorn.spiking.verb import billed
from matterhorn.tasks.results import read_result

from ..networks import small_arrays, small_program
from ..tiny import WORDS, lay_tokenizer
from .laid import NAMES, lay_classifier, lay_rows, run

pytestmark = pytest.mark.xdist_group("spike")  # a run of each kind, not one for each worker


@pytest.fixture(scope="module")
def spiked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Spiked]]:
    """A run of a kind, once for all that only look at it, and the folder that it is in."""

    @cache
    def made(kind: str) -> tuple[Path, Spiked]:
        folder = tmp_path_factory.mktemp(kind)
        return folder, run(folder, kind)

    return made


@pytest.mark.parametrize("kind", list(NAMES))
def test_what_a_user_gets(spiked: Any, kind: str) -> None:
    """Own labels kept, verified, billed; the program in the folder gives the figures that are told."""
    tmp_path, done = spiked(kind)
    answer = done.answer
    assert answer["verified"] is True and answer["labels"] == NAMES[kind]
    assert answer["n"] == 30 and answer["low"] <= answer["value"] <= answer["high"]
    assert answer["joules"] > 0
    alike = answer["correlation"] if kind == "score" else answer["agreement"]
    assert -1 <= alike <= 1 and None in (answer["correlation"], answer["agreement"])
    assert {path.name for path in done.path.iterdir()} >= {
        *("README.md", "config.json", "index.html", "model.safetensors", "results.json", "spike.json", "tokenizer.json")
    }
    program = mh.load(done.path)
    assert (answer["task"], program.task, program.texts) == ("verdict", "verdict", 1)  # by its labels, not by its file
    card = (done.path / "README.md").read_text()
    assert "# out: a spiking network for verdict\n\nmodel with 1-bit weights" in card and "k = 0" not in card
    assert len(answer["diagnosis"]["by_part"]) == 2 * 14
    assert answer["data"] == str(tmp_path / "dev.csv") and f", verdict on {answer['data']} (30) |" in card
    assert program.hash == answer["hash"] == done.program.hash and list(program.labels) == NAMES[kind]
    teacher = hash_of_model(BertForSequenceClassification.from_pretrained(tmp_path / "model").float())
    assert read_result(done.path / "results.json").backbone == f"{tmp_path / 'model'}@{teacher[:12]}"
    mh.Engine(program, threads=1).classify(["a film, fine and warm"])
    assert not list(tmp_path.glob("*.training"))


@pytest.mark.parametrize("output", [".", "sst2", "new/../sst2"])
def test_the_output_may_be_this_folder_and_be_named_like_a_model(tmp_path: Path, monkeypatch: Any, output: str) -> None:
    """A second call answers from the folder, not from the shipped model of its name."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for _ in range(2):
        done = run(tmp_path, output=output, minutes=0, silent_share=0.9)
        assert done.program.hash == done.answer["hash"] == mh.load(done.path).hash
    name = "here" if output == "." else output[-4:]
    assert not done.is_new and f"# {name}: a spiking network" in (done.path / "README.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"here", "model", "train.csv", "dev.csv"}
    assert not (tmp_path / "here" / "new").exists()


def test_a_manifest_of_others_is_found_before_any_work(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"name": "my web app"}')
    monkeypatch.setattr("matterhorn.spiking.verb.make_plan", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(InputError, match=r"manifest\.json: output: was not written by matterhorn"):
        run(tmp_path, minutes=0, overwrite=True)


def test_agreement_and_flips_are_those_of_the_answers(spiked: Any) -> None:
    """Recounted from the classifier and the program themselves."""
    tmp_path, done = spiked("two")
    told = json.loads((done.path / "spike.json").read_text())
    model = BertForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    with (tmp_path / "dev.csv").open(encoding="utf-8") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    encoded = done.program.encode(texts)
    with torch.no_grad():
        taught = model(**{name: torch.from_numpy(array) for name, array in encoded.items()}).logits.argmax(-1).numpy()
    own = mh.Engine(done.program, threads=1)(**encoded).logits.argmax(-1)
    assert told["agreement"] == pytest.approx((own == taught).mean())
    assert [row["row"] for row in told["diagnosis"]["flipped"]] == np.flatnonzero(own != taught).tolist()


def test_scores_correlate_and_do_not_agree(spiked: Any) -> None:
    """Recounted: the rows furthest apart come first; nothing is called flipped."""
    _, done = spiked("score")
    told = json.loads((done.path / "spike.json").read_text())
    found, page = told["diagnosis"], (done.path / "index.html").read_text()
    assert told["agreement"] is None and found["flipped"] == [] and len(found["furthest"]) == 20
    apart = [abs(row["teacher"][0] - row["spiking"][0]) for row in found["furthest"]]
    assert (
        apart == pytest.approx(sorted(apart, reverse=True), abs=2e-3)
        and len({r["row"] for r in found["furthest"]}) == 20
    )
    assert all(one["agreement"] is None and -1 <= one["correlation"] <= 1 for one in found["relax"])
    assert "furthest apart" in page and "correlate by" in page and "flipped</h2>" not in page


def test_why_it_lost(tmp_path: Path) -> None:
    """Every quantizer of every block has a cost; narrower dead zones leave less silence."""
    found = json.loads((run(tmp_path, dead_zone=2).path / "spike.json").read_text())["diagnosis"]
    assert len(found["by_part"]) == 2 * 14
    zones = {one["what"]: one["silent_share"] for one in found["relax"] if "silent_share" in one}
    shares = [zones[f"dead zone: k = 2 → {k}"] for k in (0, 1)]
    assert shares == sorted(shares)
    costs = [one["cost"] for one in found["relax"]]
    assert costs == sorted(costs, reverse=True)


def test_calibration_alone(tmp_path: Path) -> None:
    """Without training rows there is no dead zone, weights have 4 bits, and it is exact as ever."""
    rows = lay_rows(tmp_path / "dev.csv", count=30)
    model = lay_classifier(tmp_path / "model")
    columns = {"text": "review", "label": "verdict"}
    done = spike(model, eval=rows, output=tmp_path / "out", verify_rows=8, **columns)
    assert done.answer["verified"] and done.answer["start"] == "calibration"
    assert done.program.config.dead_zone == 0 and done.program.config.weights == "int4"
    assert done.program.config.kv_bits == 4


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped behind training, it does not train again; with other settings it is refused, unless restarted."""
    monkeypatch.setattr("matterhorn.spiking.verb.write", _stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("matterhorn.distill.loop.descend", _stop)
    with pytest.raises(InputError, match="another silent_share"):
        run(tmp_path, silent_share=0.7)
    assert run(tmp_path).answer["verified"]


def _stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_rows_too_few_to_hold_any_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows, stopped behind training, go on; of few texts that are there many times all are learned."""
    few = lay_rows(tmp_path / "few.csv", count=5)
    with monkeypatch.context() as patch:
        patch.setattr("matterhorn.spiking.verb.verified", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, train=few)
    assert run(tmp_path, train=few).answer["verified"]
    lines = few.read_text(encoding="utf-8").splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([lines[0], *lines[1:3] * 15]), encoding="utf-8")
    assert run(tmp_path, train=tmp_path / "twice.csv", output=tmp_path / "twice").answer["verified"]
    (tmp_path / "once.csv").write_text("\n".join([lines[0], *lines[1:2] * 30]), encoding="utf-8")
    with pytest.raises(InputError, match="train: all rows have the same text"):
        run(tmp_path, train=tmp_path / "once.csv", output=tmp_path / "once")


def test_a_finished_result_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again it gives its answer; of other settings, rows or a chip it is refused, unless it may be replaced."""
    first = run(tmp_path)
    monkeypatch.setattr("matterhorn.spiking.verb.trained", _stop)
    again = run(tmp_path)
    assert first.is_new and not again.is_new and again.answer == first.answer
    assert again.program.hash == first.program.hash
    for other in ({"dead_zone": 2}, {"chip": "loihi"}, {"verify_rows": 9}):
        with pytest.raises(InputError, match=rf"out: .*another .*{next(iter(other))}.*; name another folder, or give"):
            run(tmp_path, **other)
    for anew in ({"overwrite": True, "dead_zone": 2}, {"restart": True}):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, **anew)
    assert mh.load(tmp_path / "out").hash == first.program.hash


def test_nothing_foreign_is_replaced(tmp_path: Path) -> None:
    """A folder with something else in it is refused before any work."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.tex: output: was not written by matterhorn"):
        run(tmp_path)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_only_looks_like_training_is_left_alone(tmp_path: Path, restart: bool) -> None:
    """Not even ``restart`` deletes what it did not write."""
    (tmp_path / "out.training").mkdir()
    (tmp_path / "out.training" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not the folder of a run"):
        run(tmp_path, restart=restart)
    assert (tmp_path / "out.training" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("minutes", [0, 0.02])
def test_with_fewer_blocks(tmp_path: Path, minutes: float) -> None:
    """Trained or calibrated alone, it has those that were asked for; what that keeps was not measured."""
    rows = lay_rows(tmp_path / "train.csv"), lay_rows(tmp_path / "dev.csv", count=30, seed=1)
    settings: dict[str, Any] = {"minutes": minutes, "blocks": [1], "text": "review", "label": "verdict"}
    model = lay_classifier(tmp_path / "model")
    done = spike(model, *rows, output=tmp_path / "out", verify_rows=8, **settings)
    assert done.answer["verified"] and done.program.config.num_hidden_layers == 1
    assert done.answer["settings"]["blocks"] == [1]
    assert json.loads((done.path / "results.json").read_text())["teacher_blocks"] == 2
    told = forecast(make_plan(model, *rows, **settings))
    assert told["kept_low"] is None and "with fewer blocks" in told["notes"][-1]


def test_an_encoder_of_another_family(tmp_path: Path) -> None:
    """DistilBERT: no token types, no pooler of BERT's, no task-free encoder to start from."""
    names = dict(enumerate(NAMES["two"]))
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(WORDS), initializer_range=0.2, **sizes, **labels)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    lay_tokenizer(tmp_path / "model")
    rows = lay_rows(tmp_path / "train.csv"), lay_rows(tmp_path / "dev.csv", count=30, seed=1)
    settings: dict[str, Any] = {"minutes": 0.02, "verify_rows": 8, "dead_zone": 2, "silent_share": 0.8}
    done = spike(tmp_path / "model", *rows, text="review", label="verdict", output=tmp_path / "out", **settings)
    assert done.answer["verified"] and done.answer["start"] == "teacher"


def test_a_network_too_loud_for_a_capacitor_is_billed_on_digital_arrays() -> None:
    """An hour of training does not end in an error about a chip."""
    program = small_program(k=0)
    trace = mh.Engine(program, threads=1)(**small_arrays(), trace=True).trace
    assert trace is not None
    small = load_chip("rram-22nm", ["msu.capacitor=0.001 pF"])
    with pytest.raises(InputError, match="capacitor"):
        mh.bill(trace, chip=small)
    assert billed(trace, small).hardware == "digital" and billed(trace, load_chip("rram-22nm")).hardware == "msu"
