"""X-Y paths, link by link: what multicast trees are compared with."""

from __future__ import annotations

from matterhorn.energy.mesh import Link, Tile


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
