"""Integers packed into bytes."""

from __future__ import annotations

import numpy as np
import pytest

from matterhorn.program.packing import pack_even, unpack_even


@pytest.mark.parametrize("off", range(-4, 5))
def test_thresholds_that_are_not_evenly_spaced_are_not_packed_as_such(off):
    """Two bits hold what lies from two below to one above; anything else is kept as it is."""
    rows = np.array([[0, 10, 20, 30, 40], [-8, -4, 0, 4, 8]])
    rows[1, 2] += off
    packed = pack_even(rows)
    assert (packed is not None) == (-2 <= off <= 1)
    if packed is not None:
        assert np.array_equal(unpack_even(*packed, 5), rows)
