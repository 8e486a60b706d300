"""Engine events: the same integers as exact and stepped, whatever the code, the weights, the silence, the costs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from matterhorn.coding import SILENT, Code, encode
from matterhorn.engines import SteppedEngine, classify, get_engine
from matterhorn.engines.costs import Costs, cache_file, machine_costs
from matterhorn.engines.events import EventsEngine, integrate_events
from matterhorn.engines.exact import ExactEngine
from matterhorn.engines.packed import packed_weights, weights_of
from matterhorn.engines.ragged import Ragged
from matterhorn.engines.tiles import cut
from matterhorn.engines.verify import verify
from matterhorn.errors import InputError
from matterhorn.models.convert import convert
from matterhorn.models.spiking import Connection

from ..conftest import small_batch, small_network

EVENTS_ONLY = Costs(product=1e6)
WEIGHTS = {"1": (-1, 1), "ternary": (-1, 0, 1), "2": (-2, -1, 0, 1), "4": tuple(range(-8, 8))}


def connection(kind: str, fan_in: int, fan_out: int, seed: int = 0) -> Connection:
    draw = torch.Generator().manual_seed(seed)
    made = Connection(fan_in, fan_out, kind)
    values = torch.tensor(WEIGHTS[kind], dtype=torch.int8)
    made.weights.copy_(values[torch.randint(0, len(values), (fan_out, fan_in), generator=draw)])
    made.offset.copy_(torch.randint(-500, 500, (fan_out,), generator=draw))
    return made


def code_and_slots(bits: int, k: int, rows: int, neurons: int, *, mean: bool = False, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    top = 2**bits - 1
    silent = torch.randint(0, top + 1, (neurons,), generator=draw)
    reads = 8 * silent + torch.randint(-8 * k, 8 * k + 1, (neurons,), generator=draw) if mean else None
    code = Code(bits, silent, k, reads)
    return code, encode(torch.randint(0, top + 1, (rows, neurons), generator=draw).to(torch.uint8), code)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(1, 1), (31, 65), (32, 64), (100, 200), (384, 448), (1536, 100)])
def test_potentials_equal_those_of_every_engine(kind, fan_in, fan_out):
    made = connection(kind, fan_in, fan_out)
    code, slots = code_and_slots(4, 1, 5, fan_in)
    got = integrate_events(slots, code, made)
    assert torch.equal(got, get_engine("exact").integrate(slots, code, made))
    assert torch.equal(got, get_engine("stepped").integrate(slots, code, made))


CODES = [(1, 0, False), (2, 1, False), (4, 3, True), (4, 7, False), (5, 2, True), (6, 9, False)]


@pytest.mark.filterwarnings("ignore:.*up to:RuntimeWarning")
@pytest.mark.parametrize(("bits", "k", "mean"), CODES)
def test_any_code(bits, k, mean):
    made = connection("1", 300, 70)
    code, slots = code_and_slots(bits, k, 7, 300, mean=mean)
    got = EventsEngine(EVENTS_ONLY).integrate(slots, code, made)
    assert torch.equal(got, get_engine("stepped").integrate(slots, code, made))


def test_sums_do_not_overflow_at_the_worst():
    """Every neuron spikes with the largest kernel against weights that all pull one way."""
    made = Connection(5000, 64, "1")
    made.weights.fill_(1)
    code = Code(6, torch.tensor(0))
    slots = torch.zeros(1, 5000, dtype=torch.uint8)
    assert integrate_events(slots, code, made)[0, 0] == 5000 * 63
    made.weights.fill_(-1)
    assert integrate_events(slots, code, made)[0, 0] == -5000 * 63


@pytest.mark.parametrize("engine", [SteppedEngine(), ExactEngine(), EventsEngine(EVENTS_ONLY)])
def test_silence_leaves_the_offset_and_one_spike_adds_its_row(engine):
    made, code = connection("1", 64, 64), Code(4, torch.tensor(8))
    slots = torch.full((2, 3, 64), SILENT, dtype=torch.uint8)
    assert torch.equal(engine.integrate(slots, code, made), made.offset.expand(2, 3, -1))
    slots[1, 2, 5] = 0  # the first slot: seven levels above silence
    expected = made.offset.repeat(2, 3, 1)
    expected[1, 2] += 7 * made.weights[:, 5]
    assert torch.equal(engine.integrate(slots, code, made), expected)


@pytest.mark.parametrize("engine", [ExactEngine(), EventsEngine(EVENTS_ONLY)])
def test_a_slot_outside_the_window_raises(engine):
    slots = torch.full((1, 64), SILENT, dtype=torch.uint8)
    slots[0, 40] = 16
    with pytest.raises(ValueError, match="outside its window of 16"):
        engine.integrate(slots, Code(4, torch.tensor(8)), connection("1", 64, 64))


def test_sums_that_could_leave_the_integers_are_refused():
    made = connection("1", 8, 8)
    made.offset.fill_(2**30)
    with pytest.raises(InputError, match="potentials up to"):
        get_engine("exact").integrate(torch.zeros(1, 8, dtype=torch.uint8), Code(4, torch.tensor(8)), made)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_packing_can_be_undone(kind):
    made = connection(kind, 50, 70)
    packed = packed_weights(made)
    assert torch.equal(weights_of(packed, 70), made.weights)
    assert len(packed.planes) == {"1": 1, "ternary": 2, "2": 2, "4": 4}[kind]


def test_altered_weights_are_packed_anew():
    made = connection("1", 64, 64)
    code, slots = code_and_slots(4, 0, 2, 64)
    before = integrate_events(slots, code, made)
    made.weights[3] *= -1
    after = integrate_events(slots, code, made)
    assert torch.equal(after, get_engine("stepped").integrate(slots, code, made))
    assert not torch.equal(after, before)


@pytest.mark.parametrize("costs", [EVENTS_ONLY, Costs(word=1e6), Costs()])
def test_costs_never_decide_the_answer(costs):
    network, batch = convert(small_network(k=2)), small_batch()
    args = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
    assert torch.equal(classify(network, *args, EventsEngine(costs)), classify(network, *args, get_engine("stepped")))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3},
        {"k": 2, "mean": True},
        {"k": 1, "weight_bits": "4", "stored_bits": 3},
        {"k": 1, "digital": "shift", "weight_bits": "ternary", "silence_per": "tensor"},
        {"activation_bits": 6, "k": 5, "mean": True, "stored_bits": 2},
        {"k": 3, "mean": True, "narrower": {"probabilities": 1, "queries": 0}},
    ],
)
def test_verification_passes(options):
    model = small_network(**{"k": 0, **options})
    engines = [get_engine("exact"), EventsEngine(EVENTS_ONLY), get_engine("stepped")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        report = verify(model, convert(model), engines, [small_batch(), small_batch(seed=4)])
    assert report.passed, report.first_difference


def test_packed_attention_gives_the_same(monkeypatch):
    model = small_network(k=1)
    monkeypatch.setattr("matterhorn.engines.events.PACKED_FROM", 1)
    report = verify(model, convert(model), [EventsEngine(EVENTS_ONLY)], [small_batch(longest=64)])
    assert report.passed, report.first_difference


def test_padding_anywhere_changes_nothing():
    """Masks with holes and sequences that begin with padding: as the plain engine has it."""
    network, batch = convert(small_network(k=1)), small_batch()
    present = batch["attention_mask"].bool().clone()
    present[0, 2], present[1, 0] = False, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        answers = [
            classify(network, batch["input_ids"], batch["token_type_ids"], present, get_engine(name))
            for name in ("exact", "events", "stepped")
        ]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_ragged_there_and_back():
    present = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0]]).bool()
    ragged = Ragged.of(present)
    assert ragged.starts.tolist() == [0, 2, 5, 6]
    assert (ragged.longest, ragged.squares, ragged.whole) == (3, 4 + 9 + 1, False)
    x = torch.arange(1, 10).view(3, 3)
    assert ragged.padded(ragged.flat(x), 0).tolist() == [[1, 2, 0], [4, 5, 6], [7, 0, 0]]
    squares = ragged.padded_squares(torch.arange(1, 15), 1, 0)
    assert squares[0, 0].tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]
    assert squares[2, 0].tolist() == [[14, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_threads_and_tiles_change_nothing(monkeypatch):
    network, batch = convert(small_network(k=1)), small_batch(rows=9)
    args = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
    alone = classify(network, *args, get_engine("events"))
    monkeypatch.setattr("matterhorn.engines.tiles.TILE", 8)
    assert torch.equal(classify(network, *args, get_engine("events")), alone)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(classify(network, *args, get_engine("events")), alone)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_tiles_hold_every_sequence_once():
    tiles = cut([100, 200, 300, 10, 10], 1)
    assert [(tile.start, tile.stop) for tile in tiles] == [(0, 2), (2, 3), (3, 5)]
    assert len(cut([10] * 8, 2)) == 2


def test_costs_are_measured_once_and_survive_a_broken_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = machine_costs()
    assert cache_file().is_file()
    assert machine_costs() == first
    cache_file().write_text('{"product": -3}')
    assert machine_costs().product > 0


def test_fewer_events_cost_less():
    costs = Costs()
    assert costs.sparse(100, 10, 6) < costs.sparse(100, 1000, 6)
    assert costs.sparse(1000, 1000 * 19, 12) < costs.dense(1000, 384, 768)
    assert np.isfinite(costs.dense(1, 1, 1))
