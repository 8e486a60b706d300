"""A batch in tiles: groups of sequences that stay in the caches, on as many threads as torch may use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

TILE = 256
"""Tokens of a tile, about: their activations fit a core's second-level cache."""

LONG_TILE = 1024
"""The same for tiles that run one by one: a chip's matrices outgrow the caches, so more tokens share a pass."""


def run_tiles(run: Callable[[slice], Tensor], present: Tensor, *, in_turn: bool = False) -> Tensor:
    """``run`` on slices of the batch, results joined. ``present``: bool ``[batch, L]``; ``in_turn``: one by one."""
    threads = 1 if in_turn else torch.get_num_threads()
    tiles = cut(present.sum(1).tolist(), threads, LONG_TILE if in_turn else TILE)
    if len(tiles) == 1:
        return run(tiles[0])
    if threads == 1:
        return torch.cat([run(tile) for tile in tiles])
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return torch.cat(list(pool.map(run, tiles)))


def cut(lengths: list[int], threads: int, most: int = TILE) -> list[slice]:
    """Slices of consecutive sequences of about ``most`` tokens, fewer where threads would stand idle."""
    size = min(most, max(1, -(-sum(lengths) // threads)))
    tiles, start, tokens = [], 0, 0
    for i, length in enumerate(lengths):
        tokens += length
        if tokens >= size:
            tiles.append(slice(start, i + 1))
            start, tokens = i + 1, 0
    if start < len(lengths):
        tiles.append(slice(start, len(lengths)))
    return tiles
