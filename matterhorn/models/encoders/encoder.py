"""What a full-precision classifier is to us, whatever it is called where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One block: its linear maps by the names of our connections, and the norms behind attention and feed-forward."""

    connections: Mapping[str, nn.Linear]
    attention_norm: nn.LayerNorm
    feed_forward_norm: nn.LayerNorm


@dataclass(frozen=True)
class Encoder:
    """Parts of a full-precision classifier.

    Attributes:
        config: sizes and labels, as options of :class:`~matterhorn.models.MatterhornConfig`.
        embeddings: float tables ``word``, ``position``, ``segment``, ``[rows, width]``.
    """

    config: Mapping[str, Any]
    embeddings: Mapping[str, Tensor]
    embeddings_norm: nn.LayerNorm
    layers: tuple[Layer, ...]
    pooler: nn.Linear
    classifier: nn.Linear
