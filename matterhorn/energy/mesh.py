"""Routes on a mesh: X first, then Y; a multicast packet travels the union of its X-Y paths, each link once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

Tile = tuple[int, int]
"""Column and row of a tile."""

Link = tuple[Tile, Tile]
"""From one tile to its neighbour."""


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


def path(source: Tile, target: Tile) -> list[Link]:
    """Links of the X-Y path; its length is the Manhattan distance."""
    links: list[Link] = []
    x, y = source
    while x != target[0]:
        step = x + (1 if target[0] > x else -1)
        links.append(((x, y), (step, y)))
        x = step
    while y != target[1]:
        step = y + (1 if target[1] > y else -1)
        links.append(((x, y), (x, step)))
        y = step
    return links


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
    left = right = x
    upright = 0
    for column, low, high in goals.spans:
        left, right = min(left, column), max(right, column)
        upright += max(high, y) - min(low, y)
    return right - left + upright


def tree(source: Tile, targets: Iterable[Tile]) -> list[Link]:
    """Links of the multicast tree from a tile to all targets: along the source's row, then up and down each column."""
    x, y = source
    spans: dict[int, tuple[int, int]] = {}
    for column, row in targets:
        low, high = spans.get(column, (y, y))
        spans[column] = (min(low, row), max(high, row))
    left, right = min([x, *spans]), max([x, *spans])
    links: list[Link] = [((c + 1, y), (c, y)) for c in range(left, x)]
    links += [((c - 1, y), (c, y)) for c in range(x + 1, right + 1)]
    for column, (low, high) in spans.items():
        links += [((column, r + 1), (column, r)) for r in range(low, y)]
        links += [((column, r - 1), (column, r)) for r in range(y + 1, high + 1)]
    return links
