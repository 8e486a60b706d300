"""Weights, pulses and numbers that the tests of this room draw."""

import numpy as np

from matterhorn.units import Quantity


def quantity(value, unit):
    return Quantity(value=value, unit=unit, source="a test")


def integers(*shape, top, seed=0):
    """−top … top."""
    return np.random.default_rng(seed).integers(-top, top + 1, shape)


def signed(*shape, top=1, seed=0):
    """As weights, int8, none of them 0."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * rng.integers(1, top + 1, shape)).astype(np.int8)


def pulses(count, rows, share=0.2, seed=1):
    """κ of 4-bit levels, int8, as many as ``share`` of them not silent."""
    rng = np.random.default_rng(seed)
    kappa = rng.integers(-15, 16, (count, rows)).astype(np.int8)
    return np.where(rng.random((count, rows)) < share, kappa, np.int8(0))
