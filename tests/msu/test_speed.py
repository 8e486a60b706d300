"""How fast: processor time of paired, interleaved calls, so that other load on the machine weighs on both."""

import statistics
import time

import torch

from matterhorn.msu import ArrayBank, load_circuit, load_device, only
from matterhorn.msu.wires import effective_conductance


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def ratio(one, other, pairs=80):
    timed = [(seconds(one), seconds(other)) for _ in range(pairs)]
    return statistics.median(a / b for a, b in timed)


def test_a_noisy_product_costs_at_most_one_and_a_half_dense_ones():
    """768 → 768, 128 tokens. Wires only change the numbers in the matrix; their set-up is timed below."""
    weights = (2 * torch.randint(2, (768, 768)) - 1).to(torch.int8)
    kappa = torch.randint(-15, 16, (128, 768))
    circuit = only(load_circuit("array-128"), "comparator")
    connection = ArrayBank(load_device("rram-wan"), circuit).program(weights)
    linear, real, generator = torch.nn.Linear(768, 768), kappa.float(), torch.Generator().manual_seed(0)
    connection.integrate(kappa, generator)
    with torch.inference_mode():
        found = min(ratio(lambda: connection.integrate(kappa, generator), lambda: linear(real)) for _ in range(3))
    assert found < 1.5


def test_wires_of_a_768_by_768_pair_are_solved_within_35_seconds():
    cells = 40e-6 * torch.rand(128, 128, dtype=torch.float64)
    arrays = (768 // 128) * (2 * 768 // 128)
    assert arrays * min(seconds(lambda: effective_conductance(cells, 1.0, 1.0)) for _ in range(3)) < 35
