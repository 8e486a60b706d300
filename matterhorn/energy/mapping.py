"""Mapping of connections to arrays, and of arrays to tiles of a mesh. Hops of every flow are counted on that mesh."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from ..errors import InputError
from ..topology import Site
from .activity import Activity, populations, streams
from .chip import Chip, Msu
from .mesh import Goals, Mesh, Tile, tree_length

Hardware = Literal["digital", "msu"]
"""Digital arrays (SRAM and adders), or memristive synapse units for static weights beside digital attention tiles."""

ORDER = ("query", "key", "value", "attention", "output", "norm", "ffn2", "ffn1")
"""Tile groups of a block in the order in which they are placed: FFN-2 beside the norm tile, as potentials are wide."""

SENDERS = {
    "queries": "query", "probabilities": "attention", "context": "attention", "hidden": "norm", "intermediate": "ffn1",
}  # fmt: skip
"""Tile groups that send populations; input comes from the norm tile of the block before."""

RESULTS = {"key": "attention", "value": "attention", "output": "norm", "ffn2": "norm"}
"""Tile groups that dense results go to: bits of K and V to attention, potentials to the norm tile."""

BAND = 6
"""Width in tiles of a placement band: of 2 … 99, within 5 % of the fewest hops for MiniLM, BERT-base and BERT-large."""


@dataclass(frozen=True)
class Geometry:
    """Rows and columns of one tile, rows of one array in it, area (m²) and leakage (W)."""

    rows: int
    columns: int
    array_rows: int
    area: float
    leakage: float


@dataclass
class Group:
    """Tiles that hold one matrix: ``row_groups`` × ``column_groups``; the row groups of a column lie side by side, so
    that their partial sums travel one hop each. ``arrays`` of the tiles are in use. Of attention tiles a column holds
    heads, a row group a part of their tokens."""

    row_groups: int
    column_groups: int
    arrays: int = 0
    tiles: list[Tile] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.row_groups * self.column_groups

    def row(self, index: int) -> list[Tile]:
        """Tiles of one row group."""
        return self.tiles[index :: self.row_groups]

    def column(self, index: int) -> list[Tile]:
        """Tiles of one column."""
        return self.tiles[index * self.row_groups : (index + 1) * self.row_groups]


@dataclass(frozen=True)
class Route:
    """A multicast route and the share of a flow's packets that take it."""

    share: float
    sender: Tile
    goals: Goals


@dataclass(frozen=True)
class Flow:
    """Where packets of one kind go; a packet that stays in its tile takes no route."""

    routes: tuple[Route, ...]

    @cached_property
    def hops(self) -> float:
        """Mean links that a packet crosses."""
        return sum(r.share * tree_length(r.sender, r.goals) for r in self.routes)

    @cached_property
    def deliveries(self) -> float:
        """Mean tiles that a packet reaches."""
        return sum(r.share * len(r.goals.tiles) for r in self.routes)


@dataclass(frozen=True)
class Mapping:
    """A placed network: groups of tiles by name, flows of spikes by the names of all connections that read them, flows
    of results by connection. ``static_tiles`` hold weights. ``senders``: neurons of one tile that sends a population,
    which a packet has to tell apart."""

    hardware: Hardware
    mesh: Mesh
    tiles: int
    static: Geometry
    digital: Geometry
    groups: dict[str, Group]
    spikes: dict[tuple[str, ...], Flow]
    results: dict[str, Flow]
    static_tiles: int
    senders: dict[Site, int]

    def spike_flow(self, readers: Sequence[Activity]) -> Flow:
        """Flow of the spikes that these connections read."""
        return self.spikes[tuple(a.name for a in readers)]

    def row_groups(self, a: Activity) -> int:
        """Tiles whose partial sums make one potential of a connection."""
        return self.groups[str(Site(a.block, "attention")) if a.dynamic else a.name].row_groups

    @property
    def area(self) -> float:
        """Area of all tiles, m²."""
        return self.static_tiles * self.static.area + (self.tiles - self.static_tiles) * self.digital.area

    @property
    def leakage(self) -> float:
        """Leakage of all tiles, W."""
        return self.static_tiles * self.static.leakage + (self.tiles - self.static_tiles) * self.digital.leakage

    @cached_property
    def edge(self) -> float:
        """Mean edge of a tile, m."""
        static = self.static_tiles / self.tiles
        mean: float = static * self.static.area**0.5 + (1 - static) * self.digital.area**0.5
        return mean


