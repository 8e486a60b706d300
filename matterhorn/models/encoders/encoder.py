"""What there is to know of a full-precision encoder: where its parts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Encoder:
    """Where a classifier of Hugging Face keeps what a quantized network has. All are our names → theirs.

    Attributes:
        model: name of its class. config: options of a network that its config has.
        tables: embeddings. modules: all else outside the blocks. layers: where its blocks are; layer: parts of one.
    """

    model: str
    config: Mapping[str, str]
    tables: Mapping[str, str]
    modules: Mapping[str, str]
    layers: str
    layer: Mapping[str, str]

    def parts(self, model: nn.Module) -> list[dict[str, nn.Module]]:
        """Parts of every block, by our names."""
        blocks = model.get_submodule(self.layers).children()
        return [{own: block.get_submodule(theirs) for own, theirs in self.layer.items()} for block in blocks]
