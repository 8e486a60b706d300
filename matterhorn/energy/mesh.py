"""Routes on a mesh, first along X, then along Y. A multicast packet uses each link of its X-Y paths only once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

Tile = tuple[int, int]
"""Column and row of a tile."""

Link = tuple[Tile, Tile]
"""From one tile to its neighbor."""


@dataclass(frozen=True)
class Mesh:
    """A mesh of ``columns`` × ``rows`` tiles, filled in vertical bands, each in serpentine rows ``band`` tiles wide, so
    that tiles which follow one another stay close in both directions."""

    columns: int
    rows: int
    band: int

    @classmethod
    def for_tiles(cls, count: int, band: int) -> Mesh:
        """The most square mesh of whole bands that holds ``count`` tiles."""
        columns = band * max(1, round(math.sqrt(count) / band))
        return cls(columns, math.ceil(count / columns), band)

    def tile(self, index: int) -> Tile:
        """Place of the tile that is filled ``index``-th."""
        strip, inside = divmod(index, self.band * self.rows)
        row, column = divmod(inside, self.band)
        column = column if row % 2 == 0 else self.band - 1 - column
        return (strip * self.band + column, row if strip % 2 == 0 else self.rows - 1 - row)


@dataclass(frozen=True, eq=False)
class Goals:
    """Tiles that one packet must reach."""

    tiles: tuple[Tile, ...]

    @cached_property
    def spans(self) -> tuple[tuple[int, int, int], ...]:
        """Column, lowest row and highest row of the tiles, for each column."""
        low: dict[int, int] = {}
        high: dict[int, int] = {}
        for column, row in self.tiles:
            low[column] = min(low.get(column, row), row)
            high[column] = max(high.get(column, row), row)
        return tuple((column, low[column], high[column]) for column in low)


def tree_length(source: Tile, goals: Goals) -> int:
    """Number of links of :func:`tree`, without listing them."""
    x, y = source
    columns = [x, *(column for column, _, _ in goals.spans)]
    return max(columns) - min(columns) + sum(max(high, y) - min(low, y) for _, low, high in goals.spans)


def tree(source: Tile, goals: Goals) -> list[Link]:
    """Links of the multicast tree from a tile to all goals: along the source's row, then up and down each column."""
    x, y = source
    columns = [x, *(column for column, _, _ in goals.spans)]
    links: list[Link] = [((c + 1, y), (c, y)) for c in range(min(columns), x)]
    links += [((c - 1, y), (c, y)) for c in range(x + 1, max(columns) + 1)]
    for column, low, high in goals.spans:
        links += [((column, r + 1), (column, r)) for r in range(low, y)]
        links += [((column, r - 1), (column, r)) for r in range(y + 1, high + 1)]
    return links
