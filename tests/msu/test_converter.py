"""Converters whose integrators leak: every count of the ramp looked at, one after the other."""

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, load_circuit, load_device, only, plain

from .drawn import pulses, quantity, signed

SPEC = load_circuit("array-128")


def leaking(*parts, tau, clock=1.0, bits=8):
    """Time constant and clock in nanoseconds."""
    leak = SPEC.leak.model_copy(update={"time_constant": quantity(tau, "ns")})
    conversion = SPEC.conversion.model_copy(update={"clock": quantity(clock, "ns"), "bits": quantity(bits, "1")})
    jitter = SPEC.jitter.model_copy(update={"pulse": quantity(1e-3, "ps"), "ramp": quantity(2, "ns")})
    changes = {"leak": leak, "conversion": conversion, "jitter": jitter}
    return only(SPEC.model_copy(update=changes), "leak", "conversion", *parts)


def by_looking(charges, offset, circuit, full_scale):
    """Count after count: the first at whose end charge and offset, in potentials, meet the ramp."""
    half = 2 ** (int(circuit.conversion.bits.value) - 1)
    tick, tau = circuit.conversion.clock.si, circuit.leak.time_constant.si
    worth, found = full_scale / half, np.full(charges.shape, -half)
    waiting = np.ones(charges.shape, bool)
    for n in range(2 * half):
        met = charges * np.exp(-(n + 1) * tick / tau) + offset >= (half - 1 - n - 0.5) * worth
        found[waiting & met] = half - 1 - n
        waiting &= ~met
    return found * worth


def by_definition(connection, kappa):
    return plain.integrate(connection, connection.conditions, kappa, np.random.default_rng(0))


READERS = {"compiled": lambda one, kappa: one.integrate(kappa, np.random.default_rng(0)), "definition": by_definition}


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize(
    ("tau", "clock", "bits"), [(10000, 1, 8), (10000, 10, 8), (10000, 1, 12), (300, 1, 8), (60, 1, 8), (40, 1, 6)]
)
def test_a_count_is_the_first_that_the_leaking_charge_meets(how, tau, clock, bits):
    """Charges of both signs from nothing to beyond full scale, large offsets, leaks from slight to senseless."""
    circuit = leaking("comparator", tau=tau, clock=clock, bits=bits)
    circuit = circuit.model_copy(
        update={"comparator": SPEC.comparator.model_copy(update={"offset": quantity(20, "mV")})}
    )
    connection = ArrayBank(load_device("ideal"), circuit, 3).program(signed(70, 128), full_scale=60.0)
    kappa = pulses(40, 128, share=0.3)
    given = connection.conditions
    charges = plain.charges(connection, given, kappa, np.random.default_rng(0))[0, 0]
    expected = by_looking(charges, plain.offsets(connection, given)[0, 0], circuit, 60.0)
    assert np.abs(charges).max() > 60 and len(np.unique(expected)) > 40
    off = np.abs(READERS[how](connection, kappa) - expected) / given.per_count
    if how == "definition":
        assert not off.any()
    assert off.max() < 1.01 and (off > 0.5).mean() < 2e-3  # float32 beside the edge of a count


@pytest.mark.parametrize("how", READERS)
def test_what_leaks_depends_on_the_sign(how):
    """A potential near the top of the ramp is met at once, one near its end after 256 counts."""
    circuit = leaking(tau=10000)
    connection = ArrayBank(load_device("ideal"), circuit).program(np.ones((1, 120), np.int8), full_scale=128.0)
    sent = np.repeat(np.array([[1], [-1]], np.int8), 120, axis=1)
    up, down = READERS[how](connection, sent)[:, 0]
    assert up == 120 and down == pytest.approx(-120 * np.exp(-(256 / 10000)), abs=1) and down == -117


@pytest.mark.parametrize("how", READERS)
def test_jitter_of_a_comparator_does_not_leak(how):
    """Two counts of it, at the end of a ramp on which two thirds of the charge leak."""
    connection = ArrayBank(load_device("ideal"), leaking("jitter", tau=250)).program(
        np.ones((64, 1), np.int8), full_scale=64.0
    )
    found = READERS[how](connection, np.full((400, 1), -40, np.int8)) / connection.conditions.per_count
    slope = (
        1 + 80 * np.exp(-(128 - found.mean()) / 250) / 250
    )  # a falling ramp meets a charge that leaks upwards sooner
    assert found.std() == pytest.approx(np.hypot(2 / slope, np.sqrt(1 / 12)), rel=0.04)
