"""Mapping: connections to arrays, arrays to tiles of a mesh, and the hops of every flow, counted on the placed mesh."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ..errors import InputError
from .activity import Activity
from .chip import Chip
from .mesh import Goals, Mesh, Tile, tree_length

Hardware = Literal["digital", "msu"]
"""Digital arrays (SRAM and adders), or memristive synapse units for static weights beside digital attention tiles."""

ORDER = ("query", "key", "value", "attention", "output", "norm", "ffn2", "ffn1")
"""Tile groups of a block in the order in which they are placed: FFN-2 beside the norm tile, as potentials are wide."""


BAND = 6
"""Width in tiles of a placement band: of 2 … 99, within 5 % of the fewest hops for MiniLM, BERT-base and BERT-large."""


@dataclass(frozen=True)
class Geometry:
    """Rows and columns of one tile, of one array in it, its edge (m), area (m²) and leakage (W)."""

    rows: int
    columns: int
    array_rows: int
    edge: float
    area: float
    leakage: float


@dataclass
class Group:
    """Tiles that hold one matrix: ``row_groups`` × ``column_groups``; the row groups of a column lie side by side, so
    that their partial sums travel one hop each."""

    row_groups: int
    column_groups: int
    arrays: int
    utilisation: float
    tiles: list[Tile] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.row_groups * self.column_groups

    def row(self, index: int) -> list[Tile]:
        """Tiles of one row group."""
        return self.tiles[index :: self.row_groups]


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


@dataclass(frozen=True)
class Mapping:
    """A placed network: groups by connection name, flows of spikes by population, flows of results by connection."""

    hardware: Hardware
    mesh: Mesh
    tiles: int
    static: Geometry
    digital: Geometry
    groups: dict[str, Group]
    spikes: dict[str, Flow]
    results: dict[str, Flow]
    static_tiles: int

    @property
    def area(self) -> float:
        """Area of all tiles, m²."""
        return self.static_tiles * self.static.area + (self.tiles - self.static_tiles) * self.digital.area

    @property
    def leakage(self) -> float:
        """Leakage of all tiles, W."""
        return self.static_tiles * self.static.leakage + (self.tiles - self.static_tiles) * self.digital.leakage

    @property
    def edge(self) -> float:
        """Mean edge of a tile, m."""
        digital = self.tiles - self.static_tiles
        return (self.static_tiles * self.static.edge + digital * self.digital.edge) / self.tiles


def hardware_of(chip: Chip) -> tuple[Hardware, ...]:
    """Kinds of array that a chip has."""
    return ("digital", "msu") if chip.msu else ("digital",)


def geometry(chip: Chip, hardware: Hardware) -> Geometry:
    """Geometry of the tiles that hold static weights."""
    if hardware == "digital":
        core = chip.core
        rows = int(core.rows.si)
        return Geometry(rows, int(core.columns.si), rows, math.sqrt(core.area.si), core.area.si, core.leakage.si)
    if chip.msu is None:
        raise InputError(f"{chip.name} has no synapse unit", field="msu", cure="choose another chip, or add msu to it")
    unit = chip.msu
    rows = int(unit.rows.si)
    tall = rows * int(unit.stacked.si)
    return Geometry(tall, int(unit.columns.si), rows, math.sqrt(unit.area.si), unit.area.si, unit.leakage.si)


def split(activity: Activity, place: Geometry) -> Group:
    """Cut a weight matrix into tiles; weights of several bits take several columns."""
    columns = activity.fan_out * activity.operand_bits
    group = Group(
        row_groups=math.ceil(activity.fan_in / place.rows),
        column_groups=math.ceil(columns / place.columns),
        arrays=math.ceil(activity.fan_in / place.array_rows) * math.ceil(columns / place.columns),
        utilisation=0.0,
    )
    used = activity.fan_in * columns / (group.arrays * place.array_rows * place.columns)
    return Group(group.row_groups, group.column_groups, group.arrays, used)


def place(activities: Sequence[Activity], chip: Chip, hardware: Hardware, longest: int) -> Mapping:
    """Place all blocks in serpentine order and count the hops of every flow.

    Args:
        activities: connections (only their shapes are read). longest: tokens of the longest sequence; it decides how
            many heads share the KV memory of an attention tile.
    """
    static, digital = geometry(chip, hardware), geometry(chip, "digital")
    blocks = _by_block(activities)
    layout: list[tuple[str, Group]] = [("embedding", Group(1, 1, 0, 1.0))]
    for index, block in blocks.items():
        for part in ORDER:
            layout.append((f"block.{index}.{part}", _group(part, block, chip, static, longest)))
    total = sum(group.count for _, group in layout)
    mesh = Mesh.for_tiles(total, BAND)
    _check_size(mesh, chip)
    groups: dict[str, Group] = {}
    position = 0
    for name, group in layout:
        group.tiles = [mesh.tile(position + i) for i in range(group.count)]
        position += group.count
        groups[name] = group
    spikes: dict[str, Flow] = {}
    results: dict[str, Flow] = {}
    previous = groups["embedding"]
    for index, block in blocks.items():
        parts = {part: groups[f"block.{index}.{part}"] for part in ORDER}
        _spike_flows(block, parts, previous, static, spikes)
        _result_flows(block, parts, results)
        previous = parts["norm"]
    held = sum(g.count for n, g in groups.items() if n.rsplit(".", 1)[-1] not in ("embedding", "attention", "norm"))
    return Mapping(hardware, mesh, position, static, digital, groups, spikes, results, held)


def _by_block(activities: Sequence[Activity]) -> dict[int, dict[str, Activity]]:
    blocks: dict[int, dict[str, Activity]] = defaultdict(dict)
    for activity in activities:
        blocks[activity.block][activity.role] = activity
    return dict(sorted(blocks.items()))


def _group(part: str, block: dict[str, Activity], chip: Chip, static: Geometry, longest: int) -> Group:
    if part == "norm":
        return Group(1, 1, 0, 1.0)
    if part == "attention":
        scores = block["scores"]
        per_head = 2 * longest * scores.fan_in * scores.operand_bits
        per_tile = max(1, int(chip.kv.size.si // per_head))
        tiles = math.ceil(scores.heads / per_tile)
        return Group(1, tiles, 0, scores.heads / (per_tile * tiles))
    return split(block[part], static)


def _check_size(mesh: Mesh, chip: Chip) -> None:
    if mesh.rows > chip.mesh.rows.si or mesh.columns > chip.mesh.columns.si:
        raise InputError(
            f"the network needs a mesh of {mesh.columns} x {mesh.rows} tiles, {chip.name} has "
            f"{chip.mesh.columns.text} x {chip.mesh.rows.text}",
            field="mesh", cure="choose a larger chip or smaller network, or --set mesh.rows and mesh.columns",
        )  # fmt: skip


def _spike_flows(
    block: dict[str, Activity], parts: dict[str, Group], previous: Group, static: Geometry, flows: dict[str, Flow]
) -> None:
    """Flows of the block's five populations; probabilities stay in their attention tile."""
    shared = [parts["query"], parts["key"], parts["value"]]
    flows[block["query"].population] = _multicast(previous, shared, block["query"].fan_in, static)
    flows[block["scores"].population] = _pairwise(parts["query"], parts["attention"])
    flows[block["context"].population] = Flow(())
    flows[block["output"].population] = _multicast(
        parts["attention"], [parts["output"]], block["output"].fan_in, static
    )
    flows[block["ffn1"].population] = _multicast(parts["norm"], [parts["ffn1"]], block["ffn1"].fan_in, static)
    flows[block["ffn2"].population] = _multicast(parts["ffn1"], [parts["ffn2"]], block["ffn2"].fan_in, static)


def _result_flows(block: dict[str, Activity], parts: dict[str, Group], flows: dict[str, Flow]) -> None:
    """Flows of dense results from the first row group: K and V bits to attention, potentials to the norm tile."""
    for role in ("key", "value"):
        flows[block[role].name] = _pairwise(parts[role], parts["attention"])
    for role in ("output", "ffn2"):
        flows[block[role].name] = _gather(parts[role].row(0), parts["norm"].tiles[0])


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


def _pairwise(sources: Group, targets: Group) -> Flow:
    """Each source tile sends to the one target tile that holds its head."""
    senders = sources.row(0)
    goals = [targets.tiles[i * targets.count // len(senders)] for i in range(len(senders))]
    return Flow(tuple(Route(1 / len(senders), s, Goals((g,))) for s, g in zip(senders, goals, strict=True)))


def _gather(senders: Sequence[Tile], goal: Tile) -> Flow:
    """One packet from every sender to one tile."""
    goals = Goals((goal,))
    return Flow(tuple(Route(1 / len(senders), sender, goals) for sender in senders))
