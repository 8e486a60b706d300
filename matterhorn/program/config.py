"""Sizes and number formats that a quantized network and its program have in common."""

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
"""Possible widths of the weights in the blocks."""

SIZES: dict[str, tuple[float, float]] = {
    "vocab_size": (1, 2**24),
    "hidden_size": (1, 2**16),
    "num_hidden_layers": (1, 1000),
    "num_attention_heads": (1, 2**16),
    "intermediate_size": (1, 2**18),
    "max_position_embeddings": (1, 2**20),
    "type_vocab_size": (0, 2**16),
    "pad_token_id": (0, 2**24),
    "layer_norm_eps": (1e-30, 1),
    "embedding_size": (0, 2**16),
    "relative_distance": (0, 2**16),
}
"""Smallest and largest permitted value of each size. An ``eps`` of 0 would divide rows of equal values by 0."""

TYPE_NAMES = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}
"""Types of the values, as errors name them."""

LATER = ("levels_per", "activation", "embedding_size", "relative_distance", "head_activation")
"""Fields that were added after the first programs had been saved. Files and hashes omit them at their defaults, so that
the hashes of older programs stay the same.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and number formats of a network.

    Args:
        vocab_size … pad_token_id: as in BERT. ``max_position_embeddings`` is the number of tokens of the longest text.
            ``type_vocab_size`` is 0 if there are no token types; given types are then ignored.
        weights: width of the weights of every linear map in the blocks, one of :data:`WEIGHTS`.
        activation_bits: width b of a level, 1 … 6. A window has 2^b slots.
        kv_bits: bits of stored keys and values, 1 … 6.
        dead_zone: number k of levels on either side of the silent level that are silent too.
        dead_zones: narrower dead zones of single populations, e.g. ``{"probabilities": 1}``. A wide zone leaves few
            levels to a population whose values span a wide range. A zone wider than ``dead_zone`` has no effect.
        silence_per: "neuron" (each neuron has its own silent level) or "tensor".
        levels_per: "neuron" or "tensor". Neuron: each neuron that feeds weights has its own gain, and each that reads
            the residual stream also has its own zero point. Both become part of thresholds and offsets. Tensor: gains
            only, and none for ``intermediate``.
        activation: activation of the feed-forward layer, "relu" or "gelu". Both become part of the thresholds of
            ``intermediate``.
        digital: "exact" softmax and LayerNorm, or "shift" (divisions are replaced by shifts).
        first_only: whether the head reads only the first token. The last block then computes only this token.
        embedding_size: width of the embedding tables if they are projected to the hidden size. 0: no projection.
        relative_distance: largest distance with a relative position bias of its own in the attention scores. 0: no
            bias.
        head_activation: activation between pooler and classifier, one of
            :data:`matterhorn.kernels.activation.ACTIVATIONS`.

    Raises:
        InputError: a value is not possible. The message names the field.
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
            raise InputError("not a mapping", field="dead_zones", cure="give e.g. probabilities: 1")
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
            problem = f"{self.hidden_size} is not a multiple of the {self.num_attention_heads} heads"
            raise InputError(problem, field="hidden_size", cure="change one of them")

    def _check_numbers(self) -> None:
        """Check that values have the right type and lie within :data:`SIZES`."""
        for one in fields(self):
            if type(one.default) not in (int, float, str, bool):
                continue
            kind: Any = type(one.default)
            value = getattr(self, one.name)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise InputError(f"{value!r} is not possible", field=one.name, cure=f"give {TYPE_NAMES[kind]}")
            least, most = SIZES.get(one.name, (value, value))
            if kind is not str and not least <= value <= most:
                raise InputError(f"{value} is not possible", field=one.name, cure=f"give {least} … {most}")
        if self.pad_token_id >= self.vocab_size:
            cure = f"give 0 … {self.vocab_size - 1}"
            raise InputError(f"{self.pad_token_id} is not a token", field="pad_token_id", cure=cure)

    def zone(self, population: str) -> int:
        """Dead zone of a population."""
        return min(self.dead_zone, self.dead_zones.get(population, self.dead_zone))

    def gains(self, population: str) -> int:
        """Number of neurons of a population that have their own gain."""
        kind = POPULATION[population]
        own = kind.gains or (self.levels_per == "neuron" and population in FEEDS_WEIGHTS)
        return self.shape.neurons(population) if own else 0

    def zeros(self, population: str) -> int:
        """Number of neurons of a population that have their own zero point."""
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
        """Return all fields as plain values for JSON, without :data:`LATER` fields at their defaults."""
        named = ((one, getattr(self, one.name)) for one in fields(self))
        own = {one.name: value for one, value in named if one.name not in LATER or value != one.default}
        return own | {"dead_zones": dict(self.dead_zones)}

    def __reduce__(self) -> Any:
        return partial(Config, **self.plain()), ()
