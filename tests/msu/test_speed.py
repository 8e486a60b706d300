"""How fast: processor time of paired, interleaved calls, so that other load on the machine weighs on both."""

import statistics
import time

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, load_circuit, load_device, only
from matterhorn.msu.wires import effective_conductance

from .drawn import pulses, signed

pytestmark = pytest.mark.slow


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def ratio(one, other, pairs=80):
    timed = [(seconds(one), seconds(other)) for _ in range(pairs)]
    return statistics.median(a / b for a, b in timed)


def test_a_noisy_read_costs_at_most_one_and_a_half_dense_products():
    """768 → 768, 512 tokens, one neuron in five spikes. Wires only change the numbers in the matrix."""
    connection = ArrayBank(load_device("rram-wan"), only(load_circuit("array-128"), "comparator")).program(
        signed(768, 768)
    )
    kappa, rng = pulses(512, 768), np.random.default_rng(0)
    matrix, real = np.ascontiguousarray(signed(768, 768), np.float32), kappa.astype(np.float32)
    connection.integrate(kappa, rng)
    found = min(ratio(lambda: connection.integrate(kappa, rng), lambda: real @ matrix) for _ in range(3))
    assert found < 1.5


def test_wires_of_a_768_by_768_pair_are_solved_within_35_seconds():
    cells = 40e-6 * np.random.default_rng(0).random((128, 128))
    arrays = (768 // 128) * (2 * 768 // 128)
    assert arrays * min(seconds(lambda: effective_conductance(cells, 1.0, 1.0)) for _ in range(3)) < 35
