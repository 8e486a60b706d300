"""What a student starts from: a program, an encoder of no task, a network with another dead zone."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import ElectraConfig, ElectraForSequenceClassification

from matterhorn.distill.measure import ask, on_device
from matterhorn.distill.recipe import Distilling, Frozen
from matterhorn.distill.run import loss_of
from matterhorn.distill.start import Start, check_fits, find_start
from matterhorn.distill.student import mixture, start_student, take_over
from matterhorn.errors import InputError
from matterhorn.models import QuantizedForSequenceClassification, convert, quantize
from matterhorn.models.general import write_general
from matterhorn.tasks.tokens import Tokens
from matterhorn.topology import POPULATION

from ..networks import small_bert

PHASE = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 10}
ROWS = Tokens([[2, 5 + i, 9, 3] for i in range(32)], [[0] * 4] * 32, [0.0] * 32)


def pin(file: Path) -> Frozen:
    return Frozen(file=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_a_silent_network_gets_its_scales_anew_without_a_dead_zone_and_keeps_them_with_it(tmp_path):
    teacher = small_bert()
    silent = quantize(teacher, dead_zone=2, batches=[ROWS.batch(list(range(32)))])
    with torch.no_grad():
        for population in silent.populations().values():
            population.scale.fill_(1e-4)
            population.silent_value.add_(2 * 8)
    silent.save_pretrained(tmp_path)

    def scales(k: int) -> list[float]:
        student, _ = start_student(Distilling(dead_zone=k, **PHASE), tmp_path, ROWS, teacher, {}, 1)
        return [float(population.scale.detach().max()) for population in student.populations().values()]

    assert max(scales(2)) < 2e-4 and min(scales(0)) > 1e-3


@pytest.fixture
def program(tmp_path):
    network = quantize(small_bert(), dead_zone=2, batches=[ROWS.batch(list(range(32)))])
    convert(network).save(tmp_path / "program")
    return network, tmp_path / "program"


def test_weights_of_a_program_can_flip_and_are_quantized_to_the_same(program):
    network, folder = program
    file = folder / "model.safetensors"
    pinned = Frozen(file=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    start = find_start(folder.with_name("run"), pinned, 2)
    phase = Distilling(dead_zone=2, **PHASE)
    student, _ = start_student(phase, start.network, ROWS, small_bert(), {}, 1, head=False)
    before, after = (one.layers()[0].connection("ffn1") for one in (network, student))
    assert torch.equal(before.integers()[0], after.integers()[0])
    assert (after.weight.abs() < 0.25 * after.integers()[1][:, None]).float().mean() > 0.1
    assert start.teacher is None and student(**on_device(ROWS.encoded([0, 1]), "cpu")).logits.isfinite().all()


def test_a_program_that_is_not_the_one_pinned_is_refused(program):
    file = program[1] / "model.safetensors"
    with pytest.raises(InputError, match="start: not the file that was pinned"):
        find_start(file.parent, Frozen(file=str(file), sha256="0" * 64), 2)


def test_densities_do_not_undo_silence_that_was_trained(tmp_path):
    """Where the dead zone stays, no scale jumps: they are asked to go to the densities step by step."""
    teacher = small_bert()
    quantize(teacher, dead_zone=2, batches=[ROWS.batch(list(range(32)))]).save_pretrained(tmp_path)
    shares = {"input": 0.2, "queries": 0.1, "probabilities": 0.1, "context": 0.1, "hidden": 0.05, "intermediate": 0.05}
    phase = Distilling(dead_zone=2, silent_share=0.9, densities=shares, **PHASE)
    before = QuantizedForSequenceClassification.from_pretrained(tmp_path)
    student, planned = start_student(phase, tmp_path, ROWS, teacher, {}, 1)
    for site, population in student.populations().items():
        assert torch.equal(population.scale, before.populations()[site].scale)
    loss = loss_of(planned, student, partial(ask, teacher), ROWS, 1)
    assert loss.silence is not None
    asked = {name: 1 - target for name, target in loss.silence.targets.items()}
    assert {name: share / asked["queries"] for name, share in asked.items()} == pytest.approx(
        {name: share / shares["queries"] for name, share in shares.items()}
    )


@pytest.mark.parametrize("densities", [{}, dict.fromkeys(POPULATION, 0.1)])
def test_populations_whose_dead_zone_alone_changes_are_settled_anew(tmp_path, densities):
    """A start with k = 2 everywhere, and a student with k = 1 in its probabilities; all silent levels are unlikely."""
    teacher = small_bert()
    start = quantize(teacher, dead_zone=2, batches=[ROWS.batch(list(range(32)))])
    with torch.no_grad():
        for population in start.populations().values():
            population.silent.fill_(12)
            population.silent_value.fill_(12 * 8)
    start.save_pretrained(tmp_path)
    phase = Distilling(dead_zone=2, silent_share=0.9, densities=densities, **PHASE)
    student, _ = start_student(phase, tmp_path, ROWS, teacher, {"dead_zones": {"probabilities": 1}}, 1)
    for site, population in student.populations().items():
        is_new = site.part == "probabilities"
        assert population.dead_zone == (1 if is_new else 2)
        assert bool((population.silent == 12).all()) == (not is_new), site
        same = torch.equal(population.scale, start.populations()[site].scale)
        assert same == (not (is_new and densities)), site


@pytest.fixture
def encoder(tmp_path):
    """Of two-bit keys and values, that learned to compare; and the network that it has the blocks of."""
    network = quantize(small_bert(1, seed=3), dead_zone=2, kv_bits=2, batches=[ROWS.batch(list(range(32)))])
    write_general(network, small_bert(), tmp_path / "mine", {"compares": True})
    return network, tmp_path / "mine" / "encoder.npz"


@pytest.mark.parametrize("weights", ["int1", "ternary", "int2", "int4"])
def test_a_student_of_any_width_starts_from_an_encoder(encoder, weights):
    """Of its own width it has the very weights, of another what these round to there; of both levels and pooler."""
    network, file = encoder
    start = find_start(file.parent.with_name("run"), pin(file), 2)
    options = {"weights": weights, "kv_bits": 2}
    student, _ = start_student(Distilling(dead_zone=2, **PHASE), start.network, ROWS, small_bert(), options, 1)
    for site, own in student.connections().items():
        (found, _), (given, _) = own.integers(), network.connections()[site].integers()
        assert (found * given >= 0).float().mean() > 0.95 and (weights != "int1" or torch.equal(found, given))
        assert (found != 0).float().mean() > 0.3
    assert torch.equal(student.pooler.weight, network.pooler.weight)
    for site, population in student.populations().items():
        assert torch.equal(population.silent, network.populations()[site].silent) and population.dead_zone == 2
    assert student(**on_device(ROWS.encoded([0, 1]), "cpu")).logits.isfinite().all()
    assert start.teacher is None and start.task is None


def test_an_encoder_that_does_not_fit_is_refused_before_any_work(encoder):
    """Of another backbone, or of levels of other widths; a name that no encoder has is no file."""
    start = find_start(encoder[1].parent, pin(encoder[1]), 2)
    check_fits(start, small_bert(3), {"kv_bits": 2, "weights": "ternary"})
    with pytest.raises(InputError, match="start: mine is not of the backbone; give an encoder"):
        check_fits(start, small_bert(seed=1), {"kv_bits": 2})
    with pytest.raises(InputError, match=r"network\.kv_bits: 1, where mine has 2; give 2, or another start"):
        check_fits(start, small_bert(), {})
    for field, value in (("silence_per", "tensor"), ("levels_per", "neuron"), ("activation", "gelu")):
        with pytest.raises(InputError, match=rf"network\.{field}: {value}, where mine has"):
            check_fits(start, small_bert(), {"kv_bits": 2, field: value})
    with pytest.raises(InputError, match=r"none/encoder\.npz: start: not the file that was pinned"):
        find_start(encoder[1].parent, Frozen(file="none/encoder.npz", sha256="0" * 64), 2)


@pytest.mark.parametrize("head", [True, False])
def test_a_head_that_is_taken_over_keeps_its_activation(program, tmp_path, head):
    program[0].config.head_activation = "hardtanh"
    program[0].save_pretrained(tmp_path / "before")
    student, _ = start_student(
        Distilling(dead_zone=2, **PHASE), tmp_path / "before", ROWS, small_bert(), {}, 1, head=head
    )
    assert student.config.head_activation == ("hardtanh" if head else "tanh")


def test_a_program_that_computes_all_tokens_is_a_start_too(program):
    """As `embed-mini`; the student reads its first token only, as classifiers do."""
    network = program[0]
    whole = convert(network, every_token=True)
    student, _ = start_student(Distilling(dead_zone=2, **PHASE), whole, ROWS, small_bert(), {}, 1, head=False)
    assert student.config.formats.first_only
    for own, theirs in zip(student.connections().values(), network.connections().values(), strict=True):
        assert torch.equal(own.integers()[0], theirs.integers()[0])


def test_a_start_of_other_sizes_is_refused(program, tmp_path):
    other = quantize(small_bert(vocabulary=60), batches=[ROWS.batch(list(range(32)))])
    other.config.intermediate_size = 128
    wide = type(other)(other.config)
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(InputError, match="other sizes"):
        start_student(Distilling(**PHASE), tmp_path / "wide", ROWS, small_bert(), {}, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("silence_per", "tensor"),
        ("levels_per", "neuron"),
        ("activation_bits", 3),
        ("kv_bits", 2),
        ("activation", "gelu"),
    ],
)
def test_a_start_whose_levels_are_of_another_format_is_refused(tmp_path, field, value):
    teacher = small_bert()
    quantize(teacher).save_pretrained(tmp_path / "start")
    with pytest.raises(InputError, match=rf"network\.{field}: {value}, where the start has"):
        check_fits(Start(tmp_path / "start", None, None), teacher, {field: value})


def test_what_lies_between_embeddings_and_blocks_is_taken_over():
    config = ElectraConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    teacher = ElectraForSequenceClassification(config)
    source, student = quantize(teacher), quantize(teacher)
    with torch.no_grad():
        source.projection.weight.add_(1)
    take_over(student, source, head=False)
    assert torch.equal(student.projection.weight, source.projection.weight)


@pytest.mark.parametrize(("length", "rows"), [(8, 192), (256, 192), (512, 48), (8192, 1)])
def test_densities_are_counted_on_fewer_rows_if_they_are_long(length, rows):
    """Of 192 rows of 512 tokens, each copy of the scores of twelve heads would take 2.4 GB."""
    learn = Tokens([[2] * length] * 200, [[0] * length] * 200, [])
    assert mixture(learn, 1)["input_ids"].shape == (rows, length)
