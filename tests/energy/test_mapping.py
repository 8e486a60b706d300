from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from matterhorn.energy import SHAPES, coding, lay, load, make_bill, place, recode
from matterhorn.energy.mesh import Goals, Mesh, tree, tree_length
from matterhorn.energy.movement import packet_energy
from matterhorn.energy.study import map_trace
from matterhorn.errors import InputError
from matterhorn.topology import TARGETS

from .routes import path
from .synthetic import near


def test_a_multicast_tree_is_the_union_of_xy_paths():
    rng = np.random.default_rng(0)
    for _ in range(200):
        tiles = [tuple(int(v) for v in rng.integers(0, 9, 2)) for _ in range(rng.integers(2, 9))]
        source, *targets = tiles
        union = {link for target in targets for link in path(source, target)}
        goals = Goals(tuple(targets))
        links = tree(source, goals)
        assert set(links) == union and len(links) == len(union) == tree_length(source, goals)


def test_the_mesh_is_filled_without_gaps_or_doubles():
    mesh = Mesh.for_tiles(137, 6)
    tiles = [mesh.tile(i) for i in range(137)]
    assert len(set(tiles)) == 137
    assert all(0 <= x < mesh.columns and 0 <= y < mesh.rows for x, y in tiles)
    steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(tiles)]
    assert max(steps) <= mesh.band


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("hardware", ["digital", "msu"])
def test_hops_are_counted_for_all_shapes(minilm, shape, hardware):
    laid = lay(minilm, SHAPES[shape], 128)
    chip = load("rram-22nm")
    mapping = map_trace(laid, chip, hardware)
    sizes = SHAPES[shape]
    assert mapping.tiles == sum(g.count for g in mapping.groups.values()) <= mapping.mesh.columns * mapping.mesh.rows
    for readers, flow in mapping.spikes.items():
        local = readers[0].endswith("pv")
        assert flow.hops == 0 if local else flow.hops >= 1
        assert local or sum(route.share for route in flow.routes) == pytest.approx(1)
    entry = mapping.spikes["block.1.query", "block.1.key", "block.1.value"]
    needed = 3 * -(-sizes.width // mapping.static.columns)
    assert all(len(route.goals.tiles) == needed <= len(tree(route.sender, route.goals)) + 1 for route in entry.routes)
    query = mapping.groups["block.0.query"]
    assert query.arrays == -(-sizes.width // mapping.static.array_rows) * -(-sizes.width // mapping.static.columns)


def test_packets_that_only_keys_and_values_read_have_a_route_of_their_own(minilm):
    mapping = map_trace(minilm, load("rram-22nm"), "digital")
    names = {(block, part): tuple(f"block.{block}.{c}" for c in readers) for block in range(6)
             for part, readers in TARGETS.items()}  # fmt: skip
    assert set(mapping.spikes) == {*names.values(), ("block.5.key", "block.5.value")}
    two, three = (mapping.spikes[key].routes for key in (("block.5.key", "block.5.value"), names[5, "input"]))
    query = mapping.groups["block.5.query"].tiles
    for some, every in zip(two, three, strict=True):
        assert some.sender == every.sender and set(every.goals.tiles) - set(some.goals.tiles) == set(query)


@pytest.mark.parametrize(("longest", "tiles"), [(64, 1), (128, 2), (512, 6)])
def test_attention_tiles_hold_the_keys_and_values_of_as_many_heads_as_fit(minilm, longest, tiles):
    """12 heads of 2 · longest · 32 one-bit elements, 65,536 bits a tile."""
    mapping = place(recode(minilm, coding("dense")), load("rram-22nm"), "digital", longest)
    assert mapping.groups["block.0.attention"].count == tiles


def test_a_head_that_fits_in_no_tile_has_several(base):
    """64 neurons, 128 tokens, 4 bits fill a tile; of half its size a head takes two, each with half of its tokens."""
    spikes = [replace(a, operand_bits=4) if a.dynamic else a for a in recode(base, coding("ttfs"))]
    whole, half = load("rram-22nm"), load("rram-22nm", ["kv.size=32768 bit"])
    one, two = (place(spikes, chip, "digital", 128) for chip in (whole, half))
    groups = [mapping.groups["block.3.attention"] for mapping in (one, two)]
    assert [(g.row_groups, g.column_groups) for g in groups] == [(1, 12), (2, 12)]
    assert two.area - one.area == near(12 * 12 * whole.core.area.si)
    assert two.leakage - one.leakage == near(12 * 12 * whole.core.leakage.si)
    query = two.groups["block.3.query"].tiles
    asked, stored = two.spikes[("block.3.qk",)].routes, two.results["block.3.key"].routes
    for head, (route, sender) in enumerate(zip(asked, query, strict=True)):
        assert (route.sender, list(route.goals.tiles)) == (sender, groups[1].column(head)), "all of its tiles"
    assert [r.goals.tiles for r in stored] == [(tile,) for tile in groups[1].tiles], "one of them, evenly"
    assert sum(r.share for r in stored) == pytest.approx(1)
    lines = make_bill(spikes, base, half, two).lines
    bit = 16 * (half.noc.dense.si + half.noc.wire.si * two.edge)
    assert lines["block.3.pv", "dense_movement"] == near(128 * 768 * bit), "partial sums of context"
    assert lines["block.3.qk", "dense_movement"] == near(128 * 12 * 2 * 2 * bit), "maximum and sum, there and back"
    added = lines["block.3.pv", "computing"] - make_bill(spikes, base, whole, one).lines["block.3.pv", "computing"]
    assert added == pytest.approx(128 * 768 * half.logic.add.si, rel=1e-6)


def test_heads_that_share_a_query_tile_each_have_their_own_attention_tile(minilm):
    """At 512 tokens: a synapse unit's 128 columns are queries of two heads, which lie in two attention tiles."""
    mapping = map_trace(lay(minilm, SHAPES["bert-base"], 512), load("rram-22nm"), "msu")
    routes = mapping.spikes[("block.3.qk",)].routes
    assert [r.goals.tiles[0] for r in routes] == mapping.groups["block.3.attention"].tiles
    assert {r.sender for r in routes} == set(mapping.groups["block.3.query"].tiles)


def test_a_network_that_does_not_fit_says_so(base):
    with pytest.raises(InputError, match=r"needs a mesh of .* tiles"):
        map_trace(base, load("rram-22nm", ["mesh.rows=4"]), "digital")


def test_a_chip_without_synapse_units_says_so(small):
    with pytest.raises(InputError, match="no synapse unit"):
        place(recode(small, coding("dense")), load("loihi"), "msu", 9)


def test_fixed_hops_are_an_option(base):
    fixed = load("rram-22nm", ["noc.route=fixed"])
    twice = load("rram-22nm", ["noc.route=fixed", "noc.hops=9.5"])
    mapping = map_trace(base, fixed, "digital")
    spikes = recode(base, coding("mttfs-k2"))
    a, b = (make_bill(spikes, base, chip, mapping).by_category["spike_movement"] for chip in (fixed, twice))
    assert b == near(2 * a)


@pytest.mark.parametrize(("hardware", "columns"), [("digital", 64), ("msu", 128)])
def test_packets_name_the_neuron_that_sends(base, hardware, columns):
    """Norm tiles send for 768 neurons, attention tiles for four of twelve heads, all others for their columns."""
    chip = load("rram-22nm")
    mapping, neurons = map_trace(base, chip, hardware), {"input": 768, "hidden": 768, "context": 4 * 64}
    hop_bit = chip.noc.hop.bit.si + chip.noc.wire.si * mapping.edge
    for code in ("ttfs", "rate", "mttfs-k3"):
        for a in recode(base, coding(code)):
            if (part := a.source.part) != "probabilities":
                assert neurons.get(part, columns) == mapping.senders[a.source], part
                name = {768: 10, 256: 8, 128: 7, 64: 6}[neurons.get(part, columns)]
                bits = 2 + int(np.ceil(np.log2(mapping.tiles))) + name
                assert packet_energy(a, chip, mapping) == near(bits * hop_bit)


def test_every_head_has_its_attention_tile(minilm):
    """At 512 tokens a tile holds the keys and values of one head: 12 tiles, each fed by the query tile of its head."""
    trace = lay(minilm, SHAPES["bert-base"], 512)
    mapping = map_trace(trace, load("rram-22nm"), "digital")
    attention, query = (mapping.groups[f"block.3.{part}"].tiles for part in ("attention", "query"))
    assert len(attention) == len(query) == 12
    routes = mapping.spikes[("block.3.qk",)].routes
    assert {(route.sender, *route.goals.tiles) for route in routes} == set(zip(query, attention, strict=True))
    stored = mapping.results["block.3.key"].routes
    assert [route.goals.tiles[0] for route in stored] == attention
