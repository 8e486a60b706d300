from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from matterhorn.tasks.metrics import compute_metrics, f1, matthews, pearson, ranks, spearman
from matterhorn.tasks.task import get_task


def test_known_answers():
    logits, labels = np.array([[2.0, 1], [0, 1], [0, 1], [3, 0]]), np.array([0, 1, 0, 1])
    assert compute_metrics(get_task("sst2"), logits, labels) == {"accuracy": 0.5}
    assert compute_metrics(get_task("mrpc"), logits, labels) == {"accuracy": 0.5, "f1": 0.5}
    assert compute_metrics(get_task("cola"), logits, labels)["matthews"] == 0
    scores = np.array([[1.0], [2], [4], [8]])
    answer = compute_metrics(get_task("stsb"), scores, np.array([1.0, 2, 3, 4]))
    assert answer["spearman"] == pytest.approx(1) and answer["pearson"] == pytest.approx(11.5 / (5 * 28.75) ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_classes_as_scikit_learn_judges_them(seed):
    draw = np.random.default_rng(seed)
    labels, guess = draw.integers(0, 2, 60), draw.integers(0, 2, 60)
    assert f1(labels, guess) == pytest.approx(f1_score(labels, guess), rel=1e-12)
    assert matthews(labels, guess) == pytest.approx(matthews_corrcoef(labels, guess), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_scores_as_scipy_judges_them_ties_included(seed):
    draw = np.random.default_rng(seed)
    labels, guess = draw.integers(0, 9, 80) / 2, draw.normal(size=80).astype(np.float32).round(1)
    assert len(np.unique(guess)) < len(guess)
    assert pearson(labels, guess) == pytest.approx(pearsonr(labels, guess).statistic, rel=1e-12)
    assert spearman(labels, guess) == pytest.approx(spearmanr(labels, guess).statistic, rel=1e-12)


def test_where_nothing_can_be_told_a_metric_is_zero():
    same, mixed = np.ones(6), np.arange(6) % 2
    assert matthews(mixed, same) == pearson(mixed, same) == spearman(mixed, same) == 0
    assert f1(np.zeros(6), np.zeros(6)) == 0 and ranks(np.array([5, 1, 5])).tolist() == [2.5, 1, 2.5]