def hardware_of(chip: Chip) -> tuple[Hardware, ...]:
    """Kinds of array that a chip has."""
    return ("digital", "msu") if chip.msu else ("digital",)


def geometry(chip: Chip, hardware: Hardware) -> Geometry:
    """Geometry of the tiles that hold static weights.

    Raises:
        InputError: there is no such hardware, or the chip has none of it.
    """
    if hardware not in get_args(Hardware):
        raise InputError(f"no hardware {hardware!r}", field="hardware", cure=f"give {' or '.join(get_args(Hardware))}")
    part = chip.core if hardware == "digital" else chip.msu
    if part is None:
        raise InputError(f"{chip.name} has no synapse unit", field="msu", cure="choose another chip, or add msu to it")
    rows = int(part.rows.si)
    stacked = int(part.stacked.si) if isinstance(part, Msu) else 1
    return Geometry(stacked * rows, int(part.columns.si), rows, part.area.si, part.leakage.si)


def split(activity: Activity, place: Geometry, width: int) -> Group:
    """Cut a weight matrix into tiles; ``width``: columns that a weight takes."""
    columns = activity.fan_out * width
    column_groups = math.ceil(columns / place.columns)
    arrays = math.ceil(activity.fan_in / place.array_rows) * column_groups
    return Group(math.ceil(activity.fan_in / place.rows), column_groups, arrays)


def place(activities: Sequence[Activity], chip: Chip, hardware: Hardware, longest: int) -> Mapping:
    """Place all blocks in serpentine order and count the hops of every flow.

    Args:
        activities: connections (only their shapes and windows are read). longest: tokens of the longest sequence; it
            decides how many heads share the KV memory of an attention tile.

    Raises:
        InputError: the chip has no such arrays, or its mesh is too small.
    """
    static, digital = geometry(chip, hardware), geometry(chip, "digital")
    blocks: dict[int, list[Activity]] = defaultdict(list)
    for a in sorted(activities, key=lambda a: a.block):
        blocks[a.block].append(a)
    groups = {"embedding": Group(1, 1)}
    for index, block in blocks.items():
        own = {
            a.connection: split(a, static, a.digits if hardware == "msu" else a.operand_bits)
            for a in block
            if not a.dynamic
        }
        own |= {"attention": _attention(block, chip, longest), "norm": Group(1, 1)}
        groups |= {str(Site(index, part)): own[part] for part in ORDER}
    mesh, tiles = _fill(groups, chip)
    spikes: dict[tuple[str, ...], Flow] = {}
    results: dict[str, Flow] = {}
    senders: dict[Site, int] = {}
    previous = groups["embedding"]
    for index, block in blocks.items():
        parts = {part: groups[str(Site(index, part))] for part in ORDER}
        for site, sharing in populations(block).items():
            source = previous if site.part == "input" else parts[SENDERS[site.part]]
            senders[site] = math.ceil(sharing[0].fan_in * sharing[0].heads / source.column_groups)
            for sent, readers in streams(sharing):
                spikes[tuple(a.name for a in readers)] = _spike_flow(sent, readers, source, parts, static)
        for connection, goal in RESULTS.items():
            results[str(Site(index, connection))] = _to_one(parts[connection], parts[goal])
        previous = parts["norm"]
    held = sum(groups[a.name].count for a in activities if not a.dynamic)
    return Mapping(hardware, mesh, tiles, static, digital, groups, spikes, results, held, senders)


