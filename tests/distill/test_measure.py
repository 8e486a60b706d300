from __future__ import annotations

import math
import random

import pytest
import torch
from accelerate import Accelerator

from matterhorn.training.data import Tokens, shuffled_batches
from matterhorn.training.lessons import Memory, ask, beside_teacher, divergence
from matterhorn.training.tasks import get_task
from matterhorn.training.teacher import freeze

from ..conftest import small_bert


def some_rows(count: int = 150) -> Tokens:
    """Rows of 3 to 12 tokens, some of them twice."""
    draw = random.Random(0)
    ids = [[2, *draw.choices(range(5, 200), k=draw.randint(1, 10)), 3] for _ in range(count)]
    ids += ids[:20]
    types = [[0] * (len(row) // 2) + [1] * (len(row) - len(row) // 2) for row in ids]
    return Tokens(ids, types, [0.0] * len(ids), pad=0, is_regression=False)


def test_a_teacher_remembered_says_what_a_teacher_asked_says():
    teacher, rows = freeze(small_bert()), some_rows()
    memory = Memory(teacher, rows, batch_size=16)
    for numbers in shuffled_batches(rows, 8, seed=3):
        batch = rows.batch(numbers)
        (asked, states), (said, kept) = ask(teacher, batch), memory(batch)
        assert torch.allclose(said, asked, atol=1e-5)
        assert len(kept) == len(states)
        present = batch["attention_mask"].bool()
        for own, other in zip(kept, states, strict=True):
            assert torch.allclose(own[present].float(), other[present], atol=0.02, rtol=0.01)
            assert not own[~present].any()


def test_remembering_is_the_same_every_time():
    teacher, rows = freeze(small_bert()), some_rows()
    assert torch.equal(Memory(teacher, rows).states, Memory(teacher, rows).states)


def test_divergence_is_that_of_the_answers():
    even, sure = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    assert divergence(even, even + 5) == pytest.approx(0, abs=1e-6)
    assert divergence(even, sure) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
    assert divergence(torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [5.0]])) == 2.5


def test_a_student_is_chosen_by_how_near_it_comes_to_its_teacher():
    teacher, rows, task = freeze(small_bert(labels=2)), some_rows(), get_task("rte")
    measure, accelerator = beside_teacher(task, teacher), Accelerator(cpu=True)
    other = small_bert(labels=2)
    with torch.no_grad():
        other.classifier.bias.add_(torch.tensor([2.0, 0.0]))
    same, far = measure(teacher, rows, accelerator), measure(other, rows, accelerator)
    assert list(same) == ["nearness", "accuracy"] and same["nearness"] == pytest.approx(0, abs=1e-6)
    assert far["nearness"] < -0.01
