"""The loss of logits against labels, according to Hugging Face's ``problem_type``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError


def loss_of(logits: Tensor, labels: Any, problem_type: str | None = None) -> Tensor:
    """Compute the loss of logits ``[batch, outputs]``.

    Args:
        logits: float ``[batch, outputs]``.
        labels: a tensor on any device, or values that can be converted to one.
        problem_type: ``regression``: mean squared error. ``single_label_classification``: cross-entropy; labels are
            class numbers ``[batch]``. ``multi_label_classification``: binary cross-entropy of each output; labels are 0
            or 1, ``[batch, outputs]``. None: regression for one output, else it follows from the shape of the labels.

    Raises:
        InputError: labels have the wrong shape, or are not the number of an output.
    """
    try:
        labels = torch.as_tensor(labels, device=logits.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"no tensor of numbers ({error})", field="labels", cure="give numbers") from error
    if problem_type is None:
        several = "multi_label_classification" if labels.shape == logits.shape else "single_label_classification"
        problem_type = "regression" if logits.shape[-1] == 1 else several
    single = problem_type == "single_label_classification"
    batch, columns = len(logits), 1 if single else logits.shape[-1]
    if tuple(labels.shape) not in ((batch, columns), (batch,) if columns == 1 else ()):
        cure = f"give {[batch] if single else [batch, columns]} ({problem_type})"
        raise InputError(f"shape {list(labels.shape)}", field="labels", cure=cure)
    if single:
        try:
            return F.cross_entropy(logits, labels.reshape(batch).long())
        except IndexError as error:  # (not checked before: on a GPU that would wait for all work in progress)
            problem, cure = f"a number outside 0 … {logits.shape[-1] - 1}", "give the numbers of outputs"
            raise InputError(problem, field="labels", cure=cure) from error
    kind = F.mse_loss if problem_type == "regression" else F.binary_cross_entropy_with_logits
    return kind(logits, labels.reshape(batch, columns).to(logits.dtype))
