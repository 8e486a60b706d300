"""The verb: rows, a student and its teacher, no files."""

from __future__ import annotations

import pytest
import torch

import matterhorn as mh
from matterhorn.distill import distill
from matterhorn.distill.verb import as_tokens
from matterhorn.errors import InputError
from matterhorn.models import convert, quantize, restore
from matterhorn.runtime import Engine
from matterhorn.tasks.tokens import Tokens

from ..networks import small_arrays, small_batch, small_bert, small_teacher

ROWS = Tokens([[2, 5 + i % 90, 6 + i % 80, 3] for i in range(64)], [[0] * 4] * 64, [])


def student():
    return quantize(small_bert(), batches=[ROWS.batch(list(range(64)))])


def test_a_student_learns_and_keeps_silent():
    own, teacher = student(), small_bert()
    teacher.train()
    trained = distill(own, teacher, ROWS, dead_zone=2, silent_share=0.8, batch_size=16, steps=40, learning_rate=1e-3)
    assert trained is own and not own.training and own.config.dead_zone == 2 and teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    program = convert(own)
    trace = Engine(program, "exact")(**ROWS.encoded(list(range(64))), trace=True).trace
    assert trace.silent_share == pytest.approx(0.8, abs=0.06)


def test_a_teacher_of_other_outputs_is_refused():
    with pytest.raises(InputError, match="teacher: 1 outputs, where the student has 2; give the classifier"):
        distill(student(), small_bert(labels=1), ROWS, dead_zone=0, batch_size=16, steps=2)


def test_a_quiet_share_can_be_held_too():
    program = convert(distill(student(), small_bert(), ROWS, dead_zone=2, quiet_share=0.85, batch_size=16, steps=30))
    trace = Engine(program, "exact")(**ROWS.encoded(list(range(64))), trace=True).trace
    assert trace.quiet_share == pytest.approx(0.85, abs=0.06)


def test_a_seed_says_the_same_again():
    def weights(seed):
        own = distill(student(), small_bert(), ROWS, dead_zone=0, batch_size=16, steps=6, seed=seed)
        return own.layers()[0].connection("ffn1").weight.detach()

    one, again, other = (weights(seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_an_average_is_what_the_student_ends_with():
    rough, smooth = (
        distill(student(), small_bert(), ROWS, dead_zone=0, batch_size=16, steps=8, average=average)
        for average in (0.0, 0.9)
    )
    start = student()
    paths = [own.layers()[0].connection("ffn1").weight.detach() for own in (start, rough, smooth)]
    assert 0 < (paths[2] - paths[0]).norm() < (paths[1] - paths[0]).norm()


@pytest.mark.parametrize("name", ["DistilBert", "MPNet", "Electra"])
def test_any_supported_encoder_teaches(name):
    teacher, given = small_teacher(name), [ROWS.batch(list(range(16)))]
    own = quantize(teacher, batches=given)
    trained = distill(own, teacher, given, dead_zone=2, silent_share=0.8, batch_size=8, steps=3)
    assert trained.config.dead_zone == 2 and convert(trained).config.head_activation == own.config.head_activation


def test_batches_are_rows_too():
    tokens = as_tokens([small_arrays(), {"input_ids": torch.tensor([[2, 7, 3]])}])
    batch = small_batch()
    assert tokens.ids[0] == batch["input_ids"][0].tolist() and len(tokens) == 7
    assert tokens.ids[1] == batch["input_ids"][1][: int(batch["attention_mask"][1].sum())].tolist()
    assert (tokens.ids[6], tokens.types[6]) == ([2, 7, 3], [0, 0, 0])
    alone = as_tokens({name: values.tolist() for name, values in small_arrays().items()} | {"labels": [0] * 6})
    assert alone.ids == tokens.ids[:6]


def test_what_cannot_be_distilled_is_named():
    with pytest.raises(mh.InputError, match="scales are not set"):
        distill(quantize(small_bert()), small_bert(), ROWS, dead_zone=1)
    with pytest.raises(mh.InputError, match="silent_share: Input should be less than 1"):
        distill(student(), small_bert(), ROWS, dead_zone=1, silent_share=1.2)
    with pytest.raises(mh.InputError, match="no rows"):
        distill(student(), small_bert(), [], dead_zone=1)
    with pytest.raises(mh.InputError, match="batch 1: a str"):
        distill(student(), small_bert(), ["a text"], dead_zone=1)
    with pytest.raises(mh.InputError, match="teacher: token 69, outside its vocabulary of 50"):
        distill(student(), small_bert(vocabulary=50), ROWS, dead_zone=1)
    with pytest.raises(mh.InputError, match="student: a row of 70 tokens; give at most 64"):
        distill(student(), small_bert(), Tokens([[2] * 70], [[0] * 70], []), dead_zone=1)


def test_the_verb_is_there_whatever_of_its_room_was_imported_before():
    assert callable(mh.distill) and "Raises:" in str(mh.distill.__doc__)
    with pytest.raises(mh.InputError, match="no rows"):
        mh.distill(student(), small_bert(), [], dead_zone=1)


def test_scales_that_were_held_are_learned_again_afterwards():
    own = distill(student(), small_bert(), ROWS, dead_zone=2, silent_share=0.8, batch_size=16, steps=1)
    for population in own.populations().values():
        assert population.scale.requires_grad and not population.follows


@pytest.mark.parametrize("sizes", [{"num_hidden_layers": 1}, {"num_hidden_layers": 3}, {"hidden_size": 16}])
def test_a_teacher_of_other_sizes_is_refused(sizes):
    with pytest.raises(
        InputError, match=r"teacher: \d blocks of \d+, where the student has 2 of 32; give the classifier"
    ):
        distill(student(), small_bert(**sizes), ROWS, dead_zone=0, batch_size=16, steps=1)


def test_a_network_that_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="student: a network whose weights are fixed; give one that quantize made"):
        distill(restore(convert(student())), small_bert(), ROWS, dead_zone=0, steps=1)
