"""Layers that another simulator counted."""

from __future__ import annotations

import math

import pytest

from matterhorn.energy import bill_layers, load
from matterhorn.energy.layers import layers_of
from matterhorn.errors import InputError

from .routes import path
from .synthetic import near

MLP = [
    {"layer": "fc1", "fan_in": 784, "fan_out": 100, "spikes": 900, "steps": 10, "weight_bits": 4},
    {"layer": "fc2", "fan_in": 100, "fan_out": 10, "spikes": 60.5, "steps": 10, "weight_bits": 4},
]


def test_a_rate_network_counted_by_hand():
    chip = load("rram-22nm")
    found = bill_layers(MLP, chip, "digital").by_category
    assert found["weight_access"] == near((900 * 100 + 60.5 * 10) * 4 * chip.weights.read.si)
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    assert found["neuron_state"] == near((100 + 10) * 10 * access)
    logic = chip.logic
    adds = (900 * 100 + 60.5 * 10) * logic.accumulate.si
    compares = (784 + 100) * 10 * logic.compare.si + (900 + 60.5) * logic.subtract.si
    assert found["computing"] == near(adds + compares)
    assert found["thresholds"] == near((784 + 100) * chip.state.threshold.si * chip.state.read.si)
    assert found["digital_functions"] == found["kv_read"] == 0


def test_packets_travel_from_what_feeds_a_layer():
    """784 x 400 one-bit columns are 7 tiles; the input, then these, then one tile of fc2, in a band 6 wide."""
    chip = load("rram-22nm")
    found = bill_layers(MLP, chip, "digital").lines
    tiles = [(0, 0), *[(x, 0) for x in range(1, 6)], (5, 1), (4, 1), (3, 1)]
    bit = chip.noc.hop.bit.si + chip.noc.wire.si * chip.core.area.si**0.5
    address = chip.noc.hop.header.si + math.ceil(math.log2(9))
    of_input, of_tile = (address + math.ceil(math.log2(784))) * bit, (address + math.ceil(math.log2(64 / 4))) * bit
    links = {link for goal in tiles[1:8] for link in path((0, 0), goal)}
    raw = 784 * 10 * bit
    assert found["fc1", "spike_movement"] == near(min(900 * of_input, raw) * len(links))
    hops = sum(len(path(tile, tiles[8])) for tile in tiles[1:8]) / 7
    assert found["fc2", "spike_movement"] == near(min(60.5 * of_tile, 100 * 10 * bit) * hops)


def test_a_convolution_reuses_its_spikes_and_branches_share_packets():
    conv = {"layer": "conv", "fan_in": 27, "fan_out": 16, "vectors": 1024, "neurons": 3072, "spikes": 100, "steps": 4}
    (layer,) = layers_of([conv])
    assert layer.operations == near(100 * 9 * 16) and layer.outputs == 1024 * 16
    assert layers_of([conv | {"operations": 14000}])[0].operations == 14000
    one = bill_layers([conv], "loihi")
    two = bill_layers([conv, conv | {"layer": "other", "after": "input"}], "loihi")
    assert two.by_category["spike_movement"] == near(2 * one.by_category["spike_movement"]), "two links, not 1 + 2"
    assert two.by_category["weight_access"] == near(2 * one.by_category["weight_access"])


def test_dense_and_ttfs_rows_on_synapse_units():
    chip = load("rram-22nm")
    unit = chip.msu
    dense, once = (
        {"layer": "a", "fan_in": 256, "fan_out": 128, "weight_bits": 1, "level_bits": 4},
        {"layer": "a", "fan_in": 256, "fan_out": 128, "weight_bits": 1, "spikes": 64, "steps": 16, "code": "ttfs"},
    )
    slot = unit.voltage.si * unit.supply.si * (unit.g_on.si + unit.g_off.si) * unit.slot.si
    found = bill_layers([once], chip, "msu")
    assert found.by_category["msu_conduction"] == near(64 * 8 * 128 * slot)
    assert found.by_category["msu_readout"] == near(128 * unit.readout.si)
    assert found.latency == near(16e-9 + 80e-9)
    words = bill_layers([dense], chip, "msu")
    assert words.by_category["spike_movement"] == 0 < words.by_category["dense_movement"]
    assert words.by_category["msu_conduction"] == near(256 * 4 * 128 * slot)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fan_in": "0"}, r"rows, row 2: fan_in: .*greater than or equal to 1"),
        ({"fan_in": ""}, r"rows, row 2: fan_in: .*"),
        ({"spike": 3}, r"rows, row 2: spike: unknown key"),
        ({"layer": "fc1"}, r"rows, row 2: layer: 'fc1' cannot be its name; give it another"),
        ({"after": "fc9"}, r"rows, row 2: after: no 'fc9' above it; give one of input, fc1"),
        ({"spikes": 5000}, r"rows, row 2: spikes: 5000 spikes; rate sends at most 1000"),
        ({"spikes": 101, "code": "ttfs"}, r"rows, row 2: spikes: 101 spikes; ttfs sends at most 100"),
        ({"operations": 1e6}, r"rows, row 2: operations: more than products in all steps"),
        ({"after": "input", "fan_in": 784}, r"rows, row 2: spikes: other neurons or spikes of 'input' than above"),
    ],
)
def test_bad_rows_are_named(change, says):
    with pytest.raises(InputError, match=says):
        bill_layers([MLP[0], MLP[1] | change])


def test_an_empty_table_is_refused():
    with pytest.raises(InputError, match="rows: no layers"):
        bill_layers([])
