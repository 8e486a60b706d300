"""Students that have some of their teacher's blocks: what they are made of, learn, start from and convert to."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import yaml
from torch import nn

from matterhorn import verify
from matterhorn.distill.loss import Distillation
from matterhorn.distill.measure import ask, hidden_error, states_at
from matterhorn.distill.recipe import Distilling, load_recipe
from matterhorn.distill.run import train
from matterhorn.distill.student import start_student
from matterhorn.errors import InputError
from matterhorn.models import calibrate, convert, full_precision, quantize
from matterhorn.models.encoders import ENCODERS, encoder_of
from matterhorn.models.equalize import channel_moments
from matterhorn.models.general import read_general, write_general
from matterhorn.models.quantized import read_network
from matterhorn.models.watching import taken_by
from matterhorn.tasks.tokens import Tokens
from matterhorn.topology import Site

from ..models.teachers import batch_for
from ..networks import small_arrays, small_batch, small_bert, small_teacher
from ..tiny import PHASE, WORDS, lay_apart, lay_out, lay_tokenizer, recipe

KEPT = [0, 2, 3]
ROWS = Tokens([[2, 7 + i % 9, 20 + i % 5, 3] for i in range(64)], [[0] * 4] * 64, [0] * 64)


def deep(seed: int = 0, **options):
    """A teacher of four blocks."""
    return small_bert(seed=seed, num_hidden_layers=4, **options)


@pytest.mark.parametrize("name", ENCODERS)
def test_without_quantizers_it_is_the_teacher_without_the_others(name):
    teacher = small_teacher(name.removesuffix("ForSequenceClassification"))
    batch = batch_for(teacher)
    network = quantize(teacher, blocks=[1], batches=[batch]).eval()
    holder, _, layers = encoder_of(teacher).layers.rpartition(".")
    setattr(teacher.get_submodule(holder), layers, nn.ModuleList([teacher.get_submodule(f"{holder}.{layers}.1")]))
    with torch.no_grad(), full_precision(network, teacher=teacher):
        taught = teacher(**taken_by(teacher, batch)).logits
        assert (network(**batch).logits - taught).abs().max() < 1e-4
    assert network.config.num_hidden_layers == 1 and network.config.teacher_blocks == [1]


@pytest.mark.parametrize("blocks", [[], [1, 0], [0, 0], [-1, 2], [0, 4], "02", [False, 2]])
def test_blocks_that_a_teacher_has_not_are_refused(blocks):
    with pytest.raises(InputError, match=r"blocks: .* of 4 blocks; give ascending numbers from 0 to 3"):
        quantize(deep(), blocks=blocks)


def test_all_blocks_are_no_fewer():
    """A network that has them all must not count as one with fewer, in no result."""
    with pytest.raises(InputError, match="blocks: all 4 blocks; leave it out"):
        quantize(deep(), blocks=range(4))


def test_it_is_matched_measured_and_verified_on_its_own_blocks(tmp_path):
    teacher, batch = deep(), small_batch()
    whole, own = channel_moments(teacher, batch), channel_moments(teacher, batch, KEPT)
    assert all(torch.equal(own[Site(i, "key")][0], whole[Site(KEPT[i], "key")][0]) for i in range(3)) and len(own) == 6
    matched = quantize(teacher, weights="int4", kv_bits=4, blocks=KEPT)
    calibrate(matched, [batch], teacher=teacher)
    matched.save_pretrained(tmp_path)
    again = read_network(tmp_path)
    assert again.config.teacher_blocks == KEPT and len(again.blocks) == 3
    for network in (matched, again):
        assert verify(convert(network), [small_arrays()], against=network).identical


def test_each_state_follows_the_one_behind_the_same_block():
    teacher, batch = deep(), small_batch()
    student = quantize(teacher, blocks=KEPT, batches=[batch]).train()
    _, figures = Distillation(student, partial(ask, teacher))(student, batch)
    with torch.no_grad():
        own = student(**batch, output_hidden_states=True).hidden_states[1:]
    taught = ask(teacher, batch)[1]
    wanted = hidden_error(own, [taught[0], taught[2], taught[3]], batch["attention_mask"])
    assert figures["hidden"] == pytest.approx(float(wanted), rel=1e-5)
    assert states_at(taught, None) is taught
    with pytest.raises(InputError, match=r"teacher: 2 blocks, where the student has blocks \[0, 2, 3\] of its own"):
        Distillation(student, partial(ask, small_bert()))(student, batch)


@pytest.mark.parametrize("kind", ["network", "encoder", "program"])
def test_it_takes_over_its_blocks_of_a_whole_start_and_all_of_one_like_itself(kind, tmp_path):
    teacher, phase = deep(), Distilling(dead_zone=2, **PHASE)
    given = quantize(deep(seed=5), dead_zone=2, batches=[ROWS.encoded(list(range(32)))])
    if kind == "network":
        given.save_pretrained(tmp_path / "start")
        source = tmp_path / "start"
    elif kind == "encoder":
        write_general(given, teacher, tmp_path / "start", {})
        source = read_general(tmp_path / "start")
    else:
        source = convert(given)
    student, _ = start_student(phase, source, ROWS, teacher, {"blocks": KEPT}, 1, head=False)
    same_blocks(student, given, KEPT)
    student.save_pretrained(tmp_path / "own")
    second, _ = start_student(phase, tmp_path / "own", ROWS, teacher, {"blocks": KEPT}, 1)
    same_blocks(second, student, [0, 1, 2])
    third, _ = start_student(phase, convert(student), ROWS, teacher, {"blocks": KEPT}, 1)
    same_blocks(third, student, [0, 1, 2])
    fewer, _ = start_student(phase, tmp_path / "own", ROWS, teacher, {"blocks": [0, 3]}, 1)
    same_blocks(fewer, student, [0, 2])
    with pytest.raises(InputError, match=r"start: a network of other sizes \(4 blocks, not 2\)"):
        start_student(phase, convert(given), ROWS, small_bert(), {}, 1)
    for blocks in ([0, 1], None):
        with pytest.raises(InputError, match=r"start: a network with blocks \[0, 2, 3\] of its teacher's, not \[0, 1"):
            start_student(phase, tmp_path / "own", ROWS, teacher, {"blocks": blocks}, 1)


def same_blocks(student, given, places):
    for site, own in student.connections().items():
        theirs = given.connections()[Site(places[site.block], site.part)]
        assert torch.equal(own.integers()[0], theirs.integers()[0]), site
    for site, own in student.populations().items():
        assert torch.equal(own.silent, given.populations()[Site(places[site.block], site.part)].silent), site


@pytest.mark.parametrize(("tokens", "most"), [(None, 10), (64, 8)])
@pytest.mark.parametrize("is_general", [False, True])
def test_rows_longer_than_a_backbone_reads_are_refused_before_any_work(tmp_path, is_general, tokens, most):
    """Padded rows too: batches of so many tokens are as long as one of few lengths."""
    sized = {"tokens": tokens} if tokens else {}
    alone = {"task": None, "teacher": None, "texts": ["rte"]} if is_general else {}
    phase = PHASE | sized | ({"logit_weight": 0} if is_general else {})
    path = lay_out(tmp_path, phases=[phase], **alone)
    lay_apart(tmp_path / "glue", ["rte"])
    small_bert(vocabulary=len(WORDS), max_position_embeddings=10).save_pretrained(tmp_path / "backbone")
    with pytest.raises(InputError, match=rf"max_length: a row of \d+ tokens, where at most {most} can be read"):
        train(load_recipe(path), tmp_path / "run", tmp_path / "glue")


def test_a_recipe_trains_one_and_refuses_what_its_teacher_has_not_before_any_work(tmp_path):
    few = PHASE | {"steps": 4, "evaluate_every": 2}
    short = {"teacher": PHASE | {"steps": 15}, "phases": [few, few | {"dead_zone": 1, "silent_share": 0.7}]}
    path = lay_out(tmp_path, network={"blocks": [0, 2]}, **short)
    deep(vocabulary=len(WORDS)).save_pretrained(tmp_path / "backbone")
    lay_tokenizer(tmp_path / "backbone")
    best = train(load_recipe(path), tmp_path / "run", tmp_path / "glue")
    assert read_network(best).config.teacher_blocks == [0, 2]
    plain = recipe(tmp_path, network={"blocks": [0, 4]}, **short)
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(InputError, match=r"blocks: \[0, 4\] of 4 blocks"):
        train(load_recipe(path), tmp_path / "other", tmp_path / "glue")
    assert not (tmp_path / "other" / "teacher").exists()
    second = recipe(tmp_path, network={"blocks": [0, 1]}, start="run", **short)
    path.write_text(yaml.safe_dump(second))
    with pytest.raises(InputError, match=r"start: a network with blocks \[0, 2\] of its teacher's, not \[0, 1\]"):
        train(load_recipe(path), tmp_path / "third", tmp_path / "glue")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"network": {"blocks": 3}}, "network: blocks: 3; give a list of block numbers"),
        ({"network": {"blocks": [0, True]}}, "network: blocks: .* give a list of block numbers"),
        ({"network": {"block": [0]}}, "did you mean blocks"),
        (
            {"task": None, "teacher": None, "texts": ["wnli"], "network": {"blocks": [0]}},
            "has all blocks; leave it out",
        ),
    ],
)
def test_a_recipe_with_other_blocks_is_refused(tmp_path, change, problem):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe(tmp_path, **change)))
    with pytest.raises(InputError, match=problem):
        load_recipe(path)
