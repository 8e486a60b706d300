"""The quantised network behind a spiking checkpoint, for comparison: levels and real numbers instead of spikes.

It is rebuilt from weights, scales, biases and steps alone; thresholds, offsets and tables of the spiking network play
no part, so that comparing the two tests them.
"""

from __future__ import annotations

import torch

from ..nn import StoredQuantiser
from ..nn.digital import FixedDigitalLinear
from ..nn.linear import FixedLinear
from .convert import POPULATIONS, ROLES
from .quantised import MatterhornForSequenceClassification
from .spiking import SOURCES, Head, SpikingNetwork


@torch.no_grad()
def restore_quantised(network: SpikingNetwork) -> MatterhornForSequenceClassification:
    """The quantised network, in eval mode. It gives levels and logits; it cannot be trained on."""
    model = MatterhornForSequenceClassification(network.config)
    model.embeddings.load_state_dict(network.embeddings.state_dict())
    for source, target in zip(network.blocks, model.blocks, strict=True):
        for name, path in POPULATIONS.items():
            population, quantiser = getattr(source, name), target.get_submodule(path)
            for buffer in ("silent", "reads", "step"):
                getattr(quantiser, buffer).copy_(getattr(population, buffer))
        for name in ("keys", "values"):
            stored: StoredQuantiser = getattr(target.attention, name)  # type: ignore[union-attr]
            stored.step.copy_(getattr(source, name).step)
        for role, path in ROLES.items():
            connection, unit = getattr(source, role), getattr(source, SOURCES[role]).code.unit
            fixed = FixedLinear(connection.weights, connection.scale * unit, connection.bias)
            target.set_submodule(path, fixed)
        target.attention_norm.load_state_dict(source.attention_norm.state_dict())  # type: ignore[union-attr]
        target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())  # type: ignore[union-attr]
    model.pooler, model.classifier = _head(network.pooler), _head(network.classifier)  # type: ignore[assignment]
    return model.eval()


def _head(head: Head) -> FixedDigitalLinear:
    return FixedDigitalLinear(head.weights, head.scale, head.bias)
