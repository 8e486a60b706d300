"""Arguments that are taken apart once: a kernel finds what was bound."""

import copy
from typing import NamedTuple

import numpy as np
import pytest

from matterhorn.kernels.bound import Bound, opened
from matterhorn.kernels.compile import kernel


class Inner(NamedTuple):
    table: np.ndarray
    factor: float
    narrow: np.float32
    absent: None


class Outer(NamedTuple):
    yes: bool
    inner: Inner
    count: int
    out: np.ndarray


@kernel
def spread(bound):
    """Writes what is bound into its own ``out``."""
    own = opened(bound)
    table, place = own.inner.table, 0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            own.out[place] = table[i, j]
            place += 1
    own.out[place] = own.inner.factor
    own.out[place + 1] = own.inner.narrow
    own.out[place + 2] = own.count
    own.out[place + 3] = 1 if own.yes else 0
    return own.inner.absent is None


def outer(table, yes=True):
    return Outer(yes, Inner(table, -0.1, np.float32(0.3), None), -7, np.zeros(table.size + 4))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.float32])
def test_a_kernel_finds_arrays_and_numbers(kind):
    table = np.arange(6, dtype=kind).reshape(2, 3)
    for yes in (True, False):
        value = outer(table, yes)
        assert spread(Bound(value))
        assert value.out.tolist() == [0, 1, 2, 3, 4, 5, -0.1, float(np.float32(0.3)), -7, yes]


def test_a_copy_has_addresses_of_its_own():
    bound = Bound(outer(np.ones((1, 2), np.int8)))
    copied = copy.deepcopy(bound)
    assert spread(copied)
    assert copied.value.out[:2].tolist() == [1, 1]
    assert not bound.value.out.any()


def test_arrays_must_be_contiguous():
    with pytest.raises(ValueError, match="not contiguous"):
        Bound((np.zeros((4, 4))[:, :2],))
