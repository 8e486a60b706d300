"""Description of a full-precision encoder: where its parts are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ...errors import InputError
from ...topology import TABLES

SIZES = {
    name: name
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act")
}
SAME = ("pad_token_id", "id2label", "label2id", "problem_type")
"""Options that have the same name in every config."""


@dataclass(frozen=True)
class Encoder:
    """Where a Hugging Face classifier keeps the parts of a quantized network. All mappings are from our names to
    theirs.

    Attributes:
        models: names of its classes.
        about: models with this structure, for the documentation.
        tables: embedding tables. Without ``segment`` there are no token types.
        modules: everything else outside the blocks, including ``projection`` if embeddings may be narrower.
        layers: where its blocks are.
        layer: parts of one block.
        head_activation: activation between pooler and classifier.
        config: names of sizes in its config.
        relative_bias: function of a model that returns the bias of its scores for distances up to some D, ``[heads, 2 ·
            D + 1]``.
    """

    models: tuple[str, ...]
    about: str
    tables: Mapping[str, str]
    modules: Mapping[str, str]
    layers: str
    layer: Mapping[str, str]
    head_activation: str
    config: Mapping[str, str]
    relative_bias: Callable[[nn.Module], Tensor] | None = None

    def options(self, model: Any) -> dict[str, Any]:
        """Options of a quantized network that follow from the model: its sizes, and the names of its outputs."""
        rows = {name: len(self.table(model, name)) if name in self.tables else 0 for name in TABLES}
        names = {**self.config, **{name: name for name in SAME}}
        given = {own: getattr(model.config, theirs) for own, theirs in names.items()}
        width, bias = self.table(model, "word").shape[1], self.relative_bias and self.relative_bias(model)
        return given | {
            "pad_token_id": given["pad_token_id"] or 0,
            "vocab_size": rows["word"],
            "max_position_embeddings": rows["position"],
            "type_vocab_size": rows["segment"],
            "embedding_size": 0 if width == given["hidden_size"] else width,
            "layer_norm_eps": model.get_submodule(self.modules["embeddings.norm"]).eps,
            "relative_distance": 0 if bias is None else bias.shape[1] // 2,
            "head_activation": self.head_activation,
        }

    def table(self, model: nn.Module, name: str) -> Tensor:
        """Return one embedding table, float32 ``[rows, width]``.

        Positions start after the row for padding, if there is one: RoBERTa's first token has position 2.
        """
        table = model.get_submodule(self.tables[name])
        assert isinstance(table, nn.Embedding)
        first = table.padding_idx + 1 if name == "position" and table.padding_idx is not None else 0
        return table.weight.detach()[first:].float()

    def outside(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return modules outside the blocks by our names: norm of the embeddings, projection, pooler, classifier."""
        found = {own: dict(model.named_modules()).get(theirs) for own, theirs in self.modules.items()}
        return {own: module for own, module in found.items() if module is not None}

    def parts(self, model: nn.Module, blocks: Sequence[int] | None = None) -> list[dict[str, nn.Module]]:
        """Return the parts of every block, or of some ``blocks``, by our names."""
        found = list(model.get_submodule(self.layers).children())
        kept = found if blocks is None else [found[number] for number in blocks]
        return [{own: block.get_submodule(theirs) for own, theirs in self.layer.items()} for block in kept]

    def chosen(self, model: nn.Module, blocks: Sequence[int]) -> list[int]:
        """Check the numbers of some of a model's blocks, and return them.

        Raises:
            InputError: they are not numbers, are not in ascending order, do not exist, or are all there are.
        """
        count, numbers = len(list(model.get_submodule(self.layers).children())), list(blocks)
        known = all(type(number) is int and 0 <= number < count for number in numbers)
        if not (numbers and known and all(a < b for a, b in pairwise(numbers))):
            cure = f"give ascending numbers from 0 to {count - 1}, e.g. {list(range(0, count, 2))}"
            raise InputError(f"{numbers} of {count} blocks", field="blocks", cure=cure)
        if len(numbers) == count:
            raise InputError(f"all {count} blocks", field="blocks", cure="leave it out")
        return numbers


def like_bert(
    models: tuple[str, ...], about: str, base: str, *, head: Mapping[str, str], activation: str, **more: Any
) -> Encoder:
    """Describe an encoder whose parts have BERT's names. ``base``: where they are; ``head``: pooler and classifier."""
    norm = {"embeddings.norm": f"{base}.embeddings.LayerNorm"}
    return Encoder(
        models=models,
        about=about,
        tables={
            "word": f"{base}.embeddings.word_embeddings",
            "position": f"{base}.embeddings.position_embeddings",
            "segment": f"{base}.embeddings.token_type_embeddings",
        },
        modules={**norm, **head},
        layers=f"{base}.encoder.layer",
        layer={
            "query": "attention.self.query",
            "key": "attention.self.key",
            "value": "attention.self.value",
            "output": "attention.output.dense",
            "attention_norm": "attention.output.LayerNorm",
            "ffn1": "intermediate.dense",
            "ffn2": "output.dense",
            "feed_forward_norm": "output.LayerNorm",
        },
        head_activation=activation,
        config=SIZES,
        **more,
    )


def copy_into(own: nn.Module, source: nn.Module, name: str) -> None:
    """Copy weights of any precision.

    Raises:
        InputError: the module has other parameters, e.g. those of an adapter.
    """
    theirs = source.state_dict()
    if {key: value.shape for key, value in theirs.items()} != {k: v.shape for k, v in own.named_parameters()}:
        cure = "give plain weights; merge adapters first (merge_and_unload), dequantize, do not prune heads"
        raise InputError(f"a {type(source).__name__} with {', '.join(theirs)}", field=name, cure=cure)
    own.load_state_dict(own.state_dict() | theirs)
