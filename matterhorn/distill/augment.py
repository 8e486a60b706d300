"""New rows made of given ones. They have no labels: the teacher says what they mean."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..tasks.rows import WHOLE_SENTENCE
from ..tasks.tokens import Tokens

NEIGHBORS, REPLACED = 12, 0.3
"""Of :func:`reword`: how many tokens count as similar, and the share of tokens that are replaced."""

LARGEST = 0.7
"""Of :func:`recombine`: at most this share of a sentence is exchanged."""

PARTNERS = 10
"""Of :func:`rematch`: how many second sentences count as similar to a first one."""


def reword(rows: Tokens, table: Tensor, words: list[int], count: int, seed: int) -> Tokens:
    """Given rows, long ones more often, with about a third of their words replaced by words of similar meaning (as
    TinyBERT augments its data, arXiv 1909.10351).

    A word that occurs twice in a row is replaced by the same word, so that two sentences go on sharing what they share.

    Args:
        table: embeddings of all tokens, ``[vocabulary, width]``.
        words: tokens that may be replaced and put in: those of the rows only, or a whole vocabulary, so that the
            student meets words that no training row has. Similar are the :data:`NEIGHBORS` of largest cosine.
    """
    others = neighbors(rows, table, words)
    draw = random.Random(seed)
    chosen = draw.choices(range(len(rows)), weights=[len(row) for row in rows.ids], k=count)
    ids = []
    for i in chosen:
        own = sorted(set(rows.ids[i]) & others.keys())
        new = {word: draw.choice(others[word]) for word in own if draw.random() < REPLACED}
        ids.append([new.get(token, token) for token in rows.ids[i]])
    return replace(rows, ids=ids, types=[rows.types[i] for i in chosen], labels=[])


def recombine(rows: Tokens, count: int, seed: int) -> Tokens:
    """Long rows in which a piece that is a row itself makes room for another row of the same length (as TreeMix does
    with the parts of a parse tree, arXiv 2205.06153).

    SST-2's rows are all the constituents of a few thousand sentences: what a student reads of them again and again are
    the same sentences, while those it will be asked about are new.

    Raises:
        InputError: no row is a piece of another one (tasks other than SST-2).
    """
    bodies = sorted({tuple(row[1:-1]) for row in rows.ids})
    pieces, alike = set(bodies), defaultdict(list)
    for body in bodies:
        alike[len(body)].append(body)
    found = ((body, _pieces(body, pieces)) for body in bodies if len(body) >= WHOLE_SENTENCE)
    sentences = [(body, spans) for body, spans in found if spans]
    if not sentences:
        raise InputError("no row is a piece of another", field="recombined", cure="leave it out of the recipe")
    draw, first, last = random.Random(seed), rows.ids[0][0], rows.ids[0][-1]
    ids = []
    for body, spans in draw.choices(sentences, weights=[len(body) for body, _ in sentences], k=count):
        start, end = draw.choice(spans)
        ids.append([first, *body[:start], *draw.choice(alike[end - start]), *body[end:], last])
    return replace(rows, ids=ids, types=[[0] * len(row) for row in ids], labels=[])


def _pieces(body: tuple[int, ...], pieces: set[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Where pieces of two tokens or more, and of at most :data:`LARGEST` of it, lie in a row."""
    length = len(body)
    widest = int(LARGEST * length)
    spans = ((a, b) for a in range(length) for b in range(a + 2, min(length, a + widest) + 1))
    return [(a, b) for a, b in spans if body[a:b] in pieces]


