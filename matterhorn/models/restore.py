"""The quantised network behind a spiking checkpoint, to compare with or to train on: levels and real numbers.

It is rebuilt from weights, scales, biases and steps alone; thresholds, offsets and tables of the spiking network play
no part, so that comparing the two tests them.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..nn import StoredQuantiser
from ..nn.digital import FixedDigitalLinear
from ..nn.linear import FixedLinear, QuantisedLinear
from .quantised import CONNECTIONS, POPULATIONS, Block, MatterhornForSequenceClassification
from .spiking import SOURCES, Connection, Head, SpikingBlock, SpikingNetwork

LEAST_SIZE = 0.02
"""Of latent weights that :func:`spread` draws: above what rounding does to a row's mean."""


@torch.no_grad()
def restore_quantised(network: SpikingNetwork) -> MatterhornForSequenceClassification:
    """The quantised network, in eval mode. It gives levels and logits; it cannot be trained on."""
    model = MatterhornForSequenceClassification(network.config)
    model.embeddings.load_state_dict(network.embeddings.state_dict())
    for source, target in zip(network.layers(), model.layers(), strict=True):
        _populations(source, target)
        for role, path in CONNECTIONS.items():
            connection, unit = getattr(source, role), getattr(source, SOURCES[role]).code.unit
            fixed = FixedLinear(connection.weights, connection.scale * unit, connection.bias)
            target.set_submodule(path, fixed)
        target.attention_norm.load_state_dict(source.attention_norm.state_dict())
        target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())
    model.set_submodule("pooler", _head(network.pooler))
    model.set_submodule("classifier", _head(network.classifier))
    return model.eval()


@torch.no_grad()
def restore_trainable(network: SpikingNetwork) -> MatterhornForSequenceClassification:
    """A network to train on: latent weights that are quantised to the spiking network's, all equally far from a flip.

    One-bit and ternary weights only: the scale of wider ones is not known from their levels.
    """
    model = MatterhornForSequenceClassification(network.config)
    model.embeddings.load_state_dict(network.embeddings.state_dict())
    model.embeddings.requires_grad_(False)
    for source, target in zip(network.layers(), model.layers(), strict=True):
        _populations(source, target)
        for role, path in CONNECTIONS.items():
            connection, population = getattr(source, role), getattr(source, SOURCES[role])
            linear = cast(QuantisedLinear, target.get_submodule(path))
            linear.weight.copy_(_latent(connection, connection.scale * population.code.unit / population.step))
            linear.bias.copy_(connection.bias)
        target.attention_norm.load_state_dict(source.attention_norm.state_dict())
        target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())
    for head, digital in ((network.pooler, model.pooler), (network.classifier, model.classifier)):
        digital.weight.copy_(head.weights * head.scale[:, None])
        digital.bias.copy_(head.bias)
    return model


@torch.no_grad()
def spread(model: MatterhornForSequenceClassification) -> MatterhornForSequenceClassification:
    """Give one-bit latent weights sizes as of a normal distribution, drawn from torch's generator; what they are
    quantised to stays the same.

    A packed network does not tell how near each weight was to a flip. Restored all equally far, hardly any
    flips within a thousand steps, and the network learns little but biases, gains and norms.
    """
    for layer in model.layers():
        for path in CONNECTIONS.values():
            linear = cast(QuantisedLinear, layer.get_submodule(path))
            if linear.kind == "1":
                signs, scale = linear.integers()
                sizes = torch.randn_like(signs).abs().clamp(min=LEAST_SIZE)
                above, below = (sizes * side / (sizes * side).sum(1, keepdim=True) for side in (signs > 0, signs < 0))
                linear.weight.copy_((above - below) * scale[:, None] * signs.shape[1] / 2)
    return model


def _latent(connection: Connection, scale: Tensor) -> Tensor:
    """Real weights ``[out, in]`` that :func:`~matterhorn.nn.quantise_weights` turns into a connection's integers and
    scale ``[out]``: for one bit with a mean of 0 in each row, as its signs are taken around the mean."""
    integers = connection.weights.to(torch.float32)
    if connection.kind == "ternary":
        return integers * scale[:, None]
    if connection.kind != "1":
        cure = "start from a network of one-bit or ternary weights, or from a run"
        raise InputError(f"weights of {connection.kind} bits", field="start_from", cure=cure)
    share = (integers > 0).float().mean(1, keepdim=True).clamp(1e-3, 1 - 1e-3)
    return torch.where(integers > 0, scale[:, None] / (2 * share), -scale[:, None] / (2 * (1 - share)))


def _populations(source: SpikingBlock, target: Block) -> None:
    """Steps, gains and silent levels."""
    for name, path in POPULATIONS.items():
        population, quantiser = getattr(source, name), target.get_submodule(path)
        for buffer in ("silent", "reads", "step"):
            getattr(quantiser, buffer).copy_(getattr(population, buffer))
        if population.gain is not None:
            quantiser.gain.copy_(population.gain)  # type: ignore[operator]
    for name in ("keys", "values"):
        stored: StoredQuantiser = getattr(target.attention, name)
        stored.step.copy_(getattr(source, name).step)


def _head(head: Head) -> FixedDigitalLinear:
    return FixedDigitalLinear(head.weights, head.scale, head.bias)
