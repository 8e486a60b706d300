"""Ramps: when a neuron fires, and what jitter does to pulses and to answers."""

import math

import numpy as np
import pytest

from matterhorn.coding import SILENT, Code
from matterhorn.errors import InputError
from matterhorn.kernels.msu_pulses import Pulses, list_pulses
from matterhorn.msu import ArrayBank, Ramp, load_circuit, load_device, only, plain, resized
from matterhorn.msu.readout import next_slots

from .drawn import quantity


@pytest.mark.parametrize("unit", [1, 8])
def test_ramp_jitter_moves_spikes_that_are_near_a_threshold(unit):
    circuit = resized(only(load_circuit("array-128"), "jitter"), 1, 1000)
    jitter = circuit.jitter.model_copy(update={"pulse": quantity(1, "fs"), "ramp": quantity(500, "ps")})
    circuit = circuit.model_copy(update={"jitter": jitter})
    connection = ArrayBank(load_device("ideal"), circuit).program(np.ones((500, 1), np.int8), kappa_unit=unit)
    ramp = Ramp.linear(1.0 / unit, 0.25, Code.ttfs(4))
    slots = connection.fire(np.full((10, 1), 8 * unit), ramp, np.random.default_rng(0))
    beyond = 0.5 * math.erfc(1 / math.sqrt(2)) + 0.5 * math.erfc(3 / math.sqrt(2))  # thresholds 1 and 3 spreads away
    assert (slots != 7).mean() == pytest.approx(beyond, abs=0.02)


def test_jitter_is_a_time_however_steep_the_ramp():
    """A potential that is met a fifth into a slot in which the ramp falls by ten times as much as in the others."""
    circuit = resized(only(load_circuit("array-128"), "jitter"), 1, 1000)
    jitter = circuit.jitter.model_copy(update={"pulse": quantity(1e-3, "ps"), "ramp": quantity(500, "ps")})
    connection = ArrayBank(load_device("ideal"), circuit.model_copy(update={"jitter": jitter})).program(
        np.ones((500, 1), np.int8)
    )
    thresholds = np.concatenate([np.arange(-7, 1), np.arange(10, 17)])[None].astype(float)
    slots = connection.fire(np.full((10, 1), 8), Ramp(thresholds, Code.ttfs(4)), np.random.default_rng(0))
    early, late = (0.5 * math.erfc(away / 0.25 / math.sqrt(2)) for away in (0.2, 0.8))
    assert (slots == 6).mean() == pytest.approx(early, abs=0.02)
    assert (slots == 8).mean() == pytest.approx(late, abs=0.01)
    assert (slots == 7).mean() == pytest.approx(1 - early - late, abs=0.02)


@pytest.mark.parametrize("how", ["compiled", "definition"])
def test_jitter_makes_no_pulse_shorter_than_nothing(how):
    """Pulses of one step with a jitter of a step: their mean length is ∫ max(1 + z, 0) over the normal distribution."""
    kappa = np.repeat(np.array([[1, -1, 0, 5]], np.int8), 20000, axis=0)
    if how == "definition":
        lengths = plain.pulse_lengths(kappa, 1.0, np.random.default_rng(0))
    else:
        listed = Pulses.room_for(kappa, 1)
        list_pulses(kappa, 5, 4, 0, 1.0, 0.0, np.uint64(3), listed)
        lengths = np.zeros(kappa.shape)
        places = listed.bounds[:, 0, None] + np.arange(3)
        lengths[:, [0, 1, 3]] = listed.lengths[places]
    assert (lengths * kappa >= 0).all() and not lengths[:, 2].any()
    density, share = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-1 / math.sqrt(2))
    assert lengths.mean(0) == pytest.approx([share + density, -share - density, 0, 5], abs=0.03)


def test_a_leaking_integrator_droops_while_the_ramp_falls():
    ramp = Ramp.linear(1.0, 0.0, Code.ttfs(4))
    potentials = np.arange(1.0, 15.0) - 0.49
    assert next_slots(potentials, ramp, 0.0).tolist() == list(range(14, 0, -1))
    expected = [next(s for s in range(16) if s == 15 or v * math.exp(-0.02 * (s + 1)) >= 14.5 - s) for v in potentials]
    found = next_slots(potentials, ramp, 0.02).tolist()
    assert [255 if s == 15 else s for s in expected] == found
    assert found != list(range(14, 0, -1))


def test_a_ramp_must_fall():
    with pytest.raises(InputError, match="does not fall"):
        Ramp.linear(-1.0, 0.0, Code.ttfs(4))
    with pytest.raises(InputError, match="15"):
        Ramp(np.zeros((3, 7)), Code.ttfs(4))


@pytest.mark.parametrize("droop", [0.0, 0.02, 0.3])
def test_a_neuron_fires_in_the_first_slot_in_which_it_meets_the_threshold(droop):
    """Ramps that stand still for slots, looked at two hundred times a slot; what leaks may be below them again."""
    rng, code = np.random.default_rng(0), Code.ttfs(4)
    steps = np.hstack([rng.uniform(-20, 0, (300, 1)), rng.choice([0.0, 0.0, 1.0, 6.0], (300, 14))])
    ramp = Ramp(np.cumsum(steps, axis=1), code)
    charges, offset = rng.uniform(-10, 40, (8, 300)), rng.normal(0, 3, 300)
    time = np.arange(15 * 200 + 1) / 200
    corners = np.hstack([ramp.thresholds[:, -1:] + ramp.fall[:, None], ramp.thresholds[:, ::-1]])
    falling = np.stack([np.interp(time, np.arange(16), own) for own in corners])
    met = charges[..., None] * np.exp(-droop * time) + offset[:, None] >= falling
    slots = np.where(met.any(-1), np.maximum(np.ceil(time[met.argmax(-1)]) - 1, 0), SILENT)
    assert np.array_equal(next_slots(charges, ramp, droop, offset), slots)
    assert (droop > 0) == (met.any(-1) & ~met[..., -1]).any()
