"""Integers packed into bytes."""

from __future__ import annotations

import numpy as np
import pytest

from matterhorn.program.disk import FAR, from_disk, to_disk
from matterhorn.program.packing import pack_even, unpack_even

from ..networks import small_program


@pytest.mark.parametrize("off", range(-4, 5))
def test_thresholds_that_are_not_evenly_spaced_are_not_packed_as_such(off):
    """Two bits hold what lies from two below to one above; anything else is kept as it is."""
    rows = np.array([[0, 10, 20, 30, 40], [-8, -4, 0, 4, 8]])
    rows[1, 2] += off
    packed = pack_even(rows)
    assert (packed is not None) == (-2 <= off <= 1)
    if packed is not None:
        assert np.array_equal(unpack_even(*packed, 5), rows)


@pytest.mark.parametrize(("highest", "kind"), [(2**15 - 2, np.int16), (2**15 - 1, np.int32)])
def test_evenly_spaced_thresholds_may_be_out_of_reach_too(highest, kind):
    """Of a neuron that reaches every level always, or none: equal numbers are evenly spaced."""
    program, name = small_program(), "blocks.0.intermediate.thresholds"
    neurons, levels = program.arrays()[name].shape
    rows = np.arange(neurons, dtype=np.int32)[:, None] + 3 * np.arange(levels, dtype=np.int32)
    rows += highest - rows.max()
    rows[0], rows[1] = FAR
    stored = to_disk({**program.arrays(), name: rows}, program.config)
    assert stored[f"{name}.ends"].dtype == kind
    assert np.array_equal(from_disk(stored, program.config)[name], rows)
