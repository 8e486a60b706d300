"""The classifier to convert, with its tokenizer and labels: a folder, a name on the hub, or a model object."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, cast

from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..errors import InputError
from ..models.encoders import ENCODERS, encoder_named, encoder_of
from ..models.loading import WHOLE_MODEL, whole_model
from ..reading import whole
from ..tasks.task import Kind

PATH_STARTS = ("/", "./", "../", "~")
"""What names begin with that are paths, not names on the hub."""


class Classifier(NamedTuple):
    """A full-precision classifier: its name, the model, its tokenizer, and the names of its outputs."""

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    labels: list[str]

    @property
    def kind(self) -> Kind | None:
        """Kind of task according to its configuration. None: it does not say."""
        given = self.model.config.problem_type
        return None if given is None else cast(Kind, str(given).removesuffix("_classification"))


def load_classifier(
    model: str | Path | PreTrainedModel, tokenizer: Tokenizer | PreTrainedTokenizerBase | None = None
) -> Classifier:
    """Load a fine-tuned classifier that can be quantized.

    Args:
        model: a folder, a name on the hub, or the model itself, which is not changed.
        tokenizer: tokenizer of a model that is given as an object. None: the one stored with the model.

    Raises:
        InputError: there is no such model, its encoder is not supported, or it has no fast tokenizer.
    """
    if isinstance(model, Path) or (isinstance(model, str) and (model.startswith(PATH_STARTS) or model.count("/") > 1)):
        model = Path(model).expanduser()
    if isinstance(model, Path) and not model.is_dir():
        raise InputError("no such folder", file=model, cure="give the folder that save_pretrained wrote")
    name = str(model) if isinstance(model, (str, Path)) else str(model.config.name_or_path or type(model).__name__)
    own = _read(name) if isinstance(model, (str, Path)) else deepcopy(model)
    if tokenizer is None:
        with whole(name, "give a folder with config, weights and tokenizer, or a name that the hub knows"):
            tokenizer = AutoTokenizer.from_pretrained(name)
    encoder_of(own)
    fast = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        cure = "give one with a tokenizer.json"
        raise InputError("no fast tokenizer", file=name, field="tokenizer", cure=cure)
    outputs = sorted((int(number), str(label)) for number, label in (own.config.id2label or {}).items())
    own.float()  # type: ignore[no-untyped-call]
    return Classifier(name, own, fast, [label for _, label in outputs])


def _read(name: str) -> PreTrainedModel:
    """Load a classifier from a folder or the hub. An unsupported architecture is refused before loading."""
    with whole(name, WHOLE_MODEL):
        kinds = AutoConfig.from_pretrained(name).architectures
    try:
        encoder_named(*kinds or ENCODERS)
    except InputError as error:
        raise InputError(str(error), file=name) from error
    model: PreTrainedModel = whole_model(AutoModelForSequenceClassification.from_pretrained, name)
    return model
