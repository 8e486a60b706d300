"""The mean of the weights that a phase had at its last evaluations (stochastic weight averaging, arXiv 1803.05407).

One-bit weights that are near a flip stray from one evaluation to the next, each time in another direction. A mean over
thousands of steps has little of that.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel


def remember(folder: Path, step: int, model: PreTrainedModel, number: int) -> None:
    """Keep the learned parameters of ``model`` as those of ``step`` in ``folder``, with those of the last ``number``
    evaluations, this one included; older ones go."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "new.tmp"
    save_file({name: value.detach().contiguous().clone() for name, value in model.named_parameters()}, fresh)
    os.replace(fresh, folder / f"{step}.safetensors")
    for old in remembered(folder)[:-number]:
        old.unlink()


def remembered(folder: Path) -> list[Path]:
    """Files of :func:`remember`, oldest first."""
    return sorted(folder.glob("*.safetensors"), key=lambda path: int(path.stem))


def mean_network(folder: Path, model: PreTrainedModel) -> PreTrainedModel:
    """``model`` with the mean of all that is remembered in ``folder`` as its parameters; its buffers are its own."""
    places = remembered(folder)
    sums: dict[str, torch.Tensor] = {}
    for place in places:
        for name, value in load_file(place).items():
            sums[name] = sums[name] + value.double() if name in sums else value.double()
    network = type(model)(model.config)
    network.load_state_dict(model.state_dict())
    nn.Module.to(network, model.device)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(sums[name] / len(places))
    return network
