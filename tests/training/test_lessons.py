from __future__ import annotations

import random

import torch

from matterhorn.training.data import Tokens, shuffled_batches
from matterhorn.training.lessons import Memory, ask
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
