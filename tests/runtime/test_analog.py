"""A whole program on a chip: exact where the chip is ideal, seeded, noisy, drifting."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from matterhorn.coding import kappa as kappa_of
from matterhorn.errors import InputError
from matterhorn.msu import ArrayBank, deviating, load_circuit, load_device, only
from matterhorn.runtime import Engine, SlotRecorder
from matterhorn.runtime.analog import AnalogBackend, sample_kappa, static_arrays
from matterhorn.topology import Site

from ..networks import small_arrays, small_program

IDEAL, PLAIN = load_device("ideal"), load_circuit("ideal-128")
ALL_ON = load_circuit("array-128").model_copy(update={"wires": None})


class Everything:
    """Levels and slots of every population."""

    def __init__(self):
        self.kept = {}

    def batch(self, sequences):
        pass

    def spikes(self, site, population, levels, slots):
        self.kept[site] = levels, slots


def exact(program, batch=None):
    return Engine(program, "exact")(**(batch or small_arrays())).logits


def on_chip(program, device=IDEAL, circuit=PLAIN, seed=0, batch=None, **options):
    backend = AnalogBackend(program, ArrayBank(device, circuit, seed), **options)
    return Engine(program, backend)(**(batch or small_arrays())).logits


@pytest.fixture(scope="module")
def program():
    return small_program(2)


@pytest.mark.parametrize("options", [{}, {"weights": "int2"}, {"weights": "int4"}, {"weights": "ternary"}])
@pytest.mark.parametrize("k, mean", [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("device", ["ideal", "rram-ye-28nm"])
def test_an_ideal_chip_gives_every_level_event_and_logit_of_exact(k, mean, device, options):
    program = small_program(k, mean=mean, **options)
    chip = ArrayBank(only(load_device(device)), PLAIN, seed=4)
    seen = Everything(), Everything()
    engines = Engine(program, "exact"), Engine(program, "analog", chip=chip)
    logits = [engine(**small_arrays(), watcher=look).logits for engine, look in zip(engines, seen, strict=True)]
    assert np.array_equal(*logits)
    assert len(seen[0].kept) == 12 and seen[0].kept.keys() == seen[1].kept.keys()
    for site, own in seen[0].kept.items():
        assert np.array_equal(own[0], seen[1].kept[site][0]) and np.array_equal(own[1], seen[1].kept[site][1])


def test_six_bits_in_eighths_of_a_level_are_exact_too():
    program = small_program(2, mean=True, activation_bits=6)
    assert any(source.code.reach > 127 for _, source in static_arrays(program).values())
    assert np.array_equal(on_chip(program), exact(program))


def test_a_chip_is_its_seed_whatever_the_order_of_reading(program):
    noisy = deviating(IDEAL, 0.3)
    first = on_chip(program, noisy, seed=1)
    assert np.array_equal(first, on_chip(program, noisy, seed=1))
    three = {name: array[:3] for name, array in small_arrays().items()}
    assert np.array_equal(first[:3], on_chip(program, noisy, seed=1, batch=three))
    assert not np.array_equal(first, on_chip(program, noisy, seed=2))
    assert not np.array_equal(first, on_chip(program))


def test_cells_are_those_of_the_same_bank_elsewhere(program):
    bank = ArrayBank(deviating(IDEAL, 0.3), PLAIN, seed=3)
    backend, held = AnalogBackend(program, bank), static_arrays(program)
    assert list(held) == [
        *(f"block.0.{part}" for part in ("query-key-value", "output", "ffn1", "ffn2")),
        *(f"block.1.{part}" for part in ("query", "key-value", "output", "ffn1", "ffn2")),
    ]
    for name, (array, _) in held.items():
        alone = bank.program(array.weights, name=name)
        assert np.array_equal(backend.written[array].cells.written, alone.cells.written)


def reading(share):
    """Cells that only fluctuate."""
    device = only(load_device("rram-wan"), "read")
    relative = device.read.relative.model_copy(update={"value": 100 * share})
    return device.model_copy(update={"read": device.read.model_copy(update={"relative": relative})})


def test_read_noise_is_new_in_every_read_and_seeded(program):
    bank = ArrayBank(reading(0.3), PLAIN)
    engine = Engine(program, AnalogBackend(program, bank, read_seed=5), threads=4)
    first, second = (engine(**small_arrays()).logits for _ in range(2))
    assert not np.array_equal(first, second)
    again = Engine(program, AnalogBackend(program, bank, read_seed=5), threads=1)
    assert np.array_equal(again(**small_arrays()).logits, first)
    assert not np.array_equal(on_chip(program, reading(0.3), read_seed=6), first)


def test_a_trace_changes_no_noise_and_takes_no_more_memory(program, monkeypatch):
    """A batch is read in tiles with a trace as without one, in the same order."""
    monkeypatch.setattr("matterhorn.runtime.engine.LONG_TILE", 16)
    bank, seen = ArrayBank(reading(0.3), PLAIN), []
    backends = [AnalogBackend(program, bank, read_seed=5) for _ in range(2)]
    own = AnalogBackend.integrate
    monkeypatch.setattr(AnalogBackend, "integrate", lambda *given: seen.append(len(given[1])) or own(*given))
    plain, traced = (
        Engine(program, one)(**small_arrays(rows=20), trace=trace)
        for one, trace in zip(backends, (False, True), strict=True)
    )
    assert np.array_equal(plain.logits, traced.logits) and max(seen) < 16 + 11
    assert sum(traced.trace.lengths.values()) == 20


def test_drift_that_hits_all_cells_alike_is_scaled_away(program):
    bank, expected = ArrayBank(only(load_device("rram-wan"), "drift"), PLAIN), exact(program)
    year = AnalogBackend(program, bank, seconds=3e7)
    assert np.concatenate(list(year.scales.values())) == pytest.approx(3e7**0.03, rel=1e-4)
    assert np.array_equal(Engine(program, year)(**small_arrays()).logits, expected)
    year.scales = {array: np.ones_like(scale) for array, scale in year.scales.items()}
    assert not np.array_equal(Engine(program, year)(**small_arrays()).logits, expected)


def sample_of(program):
    return sample_kappa(program, small_arrays())


def test_the_sample_is_what_drives_each_array(program):
    recorder, batch = SlotRecorder(), small_arrays()
    Engine(program, "exact")(**batch, watcher=recorder)
    found, tokens, rows = sample_of(program), int(batch["attention_mask"].sum()), len(batch["input_ids"])
    for name, kappa in found.items():
        array, source = static_arrays(program)[name]
        first_only = name in ("block.1.query", "block.1.output", "block.1.ffn1", "block.1.ffn2")
        assert kappa.shape == (rows if first_only else tokens, array.weights.shape[1])
        assert np.abs(kappa).max() <= source.code.reach
        spikes = recorder.slots[Site.parse(f"block.{name.split('.')[1]}.{array.source}")]
        spikes = spikes[recorder.sequences.first] if name == "block.1.query" else spikes
        assert np.array_equal(kappa, kappa_of(spikes, source.code)) and kappa.any()


def test_sized_capacitors_lose_less_in_offsets_and_converters(program):
    circuit, errors = only(ALL_ON, "comparator", "conversion"), []
    expected = hidden_sums(program, Engine(program, "exact").backend)
    for sample in (None, sample_of(program)):
        found = hidden_sums(program, AnalogBackend(program, ArrayBank(IDEAL, circuit), sample=sample))
        errors.append(float(((found - expected).astype(float) ** 2).mean()))
    assert 0 < errors[1] < errors[0] / 4


def hidden_sums(program, backend):
    """Potentials of a connection for the batch's own spikes."""
    recorder, block = SlotRecorder(), program.blocks[0]
    Engine(program, "exact")(**small_arrays(), watcher=recorder)
    return backend.integrate(recorder.slots[Site(0, "hidden")], block.arrays["ffn1"], block.populations["hidden"])


