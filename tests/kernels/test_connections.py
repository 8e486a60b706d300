"""Connections: events through packed weights, the closed form and slot by slot give the same integers."""

from __future__ import annotations

import numpy as np
import pytest

from matterhorn.coding import SILENT, Code, encode, kappa
from matterhorn.program.packing import bit_planes
from matterhorn.runtime.events import EventsBackend
from matterhorn.runtime.exact import ExactBackend
from matterhorn.runtime.stepped import SteppedBackend

from .arrays import WEIGHTS, array, code_and_slots, connection, made, population

BACKENDS = (SteppedBackend(), ExactBackend(), EventsBackend())


def potentials(backend, slots, own, code):
    return backend.integrate(slots, array(own), population(code, slots.shape[1]))[:, : len(own.bias)]


def by_hand(slots, own, code):
    return kappa(slots, code).astype(np.int64) @ own.weights.T.astype(np.int64) + own.offset


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(1, 1), (31, 65), (32, 64), (100, 200), (384, 448), (1536, 100)])
def test_potentials_are_the_sums_they_should_be(backend, kind, fan_in, fan_out):
    own = connection(kind, fan_in, fan_out)
    code, slots = code_and_slots(4, 1, 5, fan_in)
    assert np.array_equal(potentials(backend, slots, own, code), by_hand(slots, own, code))


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize(
    ("bits", "k", "mean"), [(1, 0, False), (2, 1, False), (4, 3, True), (4, 7, False), (5, 2, True), (6, 9, False)]
)
def test_any_code(backend, bits, k, mean):
    own = connection("int1", 300, 70)
    code, slots = code_and_slots(bits, k, 7, 300, mean=mean)
    assert np.array_equal(potentials(backend, slots, own, code), by_hand(slots, own, code))


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("bits", [2, 4, 5, 6])
def test_silence_that_is_read_outside_the_levels(backend, bits):
    own, top = connection("int1", 130, 70), 2**bits - 1
    k, draw = top // 2, np.random.Generator(np.random.PCG64(bits))
    silent = draw.integers(0, top + 1, 130).astype(np.int16)
    code = Code(bits, silent, k, 8 * silent + draw.choice([-1, 1], 130) * (8 * k + 7))
    slots = encode(draw.integers(0, top + 1, (9, 130)).astype(np.uint8), code)
    assert np.array_equal(potentials(backend, slots, own, code), by_hand(slots, own, code))


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_do_not_overflow_at_the_worst(backend, sign):
    """Every neuron spikes with the largest κ against weights that all pull one way."""
    own = made(np.full((64, 5000), sign))
    slots = np.zeros((1, 5000), np.uint8)
    assert (potentials(backend, slots, own, Code(6, np.int16(0))) == sign * 5000 * 63).all()


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
def test_silence_leaves_the_offset_and_one_spike_adds_its_row(backend):
    own, code = connection("int1", 64, 64), Code(4, np.int16(8))
    slots = np.full((3, 64), SILENT, np.uint8)
    assert (potentials(backend, slots, own, code) == own.offset).all()
    slots[2, 5] = 0  # the first slot: seven levels above silence
    got = potentials(backend, slots, own, code)
    assert (got[:2] == own.offset).all() and (got[2] == own.offset + 7 * own.weights[:, 5]).all()


def test_a_stepped_window_spends_time_on_every_slot():
    """The reference really goes slot by slot: a spike moved by one slot moves the potential by one weight."""
    own, code = connection("int1", 32, 40), Code(4, np.int16(8))
    slots = np.full((1, 32), SILENT, np.uint8)
    slots[0, 4] = 3
    early = potentials(SteppedBackend(), slots, own, code)
    slots[0, 4] = 4
    late = potentials(SteppedBackend(), slots, own, code)
    assert np.array_equal((early - late)[0], own.weights[:, 4])


@pytest.mark.parametrize("backend", [ExactBackend(), EventsBackend()], ids=lambda b: b.name)
@pytest.mark.parametrize(("where", "slot"), [(slice(40, 41), 16), (slice(None), 254)])
def test_a_slot_outside_the_window_raises(backend, where, slot):
    slots = np.full((1, 64), SILENT, np.uint8)
    slots[0, where] = slot
    with pytest.raises(ValueError, match="outside its window of 16"):
        potentials(backend, slots, connection("int1", 64, 64), Code(4, np.int16(8)))


@pytest.mark.parametrize(("kind", "planes"), [("int1", 1), ("ternary", 2), ("int2", 2), ("int4", 4)])
def test_planes_hold_the_weights(kind, planes):
    own = connection(kind, 50, 70)
    packed = bit_planes(own.weights, own.offset)
    bits = packed.choices[..., None] >> np.arange(4) & 1  # [planes, words, groups, 64, 4]
    bits = bits.transpose(0, 2, 4, 1, 3).reshape(planes, -1, 128)[:, :50, :70].astype(int)
    assert len(packed.choices) == planes
    assert np.array_equal((packed.floor + (bits * packed.factors[:, None, None]).sum(0)).T, own.weights)
    assert np.array_equal(packed.offset[:70], own.offset) and not packed.offset[70:].any()
