"""Writing again and choosing rows: known answers, and both help."""

import itertools
import math

import numpy as np
import pytest

from matterhorn.errors import InputError
from matterhorn.msu import ArrayBank, Correction, deviating, load_circuit, load_device, only
from matterhorn.msu.correction import row_order

from .drawn import integers, quantity, signed

IDEAL, PLAIN = load_device("ideal"), load_circuit("ideal-128")


def deviation(connection, device):
    cells = connection.cells
    return (cells.written - cells.target)[cells.target > 0] / (device.high - device.low)


def sticking(device, percent):
    stuck = device.stuck.model_copy(update={side: quantity(percent, "%") for side in ("low", "high")})
    return device.model_copy(update={"stuck": stuck})


@pytest.mark.parametrize("writes", [1, 3, 10])
def test_as_many_cells_stay_off_as_the_normal_distribution_says(writes):
    device = deviating(IDEAL, 0.12)
    bank = ArrayBank(device, PLAIN, 1, correction=Correction(verify_writes=writes, tolerance=0.05))
    off = np.abs(deviation(bank.program(signed(256, 256)), device)) > 0.05
    outside = math.erfc(0.05 / 0.12 / math.sqrt(2))
    assert off.mean() == pytest.approx(outside ** (1 + writes), rel=0.12, abs=1e-3)


def test_a_further_write_leaves_what_was_right():
    weights, device = signed(40, 90), load_device("rram-wan")
    once = ArrayBank(device, PLAIN, 2).program(weights).cells.written
    none = ArrayBank(device, PLAIN, 2, correction=Correction(verify_writes=0)).program(weights).cells.written
    assert np.array_equal(none, once)
    again = ArrayBank(device, PLAIN, 2, correction=Correction(verify_writes=1)).program(weights).cells.written
    assert 0.01 < (again == once)[once > 0].mean() < 0.99


def test_a_noisy_read_verifies_worse():
    device = deviating(IDEAL, 0.12)
    read = load_device("rram-wan").read.model_copy(update={"relative": quantity(8, "%")})
    how = Correction(verify_writes=20, tolerance=0.03)
    spreads = [
        deviation(ArrayBank(one, PLAIN, 1, correction=how).program(signed(128, 128)), one).std()
        for one in (device, device.model_copy(update={"read": read}))
    ]
    assert spreads[0] < 0.03 and spreads[1] > 1.5 * spreads[0]


def test_verifying_reads_have_the_noise_of_reads_1_over_f_too():
    """Full cells of phase-change memory fluctuate by 3.7 % right after writing: what is within 3 % is a guess."""
    device, how = load_device("pcm"), Correction(verify_writes=20, tolerance=0.03)
    spreads = [
        deviation(ArrayBank(one, PLAIN, 1, correction=how).program(signed(128, 128)), one).std()
        for one in (only(device, "programming"), only(device, "programming", "read"))
    ]
    assert spreads[0] < 0.02 and spreads[1] > 1.3 * spreads[0]


def test_rows_are_assigned_at_the_lowest_cost_there_is():
    rng = np.random.default_rng(0)
    target, importance = rng.integers(0, 2, (5, 6)).astype(float), rng.random(5)
    low, high = rng.random((5, 6)) < 0.3, rng.random((5, 6)) < 0.3
    high &= ~low

    def cost(order):
        rows = target[list(order)]
        off = np.where(low, rows, np.where(high, rows - 1, 0))
        return float((importance[list(order)] * (off**2).sum(1)).sum())

    found = row_order(target, low, high, (0.0, 1.0), importance)
    best = min(cost(order) for order in itertools.permutations(range(5)))
    assert cost(found) == pytest.approx(best)
    assert best < cost(range(5))


def test_a_dead_word_line_gets_the_row_that_matters_least():
    low = np.zeros((4, 8), bool)
    low[2] = True
    order = row_order(np.ones((4, 8)), low, np.zeros_like(low), (0.0, 1.0), np.array([3.0, 0.1, 2.0, 1.0]))
    assert order[2] == 1 and sorted(order.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("fan_in", [100, 300])
@pytest.mark.parametrize("circuit", ["ideal-128", "array-128"])
@pytest.mark.parametrize(("name", "top"), [("rram-wan", 1), ("rram-ye-28nm", 3)])
def test_choosing_rows_changes_nothing_but_the_harm_of_stuck_cells(fan_in, circuit, name, top):
    circuit, weights = only(load_circuit(circuit), "conversion"), signed(70, fan_in, top=top)
    kappa = integers(200, fan_in, top=15, seed=5) * (np.arange(fan_in) % 3 == 0)
    ways = Correction(), Correction(place_rows=True)
    clean = [ArrayBank(IDEAL, circuit, 1, correction=how).program(weights).integrate(kappa) for how in ways]
    assert np.array_equal(*clean)
    device = only(load_device("rram-wan"), "stuck").model_copy(update={"levels": load_device(name).levels})
    harm = []
    for how in ways:
        bank = ArrayBank(sticking(device, 2), circuit, 1, correction=how)
        found = bank.program(weights, importance=(kappa.astype(float) ** 2).mean(0)).integrate(kappa)
        harm.append(float(((found - clean[0]).astype(float) ** 2).mean()))
    assert harm[1] < 0.5 * harm[0]


def test_the_same_cells_are_stuck_wherever_rows_go():
    device, weights = sticking(only(load_device("rram-milo"), "stuck"), 5), signed(64, 128)
    plain, chosen = (
        ArrayBank(device, PLAIN, 7, correction=Correction(place_rows=how)).program(weights) for how in (False, True)
    )
    assert sorted(chosen.order) == list(range(128)) and not np.array_equal(chosen.order, np.arange(128))
    off = [connection.cells.written != connection.cells.target for connection in (plain, chosen)]
    ends = np.float32(device.low), np.float32(device.high)
    assert np.isin(plain.cells.written, ends).all() and np.isin(chosen.cells.written, ends).all()
    assert off[1].sum() < off[0].sum()


def test_bad_corrections_are_refused():
    with pytest.raises(InputError, match="verify_writes"):
        Correction(verify_writes=-1)
    with pytest.raises(InputError, match="tolerance"):
        Correction(tolerance=0)