def rematch(rows: Tokens, table: Tensor, count: int, seed: int) -> Tokens:
    """Pairs of the first sentence of one row and the second sentence of another that resembles it (as Augmented SBERT
    chooses pairs for its teacher, arXiv 2010.08240): sentences that somebody wrote, which no row had side by side. Each
    pair comes once, so there may be fewer than ``count``.

    Args:
        table: embeddings of all tokens, ``[vocabulary, width]``. Similar are the :data:`PARTNERS` of largest cosine
            between sums of them, rare tokens weighing more.

    Raises:
        InputError: the rows are single sentences.
    """
    if not any(map(any, rows.types)):
        raise InputError("rows of one sentence have no partners", field="rematched", cure="leave it out of the recipe")
    seams = [types.index(1) for types in rows.types]
    firsts = [tuple(ids[:seam]) for ids, seam in zip(rows.ids, seams, strict=True)]
    seconds = [tuple(ids[seam:]) for ids, seam in zip(rows.ids, seams, strict=True)]
    longest, taken = max(map(len, rows.ids)), set(zip(firsts, seconds, strict=True))
    pairs = []
    for first, partners in zip(firsts, _partners(firsts, seconds, table), strict=True):
        for second in (seconds[place] for place in partners):
            if (first, second) not in taken and len(first) + len(second) <= longest:
                taken.add((first, second))
                pairs.append((first, second))
    drawn = random.Random(seed).sample(pairs, min(count, len(pairs)))
    ids = [[*first, *second] for first, second in drawn]
    types = [[0] * len(first) + [1] * len(second) for first, second in drawn]
    return replace(rows, ids=ids, types=types, labels=[])


def _partners(firsts: list[tuple[int, ...]], seconds: list[tuple[int, ...]], table: Tensor) -> list[list[int]]:
    """For each first sentence the places of the second ones most like it, nearest first."""
    sentences = firsts + seconds
    found_in = torch.bincount(torch.tensor([token for row in sentences for token in {*row}]), minlength=len(table))
    rarity = torch.log(len(sentences) / found_in.clamp(min=1))
    flat = torch.tensor([token for row in sentences for token in row])
    starts = torch.tensor([0, *map(len, sentences[:-1])]).cumsum(0)
    sums = F.embedding_bag(flat, table.float(), starts, mode="sum", per_sample_weights=rarity[flat])
    units = F.normalize(sums, dim=-1)
    ours, theirs = units[: len(firsts)], units[len(firsts) :]
    number = min(PARTNERS, len(seconds))
    parts = torch.split(ours, 1024)
    return [row for some in parts for row in (some @ theirs.T).topk(number).indices.tolist()]


def edit(rows: Tokens, frame: set[int], count: int, seed: int, longest: int) -> Tokens:
    """Given rows with one token dropped, doubled, taken from another row, or swapped with another of its row: most are
    no longer good English, which a judge of grammar (CoLA) has to notice.

    Args:
        frame: tokens that stay where they are and are never put in: those around a row and between its sentences.
        longest: tokens of a row, at most: none is put into a longer one.
    """
    draw = random.Random(seed)
    ids, types = [], []
    for i in draw.choices(range(len(rows)), k=count):
        row, kinds = list(rows.ids[i]), list(rows.types[i])
        places = [place for place, token in enumerate(row) if token not in frame]
        if len(places) > 1:
            here, there = draw.sample(places, 2)
            strangers = [token for token in draw.choice(rows.ids) if token not in frame] or [row[there]]
            way = draw.randrange(4 if len(row) < longest else 2)
            if way == 0:
                del row[here], kinds[here]
            elif way == 1:
                row[here], row[there] = row[there], row[here]
            else:
                row.insert(here, row[here] if way == 2 else draw.choice(strangers))
                kinds.insert(here, kinds[here])
        ids.append(row)
        types.append(kinds)
    return replace(rows, ids=ids, types=types, labels=[])


def neighbors(rows: Tokens, table: Tensor, words: list[int]) -> dict[int, list[int]]:
    """For each of the words that occurs in the rows, those most like it, nearest first."""
    present = sorted({token for row in rows.ids for token in row} & set(words))
    all_words = F.normalize(table[torch.tensor(words)].float(), dim=-1)
    number = min(NEIGHBORS, len(words) - 1)
    others: dict[int, list[int]] = {}
    for start in range(0, len(present), 1024):
        some = present[start : start + 1024]
        alike = (F.normalize(table[torch.tensor(some)].float(), dim=-1) @ all_words.T).topk(number + 1).indices
        for word, places in zip(some, alike.tolist(), strict=True):
            others[word] = [words[place] for place in places if words[place] != word][:number]
    return others