def test_more_deviation_moves_logits_further(program):
    batch = small_arrays(rows=30)
    expected = exact(program, batch)
    moved = [
        sum(np.linalg.norm(on_chip(program, deviating(IDEAL, share), seed=s, batch=batch) - expected) for s in range(3))
        for share in (0.01, 0.1, 0.5)
    ]
    assert 0 < moved[0] < moved[1] < moved[2]


def test_every_part_at_once_runs(program):
    logits = on_chip(program, load_device("rram-wan"), ALL_ON, sample=sample_of(program))
    assert np.isfinite(logits).all() and not np.array_equal(logits, exact(program))


def test_what_is_not_on_the_chip_is_refused(program):
    backend, other = AnalogBackend(program, ArrayBank(IDEAL, PLAIN)), small_program(1)
    with pytest.raises(InputError, match="not on this chip"):
        Engine(other, backend)(**small_arrays())
    with pytest.raises(InputError, match="analog needs a chip"):
        Engine(program, "analog")
    with pytest.raises(InputError, match="seconds"):
        AnalogBackend(program, ArrayBank(IDEAL, PLAIN), seconds=-1)
    with pytest.raises(InputError, match="read_seed"):
        AnalogBackend(program, ArrayBank(IDEAL, PLAIN), read_seed=-1)


def test_a_spike_outside_its_window_is_noticed(program):
    array, source = static_arrays(program)["block.0.ffn1"]
    slots = np.full((2, array.weights.shape[1]), 16, np.uint8)
    with pytest.raises(ValueError, match="outside its window"):
        AnalogBackend(program, ArrayBank(IDEAL, PLAIN)).integrate(slots, array, source)


def test_a_pickled_engine_with_a_chip_runs_the_same(program):
    engine = Engine(program, "analog", chip=ArrayBank.of("ideal", "ideal-128"))
    again = pickle.loads(pickle.dumps(engine))
    assert np.array_equal(again(**small_arrays()).logits, engine(**small_arrays()).logits)
