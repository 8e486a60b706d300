"""A user's way: a fine-tuned classifier and rows → a folder with a verified, billed spiking network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification
from typer.testing import CliRunner

import matterhorn as mh
from matterhorn.cli import app
from matterhorn.distill.measure import predict
from matterhorn.distill.provenance import hash_of_model
from matterhorn.energy import load as load_chip
from matterhorn.errors import InputError
from matterhorn.spiking import Spiked, forecast, make_plan, spike
from matterhorn.spiking.course import SCORE_WEIGHT, logit_weight
from matterhorn.spiking.verb import billed
from matterhorn.tasks.results import read_result

from ..networks import small_arrays, small_bert, small_program
from ..tiny import BAD, GOOD, WORDS, lay_tokenizer

NAMES = {"two": ["bad", "good"], "three": ["mixed", "bad", "good"], "score": ["score"], "many": ["bad", "good"]}

PROBLEMS = {"score": "regression", "many": "multi_label_classification"}


def lay_classifier(folder: Path, kind: str = "two") -> Path:
    """A small classifier that was trained to tell good words from bad ones, with its tokenizer."""
    names = dict(enumerate(NAMES[kind]))
    labels = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    model = small_bert(len(names), vocabulary=len(WORDS), **labels)
    if kind in PROBLEMS:
        model.config.problem_type = PROBLEMS[kind]
    model.save_pretrained(folder)
    lay_tokenizer(folder)
    return folder


def lay_rows(path: Path, kind: str = "two", count: int = 60, seed: int = 0) -> Path:
    """Rows of films that are good, bad or both."""
    draw = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "verdict"])
        for number in range(count):
            label = NAMES[kind][number % len(NAMES[kind])]
            words = {"good": GOOD, "bad": BAD}.get(label, GOOD + BAD)
            chosen = draw.choice(words, size=int(draw.integers(1, 6))).tolist()
            good = sum(word in GOOD for word in chosen)
            said: Any = round(4 * good / len(chosen) + 0.5, 1) if kind == "score" else label
            if kind == "many":
                chosen += [str(draw.choice(GOOD + BAD))]
                said = ",".join(name for name, own in zip(NAMES[kind], (BAD, GOOD), strict=True) if {*own} & {*chosen})
            writer.writerow(["a film, " + " and ".join(chosen), said])
    return path


def run(tmp_path: Path, kind: str = "two", **options: Any) -> Spiked:
    """``spike`` for a second."""
    train = options.pop("train", None) or lay_rows(tmp_path / "train.csv", kind)
    rows = train, lay_rows(tmp_path / "dev.csv", kind, 30, seed=1)
    settings: dict[str, Any] = {"minutes": 0.02, "verify_rows": 8, "silent_share": 0.8, "output": tmp_path / "out"}
    model = lay_classifier(tmp_path / "model", kind)
    return spike(model, *rows, text="review", label="verdict", **(settings | options))


@pytest.mark.parametrize("kind", list(NAMES))
def test_what_a_user_gets(tmp_path: Path, kind: str) -> None:
    """Own labels kept, verified, billed; the program in the folder gives the figures that are told."""
    done = run(tmp_path, kind)
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


def test_agreement_and_flips_are_those_of_the_answers(tmp_path: Path) -> None:
    """Recounted from the classifier and the program themselves."""
    done = run(tmp_path)
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


def test_scores_correlate_and_do_not_agree(tmp_path: Path) -> None:
    """Recounted: the rows furthest apart come first; nothing is called flipped."""
    done = run(tmp_path, "score")
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


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"weights": "int3"}, "weights"),
        ({"deadzone": 3}, "deadzone"),
        ({"verify_rows": 0}, "verify_rows: 0 rows; verify one at least"),
        ({"chip": "none"}, "none"),
        ({"text": "body"}, "body"),
        ({"label": "rating"}, "rating"),
        ({"task": "sst2", "kind": "single_label"}, "kind"),
        ({"eval": None}, "eval"),
        ({"model": Path("nowhere")}, "nowhere: no such folder"),
        ({"model": "/nowhere/model"}, "/nowhere/model: no such folder"),
        ({"train": None, "minutes": 0, "silent_share": 0.7}, "silent_share"),
        ({"train": None, "dead_zone": 2}, "dead_zone"),
        ({"train": None, "silent_share": 0.7}, "silent_share"),
        ({"blocks": [1, 5]}, r"blocks: \[1, 5\] of 2 blocks; give ascending numbers from 0 to 1"),
    ],
)
def test_refused_before_any_work(
    tmp_path: Path, options: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the setting or the column."""
    monkeypatch.setattr("matterhorn.spiking.verb.trained", _stop)
    rows = {"train": lay_rows(tmp_path / "train.csv"), "eval": lay_rows(tmp_path / "dev.csv", seed=1)}
    given = rows | {"text": "review", "label": "verdict", "output": tmp_path / "out"}
    given |= {"model": lay_classifier(tmp_path / "model")} | options
    with pytest.raises(InputError, match=problem):
        spike(**given)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (["--chip", "none"], "none"),
        (["--output", "{}"], "overlaps with .*dev.csv"),
        (["--task", "gone.yaml"], "gone.yaml: --task: no such file"),
        (["--train", "gone.csv"], "gone.csv: no such file"),
        (["--blocks", "1;2"], "blocks: '1;2'; give numbers between commas"),
    ],
)
def test_a_dry_run_refuses_as_the_run_would(tmp_path: Path, option: list[str], problem: str) -> None:
    """Chip, folder and files before the model is looked for."""
    rows = lay_rows(tmp_path / "dev.csv")
    told = ["spike", "./nowhere", "--dry-run", "--output", "out", "--eval", str(rows), *option]
    with pytest.raises(InputError, match=problem):
        CliRunner().invoke(app, [one.format(tmp_path) for one in told], catch_exceptions=False)


