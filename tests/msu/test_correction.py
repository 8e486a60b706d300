"""Writing again and choosing rows: known answers, and both help."""

import itertools
import math

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.msu import ArrayBank, Correction, deviating, load_circuit, load_device, only
from matterhorn.msu.correction import row_order

IDEAL, PLAIN = load_device("ideal"), load_circuit("ideal-128")


def bits(out, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randint(2, (out, rows), generator=generator) - 1).to(torch.int8)


def deviation(connection, device):
    span = device.high - device.low
    return (connection.cells.written - connection.cells.target)[connection.cells.target > 0] / span


@pytest.mark.parametrize("writes", [1, 3, 10])
def test_as_many_cells_stay_off_as_the_normal_distribution_says(writes):
    device = deviating(IDEAL, 0.12)
    bank = ArrayBank(device, PLAIN, 1, correction=Correction(verify_writes=writes, tolerance=0.05))
    off = deviation(bank.program(bits(256, 256)), device).abs() > 0.05
    outside = math.erfc(0.05 / 0.12 / math.sqrt(2))
    assert float(off.double().mean()) == pytest.approx(outside ** (1 + writes), rel=0.12, abs=1e-3)


def test_no_further_write_changes_no_chip():
    weights, device = bits(40, 90), load_device("rram-wan")
    plain, none = (
        ArrayBank(device, PLAIN, 2, correction=Correction(verify_writes=writes)).program(weights) for writes in (0, 0)
    )
    once = ArrayBank(device, PLAIN, 2).program(weights)
    assert torch.equal(plain.cells.written, once.cells.written) and torch.equal(none.cells.written, once.cells.written)
    again = ArrayBank(device, PLAIN, 2, correction=Correction(verify_writes=1)).program(weights)
    same = again.cells.written == once.cells.written
    assert 0.01 < float(same.double().mean()) < 0.99


def test_a_noisy_read_verifies_worse():
    device = deviating(IDEAL, 0.12)
    noisy = device.model_copy(update={"read": load_device("rram-wan").read})
    noisy = noisy.model_copy(
        update={"read": noisy.read.model_copy(update={"relative": noisy.read.relative.model_copy(update={"value": 8})})}
    )
    how = Correction(verify_writes=20, tolerance=0.03)
    spreads = [float(deviation(ArrayBank(d, PLAIN, 1, correction=how).program(bits(128, 128)), d).std())
               for d in (device, noisy)]  # fmt: skip
    assert spreads[0] < 0.03 and spreads[1] > 1.5 * spreads[0]


def test_rows_are_assigned_at_the_lowest_cost_there_is():
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 2, (5, 6), generator=generator).float()
    low, high = (torch.rand(5, 6, generator=generator) < 0.3 for _ in range(2))
    high &= ~low
    importance = torch.rand(5, generator=generator)

    def cost(order):
        rows = target[list(order)]
        off = torch.where(low, rows, torch.where(high, rows - 1, torch.zeros(())))
        return float((importance[list(order)] * off.square().sum(1)).sum())

    found = row_order(target, low, high, (0.0, 1.0), importance)
    best = min(cost(order) for order in itertools.permutations(range(5)))
    assert cost(found.tolist()) == pytest.approx(best)
    assert best < cost(range(5))


def test_a_dead_word_line_gets_the_row_that_matters_least():
    low = torch.zeros(4, 8, dtype=torch.bool)
    low[2] = True
    order = row_order(torch.ones(4, 8), low, torch.zeros_like(low), (0.0, 1.0), torch.tensor([3.0, 0.1, 2.0, 1.0]))
    assert order[2] == 1 and sorted(order.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("fan_in", [100, 300])
@pytest.mark.parametrize("circuit", ["ideal-128", "array-128"])
def test_choosing_rows_changes_nothing_but_the_harm_of_stuck_cells(fan_in, circuit):
    circuit = only(load_circuit(circuit), "conversion")
    weights = bits(70, fan_in)
    generator = torch.Generator().manual_seed(5)
    kappa = (torch.randint(-15, 16, (200, fan_in), generator=generator) * (torch.arange(fan_in) % 3 == 0)).to(
        torch.int8
    )
    chosen = Correction(place_rows=True)
    clean = [
        ArrayBank(IDEAL, circuit, 1, correction=how).program(weights).integrate(kappa) for how in (chosen, Correction())
    ]
    assert torch.equal(*clean)
    device = only(load_device("rram-wan"), "stuck")
    shares = {side: getattr(device.stuck, side).model_copy(update={"value": 2}) for side in ("low", "high")}
    device = device.model_copy(update={"stuck": device.stuck.model_copy(update=shares)})
    harm = []
    for how in (Correction(), chosen):
        connection = ArrayBank(device, circuit, 1, correction=how).program(
            weights, importance=kappa.double().square().mean(0)
        )
        harm.append(float((connection.integrate(kappa) - clean[0]).double().square().mean()))
    assert harm[1] < 0.5 * harm[0]


def test_the_same_cells_are_stuck_wherever_rows_go():
    device, weights = only(load_device("rram-milo"), "stuck"), bits(64, 128)
    shares = {side: getattr(device.stuck, side).model_copy(update={"value": 5}) for side in ("low", "high")}
    device = device.model_copy(update={"stuck": device.stuck.model_copy(update=shares)})
    plain, chosen = (ArrayBank(device, PLAIN, 7, correction=Correction(place_rows=how)).program(weights)
                     for how in (False, True))  # fmt: skip
    assert not torch.equal(chosen.order, torch.arange(128))
    off = [(c.cells.written != c.cells.target) for c in (plain, chosen)]
    both = [(c.cells.written == device.low) | (c.cells.written == device.high) for c in (plain, chosen)]
    assert all(bool(b.all()) for b in both)
    assert int(off[1].sum()) < int(off[0].sum())


def test_bad_corrections_are_refused():
    with pytest.raises(InputError, match="verify_writes"):
        Correction(verify_writes=-1)
    with pytest.raises(InputError, match="tolerance"):
        Correction(tolerance=0)
