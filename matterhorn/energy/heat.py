"""Energy of movement, tile by tile: what the heat map shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .activity import Activity
from .bill import populations
from .chip import Chip
from .mapping import Mapping
from .mesh import Tile, tree
from .movement import population_energy, result_energy


def tile_heat(activities: Sequence[Activity], chip: Chip, mapping: Mapping) -> dict[Tile, float]:
    """J that links into each tile take, on counted routes. Partial sums between row groups are not drawn."""
    heat: dict[Tile, float] = defaultdict(float)
    flows = [
        (mapping.spikes[name], population_energy(sharing[0], chip, mapping))
        for name, sharing in populations(activities).items()
    ]
    flows += [
        (mapping.results[a.name], result_energy(a, chip, mapping)) for a in activities if a.name in mapping.results
    ]
    for flow, energy in flows:
        for route in flow.routes:
            for _, tile in tree(route.sender, route.goals.tiles):
                heat[tile] += energy * route.share
    return dict(heat)
