"""The relative position bias: the teacher's at every distance, exact, trained, refused out of reach, billed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.models import convert, quantize
from matterhorn.msu import ArrayBank
from matterhorn.runtime import Engine, verify

from ..networks import small_teacher
from .teachers import batch_for, without_quantizers


@pytest.mark.parametrize("longest", [11, 300])
def test_the_relative_bias_is_the_teachers_at_every_distance(longest):
    teacher = small_teacher("MPNet", max_position_embeddings=400)
    teacher.mpnet.encoder.relative_attention_bias.weight.data.mul_(10)
    batch = batch_for(teacher, rows=2, longest=longest)
    assert without_quantizers(teacher, batch) < 1e-5
    assert without_quantizers(teacher, batch, relative_bias=torch.tensor(0.0)) > 1e-3, "the bias matters"


def biased(k: int = 2, strength: float = 10.0, longest: int = 11, **options):
    """A small MPNet that heeds its relative bias, and two batches, the second with two texts of ``longest`` tokens."""
    teacher = small_teacher("MPNet", max_position_embeddings=300)
    teacher.mpnet.encoder.relative_attention_bias.weight.data.mul_(strength)
    batches = [batch_for(teacher), batch_for(teacher, rows=2, longest=longest)]
    return quantize(teacher, batches=batches, dead_zone=k, **options).eval(), batches


@pytest.mark.parametrize(
    "options",
    [{"longest": 260}, {"digital": "shift", "kv_bits": 3}, {"k": 0, "activation_bits": 2}, {"strength": 1e9}],
    ids=str,
)
def test_the_relative_bias_is_exact_and_a_program_without_it_differs(options):
    network, batches = biased(**options)
    program = convert(network)
    arrays = [{key: values.numpy() for key, values in batch.items()} for batch in batches]
    report = verify(program, arrays, against=network)
    assert report.identical, report.first_difference
    chip = Engine(program, "analog", chip=ArrayBank.of("ideal", "ideal-128"))
    assert np.array_equal(chip(**arrays[0]).logits, network.expected(arrays[0]).logits)
    for name in ("blocks.0.relative_bias", "blocks.1.relative_bias"):
        for change in (lambda a: 0 * a, lambda a: a[:, ::-1], lambda a: np.roll(a, 1, 1), lambda a: a[[1, 0, 2, 3]]):
            changed = program.arrays() | {name: np.ascontiguousarray(change(program.arrays()[name]))}
            broken = type(program).from_arrays(program.config, changed, labels=program.labels)
            seen = verify(broken, arrays[:1], against=network, backends=["exact"])
            assert seen.first_difference["where"] == f"block.{name[7]}.probabilities"


def test_tokens_that_are_masked_within_a_text_keep_their_distances():
    network, batches = biased()
    batch = {key: values.numpy().copy() for key, values in batches[1].items()}
    batch["attention_mask"][:, 3:5] = 0
    assert verify(convert(network), [batch], against=network).identical
    closed_up = {key: np.delete(values, [3, 4], axis=1) for key, values in batch.items()}
    program = convert(network)
    assert not np.array_equal(Engine(program)(**batch).logits, Engine(program)(**closed_up).logits)


def test_the_relative_bias_is_whole_steps_of_the_scores_scale():
    network, _ = biased()
    steps = convert(network).arrays()["blocks.1.relative_bias"]
    block = network.layers()[1]
    scale = float((block.population("queries").scale * block.keys.scale).detach()) / 8**0.5  # heads of 8
    assert np.array_equal(steps, np.rint(block.relative_bias.detach().numpy() / np.float32(scale)))
    assert steps.shape == (4, 257) and np.abs(steps).max() > 3


def test_the_relative_bias_is_trained_and_its_rounding_is_seen():
    network, batches = biased()
    network.train()(**batches[0]).logits.square().sum().backward()
    for block in network.layers():
        grad = block.relative_bias.grad
        assert bool(grad[:, 120:137].any()) and not bool(grad[:, :100].any()), "no text was so long"
    block = network.layers()[0]
    scores, exist = torch.zeros(1, 4, 5, 5), torch.ones(1, 1, 1, 5, dtype=torch.bool)
    before = block.attention_probabilities(scores, exist)
    block.relative_bias.data.copy_(block.bias_steps * block.score_scale)
    assert torch.allclose(block.attention_probabilities(scores, exist), before), "trained as it is evaluated"


def test_a_bias_out_of_reach_is_refused():
    program = convert(biased()[0])
    arrays = program.arrays() | {"blocks.1.relative_bias": np.full((4, 257), 2**30, np.int32)}
    with pytest.raises(InputError, match=r"blocks\.1\.relative_bias: a bias of \d+ steps"):
        type(program).from_arrays(program.config, arrays, labels=program.labels)


def test_holes_in_a_mask_keep_their_distances():
    network, batches = biased()
    batch = {key: values[:1].clone() for key, values in batches[0].items()}
    batch["attention_mask"][:, 3:6] = 0
    arrays = {key: values.numpy() for key, values in batch.items()}
    report = verify(convert(network), [arrays], against=network)
    assert report.identical, report.first_difference


def test_a_bias_costs_an_addition_and_a_look_up_per_score():
    from matterhorn.energy import as_traced, lay, load, make_bill
    from matterhorn.energy.study import map_trace
    from matterhorn.topology import Shape

    network, batches = biased()
    batch = {key: values.numpy() for key, values in batches[0].items()}
    trace = Engine(convert(network), "events")(**batch, trace=True).trace
    lengths = batch["attention_mask"].sum(1)
    assert trace.digital["block.0.position_bias"].elements == 4 * (lengths**2).sum()
    assert trace.digital["block.1.position_bias"].elements == 4 * lengths.sum(), "the first token alone asks"
    chip = load("rram-22nm")
    bill = make_bill(as_traced(trace), trace, chip, map_trace(trace, chip, "msu"))
    each = chip.logic.add.si + chip.logic.lookup.si
    assert bill.by_connection["block.0.position_bias"] == pytest.approx(4 * (lengths**2).sum() * each)
    base = Shape(12, 768, 12, 3072)
    laid = lay(trace, base, 128)
    assert laid.digital["block.5.position_bias"].elements == 12 * 128**2
    assert laid.digital["head_activation"].elements == 768
    assert make_bill(as_traced(laid), laid, chip, map_trace(laid, chip, "digital")).total > bill.total
