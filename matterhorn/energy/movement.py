"""Energy of movement over the mesh, in J: spikes, dense words and results."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from .activity import Activity, populations, streams
from .chip import Chip
from .computing import Line, combined, store_lines
from .mapping import Flow, Mapping
from .mesh import Tile, tree


def packet_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """One spike packet over one hop, J. Its bits are header, sender's tile and the neuron in it; its time is its value
    and needs none."""
    hop = chip.noc.hop
    tile, neuron = (math.ceil(math.log2(max(2, count))) for count in (mapping.tiles, mapping.senders[a.source]))
    bits = hop.header.si + tile + neuron + a.sign_bits
    return hop.energy.si + bits * (hop.bit.si + chip.noc.wire.si * mapping.edge)


def dense_bit_energy(chip: Chip, mapping: Mapping) -> float:
    """One bit of a packed word over one hop, J."""
    return chip.noc.dense.si + chip.noc.wire.si * mapping.edge


def sent_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """What a connection's source sends it over one hop, J. A train may go as raw bits where these are cheaper than
    packets."""
    bit = dense_bit_energy(chip, mapping)
    if a.form == "word":
        return a.windows * a.level_bits * bit
    packets = a.events * packet_energy(a, chip, mapping)
    if a.form == "spike" or chip.noc.train == "packet":
        return packets
    cheaper: float = np.minimum(packets, a.windows * a.steps * (1 + a.sign_bits) * bit)
    return cheaper


def spike_lines(sharing: Sequence[Activity], chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """Movement of one population. One packet serves all connections that read it: on counted routes they share its
    energy evenly, being of one size; with fixed hops each pays for its own deliveries."""
    category = "dense_movement" if sharing[0].form == "word" else "spike_movement"
    if chip.noc.route == "counted":
        for sent, readers in streams(sharing):
            flow = mapping.spike_flow(readers)
            energy = sent_energy(sent, chip, mapping) * flow.hops
            if sent.form != "word":
                energy += sent.events * flow.deliveries * chip.noc.message.si
            for a in readers:
                yield a.name, category, energy / len(readers)
        return
    for a in sharing:
        reached = mapping.groups[a.name].column_groups if a.name in mapping.groups else 1
        deliveries = a.fan if chip.noc.delivery == "synapse" else reached
        yield a.name, category, sent_energy(a, chip, mapping) * chip.noc.hops.si * deliveries


def result_energy(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """Dense results over one hop, J: K and V bits for the attention tile, potentials for the norm tile."""
    bits = {"key": a.key_bits, "value": a.key_bits, "output": chip.state.bits.si, "ffn2": chip.state.bits.si}
    return a.outputs * bits.get(a.connection, 0) * dense_bit_energy(chip, mapping)


def result_lines(a: Activity, chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """Dense results: partial sums one hop to the neighboring row group (a row's maximum and sum of scores there and
    back), then the whole to its tile. K and V are compared with their thresholds and written there."""
    moved = combined(a) * (2 if a.connection == "qk" else 1) * (mapping.row_groups(a) - 1)
    parts = moved * chip.state.bits.si * dense_bit_energy(chip, mapping)
    if a.dynamic:
        yield a.name, "dense_movement", parts
        return
    hops = chip.noc.hops.si
    if chip.noc.route == "counted":
        hops = mapping.results[a.name].hops if a.name in mapping.results else 0.0
    yield a.name, "dense_movement", parts + hops * result_energy(a, chip, mapping)
    if a.connection in ("key", "value"):
        yield from store_lines(a, chip)


def tile_heat(activities: Sequence[Activity], chip: Chip, mapping: Mapping) -> dict[Tile, float]:
    """J that links into each tile take, on counted routes. Partial sums between row groups are not drawn."""
    flows: list[tuple[Flow, float]] = [
        (mapping.spike_flow(readers), sent_energy(sent, chip, mapping))
        for sharing in populations(activities).values()
        for sent, readers in streams(sharing)
    ]
    flows += [(mapping.results[a.name], result_energy(a, chip, mapping)) for a in activities
              if a.name in mapping.results]  # fmt: skip
    heat: dict[Tile, float] = defaultdict(float)
    for flow, energy in flows:
        for route in flow.routes:
            for _, tile in tree(route.sender, route.goals):
                heat[tile] += energy * route.share
    return dict(heat)
