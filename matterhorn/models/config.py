"""Configuration of the quantised network."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from ..coding.code import MAX_BITS
from ..errors import InputError
from ..nn.linear import WEIGHT_KINDS

SHIPPED_FORMS = ("exact", "shift")


KINDS = ("input", "queries", "probabilities", "mixed", "hidden", "middle")
"""The populations of a block, in the order in which they run."""

TARGETS = {"input": 3}
"""How many connections a population feeds, where it is more than one."""


def kind_of(population: str) -> str:
    """Kind of a population by its name: ``input`` of ``block.0.input``."""
    return population.rsplit(".", 1)[-1]


class MatterhornConfig(PretrainedConfig):
    """Shape and number formats of a Matterhorn network.

    Args:
        vocab_size … pad_token_id: as in BERT.
        weight_bits: of every linear map in the blocks: "1", "ternary", "2" or "4".
        activation_bits: width b of a level (1 … 6); a window has 2^b slots.
        stored_bits: of keys and values (1, or 2 … 6).
        dead_zone: k, levels on either side of the silent one that are silent too.
        narrower: kinds of populations with a dead zone of their own that is narrower, e.g. ``{"probabilities": 1}``: a
            wide one leaves few levels for a range as wide as theirs.
        silence_per: "neuron" (each has a silent level of its own) or "tensor".
        digital: "exact" softmax and LayerNorm, or "shift" (divisions replaced by shifts).
    """

    model_type = "matterhorn"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 384,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 12,
        intermediate_size: int = 1536,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 0,
        weight_bits: str = "1",
        activation_bits: int = 4,
        stored_bits: int = 1,
        dead_zone: int = 0,
        narrower: dict[str, int] | None = None,
        silence_per: str = "neuron",
        digital: str = "exact",
        **kwargs: Any,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.layer_norm_eps = layer_norm_eps
        self.weight_bits = str(weight_bits)
        self.activation_bits = activation_bits
        self.stored_bits = stored_bits
        self.dead_zone = dead_zone
        self.narrower = dict(narrower or {})
        self.silence_per = silence_per
        self.digital = digital
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**(kwargs | {"pad_token_id": pad_token_id}))
        self._check()

    def zone_of(self, kind: str) -> int:
        """Dead zone of the populations of a kind."""
        return min(self.dead_zone, self.narrower.get(kind, self.dead_zone))

    def _check(self) -> None:
        top = 2**self.activation_bits - 1
        allowed = {
            "weight_bits": WEIGHT_KINDS,
            "activation_bits": range(1, MAX_BITS + 1),
            "stored_bits": range(1, MAX_BITS + 1),
            "dead_zone": range(top // 2 + 1),
            "silence_per": ("neuron", "tensor"),
            "digital": SHIPPED_FORMS,
        }
        for field, values in allowed.items():
            value = getattr(self, field)
            if value not in values:
                options = (
                    f"{values.start} … {values.stop - 1}" if isinstance(values, range) else ", ".join(map(str, values))
                )
                raise InputError(f"{value!r} is not possible", field=field, cure=f"give one of: {options}")
        if any(kind not in KINDS or k not in range(top // 2 + 1) for kind, k in self.narrower.items()):
            cure = f"give 0 … {top // 2} for any of {', '.join(KINDS)}"
            raise InputError(f"{self.narrower!r} is not possible", field="narrower", cure=cure)
        if self.hidden_size % self.num_attention_heads:
            raise InputError(f"{self.hidden_size} is no multiple of the heads", field="hidden_size", cure="change one")
