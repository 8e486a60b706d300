"""The definition of reads: the physics of arrays and neurons, step by step in float64. Slow but obvious.

A row stores its spike and applies ±V_read for |κ| steps. All pulses of a window end together, and the integrators are
read at that time. With plain first spikes (m = 0), a row thus rises at its spike and falls at the end of the window.

The compiled reads in :mod:`.events` model the same physics, faster. Tests compare the two. Only the reads here cover
sums beyond float32, floating rows and nonlinear cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .circuit import Conditions
from .mapping import place_values, to_tiles, unit_conductance
from .nodal import Surroundings, pattern_currents
from .physics import Physics
from .readout import counted

Real = NDArray[np.float64]

TOGETHER = 2048
"""Rows of a batch that pass through the arrays at a time, to bound memory."""


def integrate(
    physics: Physics, conditions: Conditions, kappa: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Compute potentials after read-out, summed over arrays and digits.

    Args:
        kappa: ``[n, fan_in]``, in the order of the rows.

    Returns:
        ``[n, fan_out]``.
    """
    place, offset = place_values(physics.layout)[:, None, None], offsets(physics, conditions)[:, :, None]
    answers = []
    for start in range(0, max(len(kappa), 1), TOGETHER):
        read = charges(physics, conditions, kappa[start : start + TOGETHER], rng)
        beside = offset + conditions.late * rng.standard_normal(read.shape) if conditions.late else offset
        read = counted(read, beside, conditions) * conditions.per_count if conditions.per_count else read + beside
        answers.append((read.sum(1) * place).sum(0))
    return np.concatenate(answers)


def charges(physics: Physics, conditions: Conditions, kappa: NDArray[np.integer], rng: np.random.Generator) -> Real:
    """Compute the potentials on all integrators, with read noise: ``[n, fan_in] → [slices, tiles, n, fan_out]``."""
    lengths = to_tiles(pulse_lengths(kappa, conditions.pulse_jitter, rng), physics.layout)
    total = _driven(physics, conditions, lengths)
    if physics.variance is None:
        return total
    variance = remembered(lengths, conditions.leak_rate) ** 2 @ physics.variance.astype(np.float64)
    return total + np.sqrt(variance) * rng.standard_normal(total.shape)


def offsets(physics: Physics, conditions: Conditions) -> Real:
    """Offsets of the comparators as potentials, ``[slices, tiles, fan_out]``."""
    return physics.neurons.offset * conditions.potential_per_volt


def pulse_lengths(kappa: NDArray[np.integer], spread: float, rng: np.random.Generator) -> Real:
    """Draw the signed lengths of pulses in steps of κ, with a jitter of ``spread`` steps. ``[...] → [...]``.

    Rows without a pulse get none. A pulse that would end before it begins has length 0.
    """
    lengths = kappa.astype(np.float64)
    if not spread:
        return lengths
    return np.sign(lengths) * np.maximum(np.abs(lengths) + spread * rng.standard_normal(lengths.shape), 0)


def remembered(lengths: Real, rate: float) -> Real:
    """Return what leakage leaves of a pulse's length l: ∫_0^|l| e^(−rate·s) ds = (1 − e^(−rate·|l|)) / rate, signed.

    Pulses end when they are read. ``rate`` is step of κ over leak time constant; 0 for no leak.
    """
    return np.copysign(-np.expm1(-rate * np.abs(lengths)) / rate, lengths) if rate else lengths


def _driven(physics: Physics, conditions: Conditions, lengths: Real) -> Real:
    """Compute the potentials on all integrators, without noise: ``[tiles, n, rows] → [slices, tiles, n, fan_out]``."""
    rate, rail = conditions.leak_rate, conditions.rail
    if physics.needs_patterns:
        return _by_patterns(physics, rate, rail, lengths)
    effective = physics.effective.astype(np.float64)
    if physics.circuit.saturation is None:
        return remembered(lengths, rate) @ effective
    out = np.empty((len(effective), *lengths.shape[:2], effective.shape[-1]))
    for s, tile, token in np.ndindex(out.shape[:3]):
        out[s, tile, token] = walk(lengths[tile, token], effective[s, tile].T.dot, rate, rail)
    return out


def _by_patterns(physics: Physics, rate: float, rail: float, lengths: Real) -> Real:
    """Do the same by solving the network of the array for each pattern of driven rows (:mod:`.nodal`)."""
    layout, circuit, device = physics.layout, physics.circuit, physics.device
    assert circuit.wires is not None
    around = Surroundings(circuit.wires, circuit.read_voltage.si, device.steepness)
    unit = unit_conductance(layout, device) * circuit.read_voltage.si
    out = np.empty((layout.slices, *lengths.shape[:2], layout.banks * layout.pairs))
    gain = np.ones((layout.slices, layout.tiles, layout.banks * layout.pairs))
    gain[..., : layout.fan_out] = physics.neurons.gain
    for s, tile, bank in np.ndindex(layout.slices, layout.tiles, layout.banks):
        own = slice(bank * layout.pairs, (bank + 1) * layout.pairs)
        current = pattern_currents(physics.conductances[s, tile, bank], around, unit / gain[s, tile, own])
        for token, pulses in enumerate(lengths[tile]):
            out[s, tile, token, own] = walk(pulses, current, rate, rail)
    return out[..., : layout.fan_out]


def walk(lengths: Real, current: Callable[[Real], Real], rate: float, rail: float) -> Real:
    """Compute the potentials of an array's neurons, which stop at ± ``rail`` until charge of the other sign comes.

    Between two edges of pulses the drive is constant, so a potential moves in one direction.

    Args:
        lengths: signed pulses of one token, ``[rows]``, which end together.
        current: from a drive of −1, 0 or 1 ``[rows]`` to what it adds in one step of κ ``[neurons]``.
        rate: step of κ over leak time constant; 0 for no leak.

    Returns:
        ``[neurons]``, or a single 0 if there is no pulse.
    """
    size = np.abs(lengths)
    edges = np.unique(np.concatenate([[0.0], size]))[::-1]
    potential: Real = np.zeros(())
    for longer, shorter in pairwise(edges):
        lasting = float(longer - shorter)
        brought = -math.expm1(-rate * lasting) / rate if rate else lasting
        arriving = brought * current(np.sign(lengths) * (size >= longer))
        potential = np.clip(potential * math.exp(-rate * lasting) + arriving, -rail, rail)
    return potential
