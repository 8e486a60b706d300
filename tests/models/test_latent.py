"""Latent weights in 5 bits: quantized to the same, near enough to a flip to go on from."""

from __future__ import annotations

import copy
import hashlib

import pytest
import torch

from matterhorn.distill.recipe import Distilling, Frozen
from matterhorn.distill.start import find_start, start_student
from matterhorn.errors import InputError
from matterhorn.models import convert
from matterhorn.models.latent import BITS, LATENTS_FILE, load_latents, save_latents
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
    save_latents(network, tmp_path / LATENTS_FILE)
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
    save_latents(network, tmp_path / "mine" / LATENTS_FILE)
    sha = hashlib.sha256((tmp_path / "mine" / LATENTS_FILE).read_bytes()).hexdigest()
    start = find_start(tmp_path / "run", Frozen(file=str(tmp_path / "mine" / LATENTS_FILE), sha256=sha), 1)
    phase = Distilling(dead_zone=1, learning_rate=1e-3)
    student, _ = start_student(phase, start.network, ROWS, small_bert(), {}, 1, latents=start.latents)
    for site, linear in network.connections().items():
        assert torch.equal(linear.integers()[0], student.connections()[site].integers()[0])
        error = (linear.weight - student.connections()[site].weight).norm() / linear.weight.norm()
        assert float(error.detach()) < 0.16


def test_latents_of_others_are_refused(tmp_path):
    save_latents(drawn("int1"), tmp_path / LATENTS_FILE)
    other = small_network(weights="int1", kv_bits=1)
    other.connections()
    with pytest.raises(InputError, match=r"int4 weights; latents are kept of int1 and ternary"):
        save_latents(small_network(weights="int4"), tmp_path / "x")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError):
        load_latents(other, tmp_path / "none" / LATENTS_FILE)
