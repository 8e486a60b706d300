"""Switch off all or some quantizers, to compare a network with its teacher and to measure what each quantizer costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from ..errors import InputError
from ..nn import ActivationQuantizer, DigitalLinear, FixedLayerNorm, QuantizedLinear, Sent, StoredQuantizer
from ..nn.attention import by_distance, float_softmax
from ..topology import Site
from .block import Block
from .encoders import encoder_of
from .quantized import QuantizedForSequenceClassification


@contextmanager
def full_precision(
    network: QuantizedForSequenceClassification,
    sites: Iterable[Site] | None = None,
    *,
    teacher: PreTrainedModel | None = None,
) -> Iterator[None]:
    """Context in which parts of a calibrated network compute with real numbers. Afterward everything is restored.

    A population passes on its input; for ``intermediate`` the teacher's own activation is applied first. A connection
    uses its latent weights. Keys and values are stored as they are. If they or the queries are real, the softmax is an
    ordinary one.

    Args:
        network: a calibrated network.
        sites: populations, connections, and stores (``Site(0, "keys")``). None: all of them, and also the digital steps
            (norms, softmax, head). The network then computes what its teacher computed.
        teacher: model whose embeddings replace the 8-bit ones. A network has no others of its own.

    Raises:
        InputError: the network is not calibrated, has no such site, or its weights are fixed (restored).

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> import torch
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes)).eval()
    >>> batch = {"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]])}
    >>> network = quantize(teacher, batches=[batch])
    >>> with full_precision(network, teacher=teacher):
    ...     torch.allclose(network(**batch).logits, teacher(**batch).logits, atol=1e-5)
    True
    """
    network.check_calibrated()
    known: dict[Site, nn.Module] = {**network.populations(), **network.connections(), **network.stores()}
    chosen = set(known if sites is None else sites)
    for site in chosen - set(known):
        raise InputError("no such site", field=str(site), cure=f"give e.g. {next(iter(known))}")
    activation = ACT2FN[getattr(network.config, "hidden_act", "relu")]
    forwards = {known[site]: _float_forward(site, known[site], activation) for site in chosen}
    with ExitStack() as stack:
        for module, forward in forwards.items():
            _patch(stack, module, "forward", forward)
        for number, block in enumerate(network.layers()):
            if chosen & {Site(number, "queries"), Site(number, "keys")}:
                _patch(stack, block, "attention_probabilities", partial(_float_probabilities, block))
        if sites is None:
            for module in network.modules():
                if isinstance(module, FixedLayerNorm):
                    _patch(stack, module, "forward", partial(nn.LayerNorm.forward, module))
                elif isinstance(module, DigitalLinear):
                    _patch(stack, module, "forward", partial(nn.Linear.forward, module))
        if teacher is not None:
            encoder = encoder_of(teacher)
            tables = {name: encoder.table(teacher, name) for name in encoder.tables}
            _patch(stack, network.embeddings, "rows", lambda name, index: tables[name][index])
        yield


def _patch(stack: ExitStack, module: nn.Module, name: str, function: Callable[..., Any]) -> None:
    """Replace a method of a module until the stack unwinds, unless an outer context has replaced it already."""
    if name not in vars(module):
        setattr(module, name, function)
        stack.callback(delattr, module, name)


def _float_forward(site: Site, module: nn.Module, activation: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Return a forward method without quantization. ``activation``: that of the teacher's feed-forward layer."""
    if isinstance(module, ActivationQuantizer):
        activate = activation if site.part == "intermediate" else lambda x: x
        return lambda x, present=None: Sent(activate(x) / module.pitch, None)
    if isinstance(module, StoredQuantizer):
        return lambda x: x / module.positive_scale
    if isinstance(module, QuantizedLinear):
        return lambda levels, scale, _: F.linear(levels * scale.detach(), module.weight, module.bias)
    raise InputError("weights that are fixed", field=str(site), cure="give a network that can be trained")


def _float_probabilities(block: Block, scores: Tensor, keys: Tensor) -> Tensor:
    bias = None if block.relative_bias is None else by_distance(block.relative_bias, scores)
    return float_softmax(scores, keys, block.real_score_scale, bias)
