"""The quantised network as a Hugging Face model: trained straight-through, evaluated in exact integers."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..coding import READ_UNIT
from ..nn import ActivationQuantiser, DigitalLinear, FixedLayerNorm, QuantisedAttention, QuantisedEmbeddings
from ..nn.linear import QuantisedLinear
from .config import MatterhornConfig, kind_of

POPULATIONS = {
    "input": "attention.input",
    "queries": "attention.queries",
    "probabilities": "attention.probabilities",
    "mixed": "attention.mixed",
    "hidden": "feed_forward.input",
    "middle": "feed_forward.middle",
}
"""A block's populations and where they are in it, in the order in which they run."""

CONNECTIONS = {
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "output": "attention.output",
    "ffn1": "feed_forward.ffn1",
    "ffn2": "feed_forward.ffn2",
}
"""A block's static connections and where they are in it."""


class FeedForward(nn.Module):
    """FFN-1, ReLU, FFN-2. Populations: ``input`` (feeds ffn1), ``middle`` (feeds ffn2, unsigned: ReLU is its edge)."""

    def __init__(self, config: MatterhornConfig):
        super().__init__()
        width, middle = config.hidden_size, config.intermediate_size
        per_neuron = config.silence_per == "neuron"
        kind, bits, k = config.weight_bits, config.activation_bits, config.zone_of
        self.input = ActivationQuantiser(
            bits, signed=True, neurons=width if per_neuron else 1, dead_zone=k("hidden"), gains=width
        )
        self.ffn1 = QuantisedLinear(width, middle, kind)
        self.middle = ActivationQuantiser(
            bits, signed=False, neurons=middle if per_neuron else 1, dead_zone=k("middle")
        )
        self.ffn2 = QuantisedLinear(middle, width, kind)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, L, width] → [batch, L, width]``."""
        middle = self.middle(self.ffn1(self.input(x), self.input.positive_step))
        return self.ffn2(middle, self.middle.positive_step)


class Block(nn.Module):
    """Attention and feed-forward, each with residual and LayerNorm after it, as in BERT."""

    def __init__(self, config: MatterhornConfig):
        super().__init__()
        shift = config.digital == "shift"
        self.attention = QuantisedAttention(
            config.hidden_size,
            config.num_attention_heads,
            activation_bits=config.activation_bits,
            stored_bits=config.stored_bits,
            weight_kind=config.weight_bits,
            dead_zone=config.zone_of,
            per_neuron=config.silence_per == "neuron",
            shift=shift,
        )
        self.attention_norm = FixedLayerNorm(config.hidden_size, config.layer_norm_eps, shift=shift)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = FixedLayerNorm(config.hidden_size, config.layer_norm_eps, shift=shift)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """``[batch, L, width]``, bool ``[batch, L]`` → ``[batch, L, width]``."""
        x = self.attention_norm(self.attention(x, present) + x)
        return self.feed_forward_norm(self.feed_forward(x) + x)


class MatterhornForSequenceClassification(PreTrainedModel):
    """BERT-like classifier with few-bit weights, level-coded activations and stored one-bit keys and values.

    Build it with :func:`~matterhorn.models.from_bert`, train it, then convert it to spikes.
    """

    config_class = MatterhornConfig
    config: MatterhornConfig
    base_model_prefix = ""
    main_input_name = "input_ids"

    def __init__(self, config: MatterhornConfig):
        super().__init__(config)
        width = config.hidden_size
        self.embeddings = QuantisedEmbeddings(
            config.vocab_size, config.max_position_embeddings, config.type_vocab_size, width, config.layer_norm_eps
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.pooler = DigitalLinear(width, width)
        self.classifier = DigitalLinear(width, len(config.id2label or {}))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, QuantisedLinear)):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def layers(self) -> list[Block]:
        """The blocks, typed."""
        return [cast(Block, block) for block in self.blocks]

    def populations(self) -> dict[str, ActivationQuantiser]:
        """Every population that sends events, by name (``block.0.input`` …), in the order in which they run."""
        return {
            f"block.{i}.{name}": cast(ActivationQuantiser, block.get_submodule(path))
            for i, block in enumerate(self.layers())
            for name, path in POPULATIONS.items()
        }

    def set_dead_zone(self, k: int) -> None:
        """Widen or narrow every population's dead zone; what silence is read as stays within it."""
        self.config.dead_zone = k
        self.config._check()
        for name, population in self.populations().items():
            k = population.dead_zone = self.config.zone_of(kind_of(name))
            low, high = READ_UNIT * (population.silent - k), READ_UNIT * (population.silent + k)
            population.reads.copy_(population.reads.clamp(low, high))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Token numbers, mask and types ``[batch, L]`` → logits ``[batch, labels]`` and, if asked, hidden states."""
        present = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        x = self.embeddings(input_ids, types)
        states = [x]
        for block in self.blocks:
            x = block(x, present.bool())
            states.append(x)
        pooled = F.hardtanh(self.pooler(x[:, 0]))
        logits = self.classifier(pooled)
        return SequenceClassifierOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=logits,
            hidden_states=tuple(states) if output_hidden_states else None,
        )

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape[-1] == 1:
            return F.mse_loss(logits.squeeze(-1).float(), labels.float())
        return F.cross_entropy(logits.float(), labels)
