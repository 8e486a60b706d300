"""Train a teacher that compares two texts, without labels.

The backbone embeds sentences one by one. The new teacher reads both texts of a pair at once, and learns to predict the
similarity of the mean states that the backbone computes for each text alone.

MiniLM-L6 learned this from 6,000 pairs to a correlation of 0.93 in six minutes on one core. It then rated the
similarity of pairs of STS-B as well as a classifier trained on 500 labeled ones (docs/trials.md).
"""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..errors import InputError
from ..models.watching import evaluating
from ..tasks.tokens import Tokens, sorted_batches
from .measure import MEASURED_ROWS, ask, mean_states, on_device

TASK = "stsb"
"""Task with the same kind of answers: one score per pair."""

STRANGERS = 0.2
"""Share of pairs whose second sentence is replaced by another's."""


def is_pair(types: list[int]) -> bool:
    """Whether a row has two sentences."""
    return 1 in types


def with_strangers(rows: Tokens, seed: int) -> Tokens:
    """Replace the second sentence of a share of the pairs by that of another pair, drawn with ``seed``.

    A pair is left as it is if it would become longer than the longest row.
    """
    draw, ids, types = random.Random(seed), list(rows.ids), list(rows.types)
    longest = max(map(len, ids), default=0)
    pairs = [i for i, own in enumerate(types) if is_pair(own)]
    seams = {i: types[i].index(1) for i in pairs}
    for i in pairs:
        if draw.random() < STRANGERS:
            other = draw.choice(pairs)
            first, second = rows.ids[i][: seams[i]], rows.ids[other][seams[other] :]
            if len(first) + len(second) <= longest:
                ids[i], types[i] = first + second, [0] * len(first) + [1] * len(second)
    return replace(rows, ids=ids, types=types)


def with_likeness(rows: Tokens, backbone: PreTrainedModel) -> Tokens:
    """Select the pairs among rows, and label them with the similarity that the backbone assigns to the two texts.

    Similarities are standardized: in standard deviations from their mean.

    Raises:
        InputError: there are fewer than two pairs.
    """
    pairs = [i for i, types in enumerate(rows.types) if is_pair(types)]
    if len(pairs) < 2:
        raise InputError(f"{len(pairs)} pairs", field="texts", cure="add pairs: a teacher that compares needs two")
    own = rows.subset(pairs)
    seams = [types.index(1) for types in own.types]
    firsts = [_ended_once(ids[:seam]) for ids, seam in zip(own.ids, seams, strict=True)]
    seconds = [[ids[0], *ids[seam:]] for ids, seam in zip(own.ids, seams, strict=True)]
    one, other = (embeddings(backbone, replace(own, ids=side)) for side in (firsts, seconds))
    found = F.cosine_similarity(one, other)
    scores = (found - found.mean()) / found.std().clamp(min=1e-6)
    return replace(own, labels=scores.tolist(), is_regression=True)


def _ended_once(ids: list[int]) -> list[int]:
    """Drop the second of two separators at the end of a first sentence, as RoBERTa has two between sentences."""
    return ids[:-1] if len(ids) > 2 and ids[-1] == ids[-2] else ids


@torch.no_grad()
def embeddings(backbone: PreTrainedModel, rows: Tokens) -> Tensor:
    """Compute the mean of a backbone's last states over each row's tokens, ``[rows, width]``."""
    alone = replace(rows, types=[[0] * len(ids) for ids in rows.ids], labels=[])
    found = torch.zeros(len(rows), backbone.config.hidden_size)
    with evaluating(backbone):
        for numbers in sorted_batches(alone, MEASURED_ROWS):
            batch = on_device(alone.batch(numbers), backbone.device)
            found[numbers] = mean_states(ask(backbone, batch)[1][-1], batch["attention_mask"]).cpu()
    return found
