from __future__ import annotations

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.models import from_bert
from matterhorn.models.convert import convert
from matterhorn.models.restore import restore_trainable
from matterhorn.models.widen import shifted, widen
from matterhorn.nn.linear import quantise_weights

from ..conftest import small_bert, small_network


def test_copies_of_a_one_bit_network_compute_what_it_did():
    narrow = restore_trainable(convert(small_network(k=2))).eval()
    wide, x = widen(narrow, 192).eval(), torch.randn(50, 32, generator=torch.Generator().manual_seed(0))
    assert wide.config.intermediate_size == 192
    for one, other in zip(narrow.layers(), wide.layers(), strict=True):
        assert other.feed_forward.ffn1.weight.shape == (192, 32)
        signs = quantise_weights(one.feed_forward.ffn1.weight, "1")[0]
        assert (quantise_weights(other.feed_forward.ffn1.weight, "1")[0] == signs.repeat(3, 1)).float().mean() > 0.97
        with torch.no_grad():
            expected, given = one.feed_forward(x), other.feed_forward(x)
        assert (given - expected).square().mean() < 0.1 * expected.var()


def test_the_mean_of_shifted_copies_is_the_matrix_and_their_signs_come_nearer_to_it():
    weight = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    copies = shifted(weight, 4, torch.Generator().manual_seed(0))
    assert torch.allclose(copies.mean(0), weight, atol=1e-6)
    one, (signs, scale) = copies.sign().mean(0), quantise_weights(weight, "1")
    error = [float((weight - fit * (weight * fit).sum() / fit.square().sum()).square().mean()) for fit in (one, signs)]
    assert error[0] < 0.5 * error[1] and len(scale) == 40


def test_a_wider_student_is_an_option_of_the_network():
    student = from_bert(small_bert(), intermediate_size=128)
    assert student.config.intermediate_size == 128
    assert len(student.populations()["block.0.middle"].silent) == 128
    assert not any(p.requires_grad for p in student.embeddings.parameters())


def test_other_widths_are_refused():
    with pytest.raises(InputError, match="multiple of 64"):
        from_bert(small_bert(), intermediate_size=100)
