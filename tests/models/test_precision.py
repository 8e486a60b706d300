"""Quantizers off, one by one."""

from __future__ import annotations

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.models import convert, full_precision, quantize, restore
from matterhorn.models.watching import taken_by
from matterhorn.topology import Site

from ..networks import small_teacher
from .teachers import batch_for


def test_sites_are_switched_off_one_by_one_and_on_again():
    teacher = small_teacher("MPNet")
    batch = batch_for(teacher)
    network = quantize(teacher, batches=[batch]).eval()
    sites = [*network.populations(), *network.connections(), *network.stores()]
    quantized = network(**batch).logits
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    for site in sites:
        with full_precision(network, [site]):
            assert not torch.equal(network(**batch).logits, quantized), site
    with full_precision(network, []):
        assert torch.equal(network(**batch).logits, quantized)
    with full_precision(network, sites):
        most = network(**batch).logits
        with full_precision(network, sites[:3]):
            assert torch.equal(network(**batch).logits, most)
        assert torch.equal(network(**batch).logits, most)
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    assert torch.equal(network(**batch).logits, quantized)
    taught = teacher(**taken_by(teacher, batch)).logits
    assert (most - taught).abs().max() < 0.3 * (quantized - taught).abs().max()
    with pytest.raises(InputError, match=r"block\.7\.input: no such site"), full_precision(network, [Site(7, "input")]):
        pass
    with pytest.raises(InputError, match="weights that are fixed"), full_precision(restore(convert(network))):
        pass


@pytest.mark.parametrize("own", ["relu", "gelu"])
@pytest.mark.parametrize("taught", ["relu", "gelu", "silu"])
def test_without_quantizers_the_activation_is_the_teachers(own, taught):
    teacher = small_teacher("Bert", hidden_act=taught)
    batch = batch_for(teacher)
    network = quantize(teacher, activation=own, levels_per="neuron", batches=[batch])
    with full_precision(network, teacher=teacher):
        assert torch.allclose(network(**batch).logits, teacher(**batch).logits, atol=1e-5)
