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


def result_lines(a: Activity, chip: Chip, mapping: Mapping, key_bits: int) -> Iterable[Line]:
    """Dense results: partial sums one hop to the neighbouring row group; then K and V bits to the attention tile, and
    potentials that a norm needs to the norm tile. K and V are written there."""
    if a.dynamic:
        return
    bit = dense_bit_energy(chip, mapping)
    partial = chip.state.bits.si * (mapping.groups[a.name].row_groups - 1)
    widths = {"key": key_bits, "value": key_bits, "output": chip.state.bits.si, "ffn2": chip.state.bits.si}
    hops = chip.noc.hops.si
    if chip.noc.route == "counted":
        hops = mapping.results[a.name].hops if a.name in mapping.results else 0.0
    yield a.name, "dense_movement", a.outputs * (partial + widths.get(a.role, 0) * hops) * bit
    if a.role in ("key", "value"):
        yield a.name, "kv_write", a.outputs * key_bits * chip.kv.write.si


def _tiles_reached(a: Activity, mapping: Mapping) -> float:
    """Tiles that one packet is delivered to."""
    return float(mapping.groups[a.name].column_groups) if a.name in mapping.groups else 1.0
