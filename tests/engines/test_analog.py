"""A whole network on a chip: exact where the chip is ideal, seeded, noisy, drifting."""

from __future__ import annotations

import pytest
import torch

from matterhorn.engines import ExactEngine, SlotRecorder, classify, get_engine
from matterhorn.engines.analog import AnalogEngine, sample_kernels, static_connections
from matterhorn.errors import InputError
from matterhorn.models.convert import convert
from matterhorn.msu import ArrayBank, deviating, load_circuit, load_device, only
from tests.conftest import small_batch, small_network

IDEAL, PLAIN = load_device("ideal"), load_circuit("ideal-128")
ALL_ON = load_circuit("array-128").model_copy(update={"wires": None})


def inputs(seed=0, rows=6):
    batch = small_batch(seed, rows=rows)
    return batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()


class Everything:
    """Slots and levels of every population."""

    def __init__(self):
        self.kept = {}

    def batch(self, present):
        pass

    def spikes(self, name, population, slots, levels):
        self.kept[name] = slots, levels


def on_chip(network, device=IDEAL, circuit=PLAIN, seed=0, batch=None, **options):
    engine = AnalogEngine(network, ArrayBank(device, circuit, seed), **options)
    return classify(network, *(batch or inputs()), engine)


@pytest.fixture(scope="module")
def network():
    return convert(small_network(2))


@pytest.mark.parametrize("options", [{}, {"weight_bits": "2"}, {"weight_bits": "4"}, {"weight_bits": "ternary"}])
@pytest.mark.parametrize("k, mean", [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("device", ["ideal", "rram-ye-28nm"])
def test_an_ideal_chip_gives_every_level_event_and_logit_of_exact(k, mean, device, options):
    network = convert(small_network(k, mean=mean, **options))
    engine = AnalogEngine(network, ArrayBank(only(load_device(device)), PLAIN, seed=4))
    seen = Everything(), Everything()
    logits = [classify(network, *inputs(), run, look) for run, look in zip((ExactEngine(), engine), seen, strict=True)]
    assert torch.equal(*logits)
    assert len(seen[0].kept) == 12 and seen[0].kept.keys() == seen[1].kept.keys()
    for name, (slots, levels) in seen[0].kept.items():
        assert torch.equal(slots, seen[1].kept[name][0]) and torch.equal(levels, seen[1].kept[name][1])


def test_a_chip_is_its_seed_whatever_the_order_of_reading(network):
    noisy = deviating(IDEAL, 0.3)
    first = on_chip(network, noisy, seed=1)
    assert torch.equal(first, on_chip(network, noisy, seed=1))
    assert torch.equal(first[:3], on_chip(network, noisy, seed=1, batch=tuple(x[:3] for x in inputs())))
    assert not torch.equal(first, on_chip(network, noisy, seed=2))
    assert not torch.equal(first, on_chip(network))


def test_cells_are_those_of_the_same_bank_elsewhere(network):
    bank = ArrayBank(deviating(IDEAL, 0.3), PLAIN, seed=3)
    engine = AnalogEngine(network, bank)
    for name, (connection, _) in static_connections(network).items():
        alone = bank.program(connection.weights, name=name)
        assert torch.equal(engine.programmed[connection].cells.written, alone.cells.written)


def test_read_noise_is_new_in_every_read_and_seeded(network):
    device = only(load_device("rram-wan"), "read")
    device = device.model_copy(
        update={
            "read": device.read.model_copy(update={"relative": device.read.relative.model_copy(update={"value": 30})})
        }
    )
    engine = AnalogEngine(network, ArrayBank(device, PLAIN), read_seed=5)
    first, second = (classify(network, *inputs(), engine) for _ in range(2))
    assert not torch.equal(first, second)
    again = AnalogEngine(network, ArrayBank(device, PLAIN), read_seed=5)
    assert torch.equal(classify(network, *inputs(), again), first)
    assert not torch.equal(on_chip(network, device, read_seed=6), first)


def test_drift_that_hits_all_cells_alike_is_scaled_away(network):
    drifting = only(load_device("rram-wan"), "drift")
    exact = classify(network, *inputs(), get_engine("exact"))
    year = AnalogEngine(network, ArrayBank(drifting, PLAIN), seconds=3e7)
    gains = torch.cat(list(year.gains.values()))
    assert gains == pytest.approx((3e7) ** -0.03, rel=1e-4)
    assert torch.equal(classify(network, *inputs(), year), exact)
    year.gains = {connection: torch.ones_like(gain) for connection, gain in year.gains.items()}
    assert not torch.equal(classify(network, *inputs(), year), exact)


def test_sized_capacitors_lose_less_in_offsets_and_converters(network):
    circuit = only(ALL_ON, "comparator", "conversion")
    exact = sums(network, ExactEngine())
    errors = []
    for sample in (None, sample_kernels(network, *inputs())):
        engine = AnalogEngine(network, ArrayBank(IDEAL, circuit), sample=sample)
        errors.append(float((sums(network, engine) - exact).double().pow(2).mean()))
    assert 0 < errors[1] < errors[0] / 4


def sums(network, engine):
    """Potentials of the first connection for the batch's own spikes."""
    block, recorder = network.layers()[0], SlotRecorder()
    classify(network, *inputs(), ExactEngine(), recorder)
    slots = recorder.slots["block.0.hidden"].flatten(0, 1)
    return engine.integrate(slots, block.hidden.code, block.ffn1)


def test_more_deviation_moves_logits_further(network):
    exact = classify(network, *inputs(rows=30), ExactEngine())
    moved = [
        sum(float((on_chip(network, deviating(IDEAL, share), seed=s, batch=inputs(rows=30)) - exact).norm())
            for s in range(3))
        for share in (0.01, 0.1, 0.5)
    ]  # fmt: skip
    assert 0 < moved[0] < moved[1] < moved[2]


def test_every_part_at_once_runs(network):
    logits = on_chip(network, load_device("rram-wan"), ALL_ON, sample=sample_kernels(network, *inputs()))
    assert logits.isfinite().all()


def test_what_is_not_on_the_chip_is_refused(network):
    engine, other = AnalogEngine(network, ArrayBank(IDEAL, PLAIN)), convert(small_network(1))
    with pytest.raises(InputError, match="not on this chip"):
        classify(other, *inputs(), engine)
    with pytest.raises(InputError, match="analog needs a chip"):
        get_engine("analog")
    with pytest.raises(InputError, match="seconds"):
        AnalogEngine(network, ArrayBank(IDEAL, PLAIN), seconds=-1)