@pytest.mark.parametrize("kind", ["BertForTokenClassification", "AlbertForSequenceClassification"])
def test_a_model_of_another_kind_is_not_even_loaded(tmp_path: Path, kind: str) -> None:
    """By what its configuration says: its weights need not be there."""
    config = {"architectures": [kind], "model_type": kind.split("For")[0].lower()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        InputError, match=f"{tmp_path}: teacher: {kind} is not supported; give one of: BertForSequenceClassification, "
    ) as said:
        make_plan(tmp_path, None, lay_rows(tmp_path / "dev.csv"), text="review", label="verdict")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_the_range_of_scores_makes_no_difference(tmp_path: Path, factor: float) -> None:
    """Squared errors are weighed by the variance of the teacher's scores."""
    rows = lay_rows(tmp_path / "train.csv", "score"), lay_rows(tmp_path / "dev.csv", "score", 30)
    plan = make_plan(lay_classifier(tmp_path / "model", "score"), *rows, text="review", label="verdict")
    teacher, tokens = plan.teacher.model.eval(), plan.tokens(plan.eval)
    with torch.no_grad():
        teacher.get_submodule("classifier").weight *= factor
    spread = float(predict(teacher, tokens).var(unbiased=False))
    assert logit_weight(teacher, tokens, plan.task) * spread == pytest.approx(SCORE_WEIGHT)


@pytest.mark.parametrize("minutes", [0, 0.02])
def test_with_fewer_blocks(tmp_path: Path, minutes: float) -> None:
    """Trained or calibrated alone, it has those that were asked for; what that keeps was not measured."""
    rows = lay_rows(tmp_path / "train.csv"), lay_rows(tmp_path / "dev.csv", count=30, seed=1)
    settings: dict[str, Any] = {"minutes": minutes, "blocks": [1], "text": "review", "label": "verdict"}
    model = lay_classifier(tmp_path / "model")
    done = spike(model, *rows, output=tmp_path / "out", verify_rows=8, **settings)
    assert done.answer["verified"] and done.program.config.num_hidden_layers == 1
    assert done.answer["settings"]["blocks"] == [1]
    told = forecast(make_plan(model, *rows, **settings))
    assert told["kept_low"] is None and "with fewer blocks" in told["notes"][-1]


def test_what_it_will_take(tmp_path: Path) -> None:
    """Twice the minutes are twice the steps."""
    rows = lay_rows(tmp_path / "train.csv"), lay_rows(tmp_path / "dev.csv", seed=1)
    columns = {"text": "review", "label": "verdict"}
    found = forecast(make_plan(lay_classifier(tmp_path / "model"), *rows, minutes=1, **columns))
    assert found["steps"] == int(60 / found["seconds_per_step"]) and found["gigabytes"] > 0
    assert found["total_minutes"] > found["minutes"] == 1 and found["made_rows"] > 60
    assert "60 given" in found["notes"][0] and found["notes"][1] == "kept: not measured for this start (teacher)."


def test_what_calibration_alone_will_take(tmp_path: Path) -> None:
    """Its time is measured too; more rows take longer."""
    model, columns = lay_classifier(tmp_path / "model"), {"text": "review", "label": "verdict"}
    few, many = (lay_rows(tmp_path / f"{n}.csv", count=n) for n in (30, 3000))
    short, long = (forecast(make_plan(model, None, rows, **columns)) for rows in (few, many))
    assert short["start"] == "calibration" and 0 < short["minutes"] < short["total_minutes"] < long["total_minutes"]
    assert short["gigabytes"] > 0 and short["notes"] == ["kept: not measured for this start (calibration)."]


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
