from __future__ import annotations

import math

import pytest
import torch
from accelerate import Accelerator

from matterhorn.distill.measure import Flips, by_divergence, by_majority, by_metric, divergence
from matterhorn.distill.teacher import freeze
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import Tokens

from ..networks import small_bert, small_network

ROWS = Tokens([[2, 5 + i % 90, 3] for i in range(100)], [[0] * 3] * 100, [i % 2 for i in range(100)])


def test_divergence_is_that_of_the_answers():
    even, sure = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    assert divergence(even, even + 5) == pytest.approx(0, abs=1e-6)
    assert divergence(even, sure) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
    assert divergence(torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [5.0]])) == 2.5
    both = torch.tensor([[0.0, 9.0]]), torch.tensor([[math.log(3.0), 9.0]])
    wanted = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert divergence(*both, "multi_label") == pytest.approx(wanted, rel=1e-5)


def test_a_student_is_chosen_by_how_near_it_comes_to_its_teacher():
    teacher, accelerator = freeze(small_bert()), Accelerator(cpu=True)
    measure, other = by_divergence(get_task("rte"), teacher), small_bert()
    with torch.no_grad():
        other.classifier.bias.add_(torch.tensor([2.0, 0.0]))
    same, far = measure(teacher, ROWS, accelerator), measure(other, ROWS, accelerator)
    assert list(same.figures) == ["divergence", "accuracy"] and same.score == pytest.approx(0, abs=1e-6)
    assert far.score == -far.figures["divergence"] < -0.01


def test_a_teacher_is_chosen_by_its_main_metric():
    measured = by_metric(get_task("mrpc"))(small_bert(), ROWS, Accelerator(cpu=True))
    assert measured.score == measured.figures["accuracy"] and list(measured.figures) == ["accuracy", "f1"]


def test_flips_are_counted_from_one_look_to_the_next():
    network = small_network()
    flips, linears = Flips(network), list(network.connections().values())
    weights = sum(linear.weight.numel() for linear in linears)
    with torch.no_grad():
        linears[0].weight[0].neg_()
    assert flips.since(network) == {"flipped": linears[0].weight.shape[1] / weights}
    assert flips.since(network) == {"flipped": 0.0} and Flips(small_bert()).since(small_bert()) == {}


def test_the_commonest_label_alone_is_the_least_that_a_teacher_must_reach():
    rows = Tokens([[2, 3]] * 4, [[0, 0]] * 4, [1.0, 0.0, 1.0, 1.0])
    assert by_majority(get_task("sst2"), rows) == 0.75 and by_majority(get_task("cola"), rows) == 0
    assert by_majority(get_task("stsb"), rows) == 0