def place_layers(activities: Sequence[Activity], chip: Chip, hardware: Hardware) -> Mapping:
    """Place layers one after the other, whatever feeds them (the part of their source: a layer, or ``input``)."""
    static, digital = geometry(chip, hardware), geometry(chip, "digital")
    groups = {"input": Group(1, 1)}
    groups |= {a.name: split(a, static, a.digits if hardware == "msu" else a.operand_bits) for a in activities}
    mesh, tiles = _fill(groups, chip)
    spikes = {
        tuple(a.name for a in readers): _multicast(
            groups[site.part], [groups[a.name] for a in readers], sent.fan_in, static
        )
        for site, sharing in populations(activities).items()
        for sent, readers in streams(sharing)
    }
    neurons = {a.name: a.fan_out for a in activities}
    senders = {
        site: math.ceil(neurons.get(site.part, sharing[0].fan_in) / groups[site.part].column_groups)
        for site, sharing in populations(activities).items()
    }
    return Mapping(hardware, mesh, tiles, static, digital, groups, spikes, {}, tiles - 1, senders)


def _fill(groups: dict[str, Group], chip: Chip) -> tuple[Mesh, int]:
    """Give every group its tiles, in order; the mesh and how many tiles of it are taken."""
    tiles = sum(group.count for group in groups.values())
    mesh = Mesh.for_tiles(tiles, BAND)
    if mesh.rows > chip.mesh.rows.si or mesh.columns > chip.mesh.columns.si:
        raise InputError(
            f"the network needs a mesh of {mesh.columns} x {mesh.rows} tiles, {chip.name} has "
            f"{chip.mesh.columns.text} x {chip.mesh.rows.text}",
            field="mesh", cure="choose a larger chip or smaller network, or --set mesh.rows and mesh.columns",
        )  # fmt: skip
    free = iter(range(tiles))
    for group in groups.values():
        group.tiles = [mesh.tile(next(free)) for _ in range(group.count)]
    return mesh, tiles


def _attention(block: Sequence[Activity], chip: Chip, longest: int) -> Group:
    """Tiles with the keys and values of as many heads as fit in each; a head that fits in none has several side by
    side, each with a part of the tokens."""
    qk = next(a for a in block if a.connection == "qk")
    head = 2 * longest * qk.fan_in * qk.operand_bits
    heads = max(1, int(chip.kv.size.si // head))
    return Group(math.ceil(head / chip.kv.size.si), math.ceil(qk.heads / heads))


def _spike_flow(
    sent: Activity, readers: Sequence[Activity], source: Group, parts: dict[str, Group], static: Geometry
) -> Flow:
    """Where the spikes of one population go. Probabilities stay in their attention tile, and queries go to the tiles
    that hold their head."""
    population = sent.source.part
    if population == "probabilities":
        return Flow(())
    if population == "queries":
        pairs = _pairs(source, parts["attention"])
        return Flow(tuple(Route(1 / len(pairs), sender, Goals(tuple(tiles))) for sender, tiles in pairs))
    return _multicast(source, [parts[a.connection] for a in readers], sent.fan_in, static)


def _multicast(sources: Group, targets: Sequence[Group], fan_in: int, static: Geometry) -> Flow:
    """A neuron's packet reaches every column tile of its row group, in all target groups, over one tree."""
    routes = []
    senders = sources.row(0)
    for row_group in range(targets[0].row_groups):
        low, high = row_group * static.rows, min(fan_in, (row_group + 1) * static.rows)
        goals = Goals(tuple(tile for group in targets for tile in group.row(row_group)))
        for position, sender in enumerate(senders):
            begin, end = position * fan_in / len(senders), (position + 1) * fan_in / len(senders)
            share = (min(end, high) - max(begin, low)) / fan_in
            if share > 0:
                routes.append(Route(share, sender, goals))
    return Flow(tuple(routes))


def _to_one(sources: Group, targets: Group) -> Flow:
    """A result goes to one tile of its column: a key or value to the one that holds its token."""
    pairs = _pairs(sources, targets)
    share = 1 / len(pairs) / targets.row_groups
    return Flow(tuple(Route(share, sender, Goals((tile,))) for sender, tiles in pairs for tile in tiles))


def _pairs(sources: Group, targets: Group) -> list[tuple[Tile, list[Tile]]]:
    """Source tiles with the column of target tiles that they send to: of their heads, or the only one."""
    senders = sources.row(0)
    count = max(len(senders), targets.column_groups)
    return [
        (senders[i * len(senders) // count], targets.column(i * targets.column_groups // count)) for i in range(count)
    ]
