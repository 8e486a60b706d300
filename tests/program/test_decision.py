"""What logits say, and programs that know which kind of question they answer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.special import expit, softmax

from matterhorn.errors import InputError
from matterhorn.program import load
from matterhorn.program.decision import decide, probabilities
from matterhorn.runtime import Engine

from ..networks import small_program

LOGITS = np.array([[2.0, -1.0, 0.5], [-3.0, -1.0, -2.0]], np.float32)


def test_decisions_by_hand():
    assert decide("single_label_classification", LOGITS).tolist() == [0, 1]
    assert decide("multi_label_classification", LOGITS).tolist() == [[True, False, True], [False] * 3]
    assert decide("regression", LOGITS) is LOGITS


def test_probabilities_are_scipys():
    assert np.allclose(probabilities("single_label_classification", LOGITS), softmax(LOGITS, axis=-1))
    assert np.allclose(probabilities("multi_label_classification", LOGITS), expit(LOGITS))
    assert probabilities("regression", LOGITS) is None


def test_a_program_knows_its_problem_and_keeps_it(tmp_path):
    program = small_program()
    assert program.problem_type == "single_label_classification"
    assert small_program(labels=1).problem_type == load("stsb").problem_type == "regression"
    own = program.from_arrays(
        program.config, program.arrays(), labels=["a", "b"], tokenizer=program.tokenizer,
        problem_type="multi_label_classification",
    )  # fmt: skip
    own.save(tmp_path / "own")
    for other in (load(tmp_path / "own"), pickle.loads(pickle.dumps(own))):
        assert other.problem_type == "multi_label_classification" and other.hash == own.hash
    with pytest.raises(InputError, match="problem_type: unknown kind 'ranking'"):
        program.from_arrays(program.config, program.arrays(), labels=["a", "b"], problem_type="ranking")


def test_answers_name_all_labels_that_hold():
    program = small_program()
    about = {"labels": ["a", "b"], "tokenizer": program.tokenizer}
    texts = ["a b", "c d e"]
    for kind in ("single_label_classification", "multi_label_classification", "regression"):
        engine = Engine(program.from_arrays(program.config, program.arrays(), **about, problem_type=kind), "exact")
        logits = engine(**engine.program.encode(texts)).logits
        for answer, own in zip(engine.classify(texts), logits, strict=True):
            assert answer.scores == dict(zip("ab", own.tolist(), strict=True)) and answer.label == "ab"[own.argmax()]
            if kind == "regression":
                assert answer.labels == () and answer.probabilities is None
            elif kind.startswith("multi"):
                assert answer.labels == tuple(name for name, logit in answer.scores.items() if logit > 0)
                assert answer.probabilities == pytest.approx(dict(zip("ab", expit(own), strict=True)))
            else:
                assert answer.labels == (answer.label,)
