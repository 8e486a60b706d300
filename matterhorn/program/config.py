"""Shape and number formats of a network: what a quantized network and the program made of it have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from types import MappingProxyType
from typing import Any

from ..coding import MAX_BITS
from ..errors import InputError
from ..kernels.activation import ACTIVATIONS
from ..topology import FEEDS_WEIGHTS, POPULATION, Shape

WEIGHTS = ("int1", "ternary", "int2", "int4")
"""Widths of the weights in the blocks."""

SIZES: dict[str, tuple[float, float]] = {
    "vocab_size": (1, 2**24),
    "hidden_size": (1, 2**16),
    "num_hidden_layers": (1, 1000),
    "num_attention_heads": (1, 2**16),
    "intermediate_size": (1, 2**18),
    "max_position_embeddings": (1, 2**20),
    "type_vocab_size": (0, 2**16),
    "pad_token_id": (0, 2**24),
    "layer_norm_eps": (0, 1),
    "embedding_size": (0, 2**16),
    "relative_distance": (0, 2**16),
}
"""Least and largest numbers of the shape."""

NAMES = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}

LATER = ("levels_per", "activation", "embedding_size", "relative_distance", "head_activation")
"""Options that came after programs had been shipped: left out of files and hashes where they have their default."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Shape and number formats.

    Args:
        vocab_size … pad_token_id: as in BERT. ``max_position_embeddings``: tokens of the longest text;
            ``type_vocab_size``: 0 where there are no token types (any that are given are ignored).
        weights: of every linear map in the blocks: one of :data:`WEIGHTS`.
        activation_bits: width b of a level (1 … 6); a window has 2^b slots.
        kv_bits: of stored keys and values (1, or 2 … 6).
        dead_zone: k, levels on either side of the silent one that are silent too.
        dead_zones: populations with a narrower dead zone of their own, e.g. ``{"probabilities": 1}``: a wide one leaves
            few levels for a range as wide as theirs.
        silence_per: "neuron" (each has a silent level of its own) or "tensor".
        levels_per: "neuron" (each that feeds weights has a gain of its own, and each that reads the residual stream a
            zero point: both fold into thresholds and offsets), or "tensor" (gains alone, none for ``intermediate``).
        activation: of the feed-forward layer: "relu" or "gelu". Either lies in the thresholds of ``intermediate``.
        digital: "exact" softmax and LayerNorm, or "shift" (divisions replaced by shifts).
        first_only: the head reads the first token only, so that the last block computes only that one.
        embedding_size: width of the embedding tables where they are projected to the hidden size; 0: they are not.
        relative_distance: scores have a relative position bias that differs for distances up to this one; 0: none.
        head_activation: between pooler and classifier, one of :data:`matterhorn.kernels.activation.ACTIVATIONS`.

    Raises:
        InputError: a value that is not possible; it names the field.
    """

    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    weights: str = "int1"
    activation_bits: int = 4
    kv_bits: int = 1
    dead_zone: int = 0
    dead_zones: Mapping[str, int] = field(default_factory=dict)
    silence_per: str = "neuron"
    levels_per: str = "tensor"
    activation: str = "relu"
    digital: str = "exact"
    first_only: bool = True
    embedding_size: int = 0
    relative_distance: int = 0
    head_activation: str = "hardtanh"

    def __post_init__(self) -> None:
        if not isinstance(self.dead_zones or {}, Mapping):
            raise InputError("no mapping", field="dead_zones", cure="give e.g. probabilities: 1")
        object.__setattr__(self, "dead_zones", MappingProxyType(dict(self.dead_zones or {})))
        self._check_numbers()
        widest = (2**self.activation_bits - 1) // 2 if self.activation_bits in range(1, MAX_BITS + 1) else 0
        allowed: dict[str, Any] = {
            "weights": WEIGHTS,
            "activation_bits": range(1, MAX_BITS + 1),
            "kv_bits": range(1, MAX_BITS + 1),
            "dead_zone": range(widest + 1),
            "silence_per": ("neuron", "tensor"),
            "levels_per": ("neuron", "tensor"),
            "activation": ("relu", "gelu"),
            "digital": ("exact", "shift"),
            "head_activation": ACTIVATIONS,
        }
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                listed = ", ".join(map(str, values))
                options = f"{values.start} … {values.stop - 1}" if isinstance(values, range) else f"one of: {listed}"
                raise InputError(f"{value!r} is not possible", field=name, cure=f"give {options}")
        zones = self.dead_zones.items()
        if any(name not in POPULATION or type(k) is not int or not 0 <= k <= widest for name, k in zones):
            cure = f"give 0 … {widest} for any of {', '.join(POPULATION)}"
            raise InputError(f"{dict(self.dead_zones)!r} is not possible", field="dead_zones", cure=cure)
        if self.hidden_size % self.num_attention_heads:
            raise InputError(f"{self.hidden_size} is no multiple of the heads", field="hidden_size", cure="change one")

    def _check_numbers(self) -> None:
        """Whole numbers where they must be, and such as memory can hold."""
        for one in fields(self):
            if type(one.default) not in (int, float, str, bool):
                continue
            kind: Any = type(one.default)
            value = getattr(self, one.name)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise InputError(f"{value!r} is not possible", field=one.name, cure=f"give {NAMES[kind]}")
            least, most = SIZES.get(one.name, (value, value))
            if kind is not str and not least <= value <= most:
                raise InputError(f"{value} is not possible", field=one.name, cure=f"give {least} … {most}")
        if self.pad_token_id >= self.vocab_size:
            raise InputError(f"{self.pad_token_id} is no token", field="pad_token_id", cure="give a number of one")

    def zone(self, population: str) -> int:
        """Dead zone of a population."""
        return min(self.dead_zone, self.dead_zones.get(population, self.dead_zone))

    def gains(self, population: str) -> int:
        """How many neurons of a population have a gain of their own."""
        kind = POPULATION[population]
        own = kind.gains or (self.levels_per == "neuron" and population in FEEDS_WEIGHTS)
        return self.shape.neurons(population) if own else 0

    def zeros(self, population: str) -> int:
        """How many neurons of a population have a zero point of their own."""
        kind = POPULATION[population]
        own = self.levels_per == "neuron" and kind.gains and not kind.fires
        return self.shape.neurons(population) if own else 0

    @property
    def shape(self) -> Shape:
        """Sizes of the encoder."""
        return Shape(
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.first_only,
        )

    @property
    def table_width(self) -> int:
        """Width of the embedding tables."""
        return self.embedding_size or self.hidden_size

    def plain(self) -> dict[str, Any]:
        """All fields as plain values, for JSON, but for :data:`LATER` ones at their defaults."""
        named = ((one, getattr(self, one.name)) for one in fields(self))
        own = {one.name: value for one, value in named if one.name not in LATER or value != one.default}
        return own | {"dead_zones": dict(self.dead_zones)}

    def __reduce__(self) -> Any:
        return partial(Config, **self.plain()), ()
