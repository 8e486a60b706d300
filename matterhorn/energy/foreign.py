"""Bill a dense Hugging Face encoder from its configuration alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ..errors import InputError
from ..program.steps import digital_steps
from ..program.trace import Trace
from ..reading import read_mapping, validated
from ..topology import CONNECTIONS, Shape
from .activity import Activity
from .billing import Bill
from .chip import Chip
from .library import DEFAULT, load, with_value
from .mapping import hardware_of
from .rivals import Side
from .shapes import PAPER_LENGTH

BILLED = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "albert")
"""Model types whose blocks are those of :mod:`matterhorn.topology`; DeBERTa's have products with positions beside."""

Size = Annotated[int, Field(ge=1, le=2**20)]
Bits = Annotated[int, Field(ge=1, le=32)]


class _Given(BaseModel):
    """Part of a configuration; what else is in it does not matter."""

    model_config = ConfigDict(extra="ignore")


class _Part(_Given):
    num_bits: Bits | None = None


class _Group(_Given):
    weights: _Part | None = None
    input_activations: _Part | None = None


class Quantized(_Given):
    """``quantization_config`` as bitsandbytes, GPTQ, AWQ, quanto and compressed-tensors write it."""

    bits: Bits | None = None
    w_bit: Bits | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    weights: str | None = None
    activations: str | None = None
    config_groups: dict[str, _Group] = Field(default_factory=dict)

    def known(self) -> tuple[int | None, int | None]:
        """Bits of weights and activations, where it says them."""
        group = next(iter(self.config_groups.values()), _Group())
        loaded = 4 if self.load_in_4bit else 8 if self.load_in_8bit else None
        weights = self.bits or self.w_bit or _bits(self.weights) or (group.weights and group.weights.num_bits) or loaded
        inputs = group.input_activations and group.input_activations.num_bits
        return weights, _bits(self.activations) or inputs or (8 if self.load_in_8bit else None)


class Encoder(_Given):
    """What is read of ``config.json``."""

    model_type: Literal[BILLED]  # type: ignore[valid-type]
    layers: Annotated[int, Field(ge=1, le=1000, validation_alias=AliasChoices("num_hidden_layers", "n_layers"))]
    width: Annotated[Size, Field(validation_alias=AliasChoices("hidden_size", "dim"))]
    heads: Annotated[Size, Field(validation_alias=AliasChoices("num_attention_heads", "n_heads"))]
    intermediate: Annotated[Size, Field(validation_alias=AliasChoices("intermediate_size", "hidden_dim"))]
    architectures: list[str] | None = None
    vocab_size: Size = 1
    embedding_size: Size | None = None
    id2label: dict[str, str] | None = None
    floats: Annotated[str | None, Field(validation_alias=AliasChoices("dtype", "torch_dtype"))] = None
    relative_attention_num_buckets: int | None = None
    position_embedding_type: Literal["absolute"] | None = None
    """Relative ones (``relative_key``) have products with positions, which are not billed."""
    quantization_config: Quantized | None = None

    @property
    def shape(self) -> Shape:
        """Sizes; a classifier reads the first token only."""
        first = any(name.endswith("ForSequenceClassification") for name in self.architectures or ())
        return Shape(self.layers, self.width, self.heads, self.intermediate, first)

    def bits(self) -> tuple[int | None, int]:
        """Of weights and activations; those that nothing is said of are floats."""
        floats = 32 if self.floats in (None, "float32", "float64") else 16
        if self.quantization_config is None:
            return floats, floats
        weights, activations = self.quantization_config.known()
        return weights, activations or floats


def _bits(name: str | None) -> int | None:
    """Of ``int8`` and the like."""
    found = re.search("[1-9][0-9]?", name or "")
    return int(found[0]) if found else None


def encoder_of(
    config: str | Path,
    tokens: int = PAPER_LENGTH,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
) -> tuple[tuple[Activity, ...], Trace]:
    """What a dense encoder does for one sentence: activities, and a trace that has its shape and digital steps.

    Args:
        config: ``config.json`` of Hugging Face, or its folder. weight_bits, activation_bits: in place of those that it
            says (``quantization_config``, else the width of its floats).

    Raises:
        InputError: it is no encoder, a size is missing, or its number of bits is not known.
    """
    path = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
    cure = "give config.json of an encoder of Hugging Face, or the layers as a table (--layers)"
    given = validated(Encoder, read_mapping(path, cure), path, cure)
    shape, (weights, activations) = given.shape, given.bits()
    if shape.width % shape.heads:
        raise InputError(f"{shape.heads} heads, {shape.width} neurons", file=path, field="heads", cure="mend the file")
    if (weights := weight_bits or weights) is None:
        cure = "give --weight-bits and --activation-bits"
        raise InputError("bits of its weights are not known", file=path, field="quantization_config", cure=cure)
    trace = Trace(shape, given.vocab_size, len(given.id2label or "01"), lengths={tokens: 1})
    steps = digital_steps(
        shape, [tokens], trace.labels, table_width=given.embedding_size or shape.width,
        position_bias=given.relative_attention_num_buckets is not None,
    )  # fmt: skip
    trace.digital = {step.name: step for step in steps}
    return tuple(dense_words(shape, tokens, weights, activation_bits or activations)), trace


def dense_words(
    shape: Shape, tokens: int, weight_bits: int, level_bits: int, kv_bits: int | None = None
) -> Iterable[Activity]:
    """What a dense network of a shape does for one sentence: words of ``level_bits``; levels are taken as uniform, keys
    and values are kept in as many bits (or ``kv_bits``)."""
    stored = kv_bits or level_bits
    for block in range(shape.layers):
        for kind in CONNECTIONS:
            windows = float(shape.windows(block, kind.name, tokens))
            fan_in, fan_out = shape.fans(kind.name)
            products = windows * shape.fan_out(kind.name, tokens)
            heads, bits = shape.heads_of(kind.name), stored if kind.dynamic else weight_bits
            yield Activity(
                block=block, connection=kind.name, form="word", fan_in=fan_in, fan_out=fan_out, heads=heads,
                level_bits=level_bits, operand_bits=bits, digits=bits, key_bits=stored,
                vectors=float(shape.tokens(block, kind.name, tokens) * heads), windows=windows, products=products,
                adds=min(level_bits, bits), steps=0, events=windows, active=windows, operations=products,
                threshold_words=2, kappa=windows * 2**level_bits / 4, squares=windows * 4.0**level_bits / 12,
                pulses=windows * level_bits / 2,
            )  # fmt: skip


def bill_encoder(
    config: str | Path,
    chip: Chip | str | Path = DEFAULT,
    tokens: int = PAPER_LENGTH,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
) -> tuple[Bill, dict[str, float]]:
    """What a dense encoder of Hugging Face costs for one sentence: see :func:`encoder_of`.

    Returns: the bill on the cheaper arrays of the chip, digital ones reading a weight once for all tokens; and the J by
        where products are made (:meth:`.rivals.Side.dense_j`).

    Raises:
        InputError: also where the chip's mesh is too small.
    """
    on = chip if isinstance(chip, Chip) else load(chip)
    side = Side.of(*encoder_of(config, tokens, weight_bits=weight_bits, activation_bits=activation_bits), on)
    bills = [side.bill(with_value(on, "weights.reuse", tokens), kind) for kind in hardware_of(on)]
    return min(bills, key=lambda bill: bill.total), side.dense_j(on)
