"""Watch what passes through a network: batches go in, hooks see the values on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import InputError
from ..topology import Site

Batch = Mapping[str, Tensor | NDArray[np.integer]]
"""``input_ids`` and, optionally, ``attention_mask`` and ``token_type_ids``: integers ``[batch, L]``."""

M = TypeVar("M", bound=nn.Module)


@contextmanager
def watching(modules: Mapping[Site, M], look: Callable[[Site, M, Tensor], None]) -> Iterator[None]:
    """Context in which ``look(site, module, x)`` is called with the input of each module before it runs."""

    def hook(site: Site) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: look(site, cast(M, module), inputs[0])

    hooks = [module.register_forward_pre_hook(hook(site)) for site, module in modules.items()]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context in which a model is in evaluation mode. Afterward its mode is restored."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def taken_by(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch without labels, and without token types if the model (or the one it wraps) has none."""
    config = getattr(model, "module", model).config
    left_out = {"labels"} if getattr(config, "type_vocab_size", 0) else {"labels", "token_type_ids"}
    return {name: values for name, values in batch.items() if name not in left_out}


def check_inputs(
    network: PreTrainedModel, teacher: PreTrainedModel | None, rows: Iterable[Tensor | ArrayLike], name: str = "network"
) -> None:
    """Check that a quantized network and its teacher have embeddings for all tokens of some rows.

    Args:
        rows: ``input_ids`` of rows, ``[L]``, or of batches, ``[batch, L]``.
        name: what the network is called in errors.

    Raises:
        InputError: a number is outside a vocabulary, or a row is longer than the network reads.
    """
    lowest, highest, longest = 0, 0, 0
    for row in map(torch.as_tensor, rows):
        if row.numel():
            lowest, highest = min(lowest, int(row.min())), max(highest, int(row.max()))
            longest = max(longest, row.shape[-1])
    for field, model in ((name, network), ("teacher", teacher)):
        if model is not None and (lowest < 0 or highest >= model.config.vocab_size):
            problem = f"token {lowest if lowest < 0 else highest}, outside its vocabulary of {model.config.vocab_size}"
            raise InputError(problem, field=field, cure="use its own tokenizer")
    if longest > (most := network.config.max_position_embeddings):
        raise InputError(f"a row of {longest} tokens", field=name, cure=f"give at most {most}")


def tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Return the inputs in a batch as int64 tensors on a device."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    return {name: torch.as_tensor(batch[name]).to(device, torch.int64) for name in names if name in batch}
