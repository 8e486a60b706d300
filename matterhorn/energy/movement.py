"""Energy of movement over the mesh: spikes, dense words and results. J throughout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .activity import Activity, Line
from .chip import Chip
from .mapping import Mapping


def packet_bits(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """Bits of a spike packet: header, sender's tile, sender's neuron. Its time is its value and needs none."""
    tile = math.ceil(math.log2(max(2, mapping.tiles)))
    neuron = math.ceil(math.log2(max(2, mapping.static.columns)))
    return chip.noc.hop.header.si + tile + neuron + a.sign_bits


def packet_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """One spike packet over one hop, J."""
    hop = chip.noc.hop
    wire = chip.noc.wire.si * mapping.edge
    return hop.energy.si + packet_bits(a, chip, mapping) * (hop.bit.si + wire)


def dense_bit_energy(chip: Chip, mapping: Mapping) -> float:
    """One bit of a packed word over one hop, J."""
    return chip.noc.dense.si + chip.noc.wire.si * mapping.edge


def population_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """What a population sends over one hop, J. A train may go as raw bits where these are cheaper than packets."""
    bit = dense_bit_energy(chip, mapping)
    if a.form == "word":
        return a.windows * a.level_bits * bit
    packets = a.events * packet_energy(a, chip, mapping)
    if a.form == "spike" or chip.noc.train == "packet":
        return packets
    return min(packets, a.windows * a.steps * (1 + a.sign_bits) * bit)


def spike_lines(sharing: Sequence[Activity], chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """Movement of one population, shared among the connections that it feeds by the hops each would need."""
    category = "dense_movement" if sharing[0].form == "word" else "spike_movement"
    energy = population_energy(sharing[0], chip, mapping)
    if chip.noc.route == "counted":
        hops = mapping.spikes[sharing[0].population].hops
        tiles = [mapping.groups[a.name].count if a.name in mapping.groups else 1 for a in sharing]
        for a, count in zip(sharing, tiles, strict=True):
            yield a.name, category, energy * hops * count / sum(tiles)
        return
    for a in sharing:
        deliveries = a.fan if chip.noc.delivery == "synapse" else _tiles_reached(a, mapping)
        yield a.name, category, energy * chip.noc.hops.si * deliveries


def result_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """Dense results over one hop, J: K and V bits for the attention tile, potentials for the norm tile."""
    if a.role in ("key", "value"):
        return a.outputs * a.key_bits * dense_bit_energy(chip, mapping)
    if a.role in ("output", "ffn2"):
        return a.outputs * chip.state.bits.si * dense_bit_energy(chip, mapping)
    return 0.0


def result_lines(a: Activity, chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """Dense results of a static connection: partial sums one hop to the neighbouring row group, then the whole to its
    tile. K and V are compared with their thresholds and written there."""
    if a.dynamic:
        return
    parts = a.outputs * chip.state.bits.si * (mapping.groups[a.name].row_groups - 1) * dense_bit_energy(chip, mapping)
    hops = chip.noc.hops.si
    if chip.noc.route == "counted":
        hops = mapping.results[a.name].hops if a.name in mapping.results else 0.0
    yield a.name, "dense_movement", parts + hops * result_energy(a, chip, mapping)
    if a.role in ("key", "value"):
        yield a.name, "computing", a.outputs * chip.logic.compare.si
        yield a.name, "kv_write", a.outputs * a.key_bits * chip.kv.write.si


def _tiles_reached(a: Activity, mapping: Mapping) -> float:
    """Tiles that one packet is delivered to."""
    return float(mapping.groups[a.name].column_groups) if a.name in mapping.groups else 1.0
