"""Load complete Hugging Face models: no tensor silently initialized at random, no NaN or infinity, no pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from ..errors import InputError
from ..reading import whole

WHOLE_MODEL = "give a folder with config.json and whole model.safetensors"


def whole_model(
    load: Callable[..., Any], source: str | Path, *arguments: Any, head: bool = True, **options: Any
) -> Any:
    """Call a ``from_pretrained`` function and check its result.

    Args:
        load: the function, e.g. ``AutoModel.from_pretrained``.
        source: folder of a model, or its name on the hub.
        head: whether pooler and classifier must be there too. If not, they are initialized at random where they are
            missing or of other sizes.
        options: options of ``load``, including ``output_loading_info``.

    Raises:
        InputError: there is no such model, or a tensor is missing, of another size, or has NaN or infinity.
    """
    wants_info = options.pop("output_loading_info", False)
    usual = {"use_safetensors": True, "ignore_mismatched_sizes": True}
    with whole(source, WHOLE_MODEL), _quiet():
        model, info = load(source, *arguments, **(usual | options), output_loading_info=True)
    mismatched = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    wrong = sorted(name for name in {*info["missing_keys"], *mismatched} if head or _of_encoder(model, name))
    if wrong:
        problem = "tensors missing, or of other sizes"
        raise InputError(f"{problem} ({len(wrong)} of them)", file=source, field=wrong[0], cure=WHOLE_MODEL)
    check_finite(model, source)
    return (model, info) if wants_info else model


def check_finite(model: PreTrainedModel, source: str | Path | None = None) -> None:
    """Check the tensors of a model, which was loaded from ``source``. Scales may be NaN: they are not calibrated yet.

    Raises:
        InputError: one has NaN or infinity.
    """
    for name, values in model.state_dict().items():
        if not values.is_floating_point():
            continue
        real = values.float()  # 8-bit floats have no test of their own
        unset = real.isnan() if name.endswith("scale") else torch.zeros((), dtype=torch.bool)
        if not bool((real.isfinite() | unset).all()):
            raise InputError("NaN or infinity", file=source, field=name, cure="train anew, or restore the file")


def check_dtype(*given: Any) -> None:
    """Refuse data types in which a quantized network would be another one.

    Raises:
        InputError: one is neither float32 nor left open.
    """
    for dtype in given:
        if dtype not in (None, "auto", "float32", torch.float32):
            cure = "leave it in float32; torch.autocast computes products in bfloat16"
            raise InputError(f"{dtype}: a quantized network is exact in float32", field="dtype", cure=cure)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without Hugging Face's long report of what it loaded. What matters in it is checked here."""
    before = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _of_encoder(model: PreTrainedModel, name: str) -> bool:
    return name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name
