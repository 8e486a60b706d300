from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from matterhorn.tasks.metrics import compute_metrics, f1, interval, macro_f1, matthews, pearson, ranks, spearman, wilson
from matterhorn.tasks.task import Task, get_task

from ..tiny import lay_network


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


@pytest.mark.parametrize("seed", range(3))
def test_more_classes_and_labels_as_scikit_learn_judges_them(seed):
    draw = np.random.default_rng(seed)
    labels, guess = draw.integers(0, 4, 60), draw.integers(0, 4, 60)
    assert macro_f1(labels, guess) == pytest.approx(f1_score(labels, guess, average="macro"), rel=1e-12)
    assert matthews(labels, guess) == pytest.approx(matthews_corrcoef(labels, guess), rel=1e-12)
    several, said = draw.integers(0, 2, (2, 50, 3))
    task = Task(name="own", text="text", label="label", kind="multi_label", labels=["a", "b", "c"])
    found = compute_metrics(task, 2.0 * said - 1, several)
    assert found["micro_f1"] == pytest.approx(f1_score(several, said, average="micro"), rel=1e-12)
    assert found["exact_match"] == pytest.approx(accuracy_score(several, said), rel=1e-12)


def test_several_scores_have_the_mean_of_their_correlations():
    task = Task(name="own", text="text", label=["x", "y"], kind="regression", labels=["x", "y"])
    labels, logits = np.array([[1.0, 3], [2, 2], [3, 1]]), np.array([[1.0, 1], [2, 5], [3, 4]])
    found = compute_metrics(task, logits, labels)
    wanted = np.mean([pearsonr(a, b).statistic for a, b in zip(labels.T, logits.T, strict=True)])
    assert found == {"pearson": pytest.approx(wanted), "spearman": pytest.approx((1 - 0.5) / 2)}


def test_wilsons_interval_is_the_published_one():
    low, high = wilson(0.5, 10)
    assert (round(low, 4), round(high, 4)) == (0.2366, 0.7634)  # Wilson 1927, by R's binom::binom.confint
    assert all(wilson(1.0, n)[1] == 1 and wilson(0.0, n)[0] == 0 for n in range(1, 200))
    assert wilson(1, 20)[1] == 1 and wilson(0, 20)[0] == 0 and wilson(1, 20)[0] > 0.8


def test_intervals_hold_the_figure_and_narrow_with_rows():
    draw, widths = np.random.default_rng(0), []
    for n in (50, 800):
        scores = draw.normal(size=n)
        task, logits = get_task("stsb"), (scores + draw.normal(size=n))[:, None]
        low, high = interval(task, logits, scores)
        assert low < compute_metrics(task, logits, scores)["pearson"] < high
        assert interval(task, logits, scores) == (low, high)  # seeded
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    logits = np.array([[1.0, 0]] * 10)
    assert interval(get_task("sst2"), logits, [0, 1] * 5) == wilson(0.5, 10)


def test_the_bootstrap_shows_how_far_it_is():
    draw, seen = np.random.default_rng(0), []
    logits, labels = draw.normal(size=(20, 2)), draw.integers(0, 2, 20)
    found = interval(
        get_task("cola"), logits, labels, progress=lambda rounds: map(lambda own: seen.append(own), rounds)
    )
    assert len(seen) == 1000 and found == interval(get_task("cola"), logits, labels)


def test_whoever_asks_for_an_interval_of_many_rows_sees_how_far_it_is(tmp_path, monkeypatch):
    """The bootstrap of a teacher's or a network's scores, and of those that ``spike`` reports."""
    from matterhorn.distill import score
    from matterhorn.spiking import verb

    seen, rows = [], SimpleNamespace(labels=[0, 1, 1, 0])
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    monkeypatch.setattr(score, "predict", lambda *_: logits)
    folder = lay_network(tmp_path, "cola", 0)
    score.scores_of(
        folder, get_task("cola"), {"dev": rows}, progress=lambda title: lambda of: (seen.append(title), of)[1]
    )
    assert seen == ["interval"]
    verb.scores(get_task("cola"), rows, logits.numpy(), logits.numpy(), lambda of: (seen.append(len(of)), of)[1])
    assert seen == ["interval", 1000]
