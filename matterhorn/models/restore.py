"""The quantised network behind a spiking checkpoint, for comparison: levels and real numbers instead of spikes.

It is rebuilt from weights, scales, biases and steps alone; thresholds, offsets and tables of the spiking network play
no part, so that comparing the two tests them.
"""

from __future__ import annotations

import torch

from ..nn import StoredQuantiser
from ..nn.digital import FixedDigitalLinear
from ..nn.linear import FixedLinear
from .quantised import CONNECTIONS, POPULATIONS, MatterhornForSequenceClassification
from .spiking import SOURCES, Head, SpikingNetwork


@torch.no_grad()
def restore_quantised(network: SpikingNetwork) -> MatterhornForSequenceClassification:
    """The quantised network, in eval mode. It gives levels and logits; it cannot be trained on."""
    model = MatterhornForSequenceClassification(network.config)
    model.embeddings.load_state_dict(network.embeddings.state_dict())
    for source, target in zip(network.layers(), model.layers(), strict=True):
        for name, path in POPULATIONS.items():
            population, quantiser = getattr(source, name), target.get_submodule(path)
            for buffer in ("silent", "reads", "step"):
                getattr(quantiser, buffer).copy_(getattr(population, buffer))
            if population.gain is not None:
                quantiser.gain.copy_(population.gain)  # type: ignore[operator]
        for name in ("keys", "values"):
            stored: StoredQuantiser = getattr(target.attention, name)
            stored.step.copy_(getattr(source, name).step)
        for role, path in CONNECTIONS.items():
            connection, unit = getattr(source, role), getattr(source, SOURCES[role]).code.unit
            fixed = FixedLinear(connection.weights, connection.scale * unit, connection.bias)
            target.set_submodule(path, fixed)
        target.attention_norm.load_state_dict(source.attention_norm.state_dict())
        target.feed_forward_norm.load_state_dict(source.feed_forward_norm.state_dict())
    model.set_submodule("pooler", _head(network.pooler))
    model.set_submodule("classifier", _head(network.classifier))
    return model.eval()


def _head(head: Head) -> FixedDigitalLinear:
    return FixedDigitalLinear(head.weights, head.scale, head.bias)
