"""What ternary weights and signed spikes cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matterhorn.energy import (
    as_traced,
    bill,
    load,
    make_bill,
)
from matterhorn.energy.study import map_trace
from matterhorn.topology import DYNAMIC

from .synthetic import near


def test_the_sign_of_a_ternary_spike_is_one_more_bit_of_its_packet(small):
    chip = load("rram-22nm")
    mapping, plain = map_trace(small, chip, "digital"), as_traced(small)
    signed = [replace(a, sign_bits=1) for a in plain]
    before, after = (make_bill(acts, small, chip, mapping).lines for acts in (plain, signed))
    bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    for a in plain:
        if a.connection in ("qk", "output", "ffn1", "ffn2"):
            more = after[a.name, "spike_movement"] - before[a.name, "spike_movement"]
            assert more == pytest.approx(a.events * mapping.spike_flow([a]).hops * bit, rel=1e-6)


def with_weights(trace, operand_bits: int, digits: int = 0, zeros: float = 0.0):
    """The same counts with other weights."""
    own = {"operand_bits": operand_bits, "digits": digits, "zeros": zeros}
    changed = {name: c if c.connection in DYNAMIC else replace(c, **own) for name, c in trace.connections.items()}
    return replace(trace, connections=changed)


def test_a_ternary_weight_is_one_pair_on_a_synapse_unit_and_two_bits_on_a_digital_array(small):
    binary, ternary, double = small, with_weights(small, 2, 1, 0.4), with_weights(small, 2)
    unit, own = (bill(trace, "rram-22nm", "msu").by_category for trace in (binary, ternary))
    cell = load("rram-22nm").msu
    high, low = cell.g_on.si, cell.g_off.si
    wanted = unit.pop("msu_conduction") * (0.6 * high + 1.4 * low) / (high + low)
    assert own.pop("msu_conduction") == near(wanted)
    assert own == unit
    one, three, two = (bill(trace, "rram-22nm", "digital") for trace in (binary, ternary, double))
    assert three.by_category["weight_access"] > 1.9 * one.by_category["weight_access"]
    assert three.area == two.area > one.area
    assert three.by_connection["block.0.query"] < two.by_connection["block.0.query"], "one addition, not two"
