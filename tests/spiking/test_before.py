"""What is said before any work: what will be refused, and how long the rest will take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.distill.measure import predict
from matterhorn.errors import InputError
from matterhorn.spiking import forecast, make_plan, spike
from matterhorn.spiking.course import SCORE_WEIGHT, logit_weight

from .laid import lay_classifier, lay_rows


def _stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


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
