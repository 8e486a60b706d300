"""A program's ``config.json`` as a Hugging Face configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PretrainedConfig

from ..errors import InputError
from ..models.config import NAMES, CarriesItsCode, inverse
from ..program import Config, Program
from ..program.files import MODEL_TYPE

OPTIONS = {
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "dtype",
    "torch_dtype",
    "name_or_path",
    "return_dict",
}
"""Options that can be given together with a program's name."""

WITHOUT_EFFECT = {
    "attn_implementation": "eager",
    "ignore_mismatched_sizes": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_loading_info": False,
}
"""Options of Hugging Face that a program does not have, with the values at which they have no effect."""

UNSEEN = {"_from_auto", "_from_pipeline", "_commit_hash", "trust_remote_code"}
"""Options that Hugging Face's loaders pass to one another."""


def has_no_effect(name: str, value: Any) -> bool:
    """Whether an option has no effect with this value."""
    return value is None or (name in WITHOUT_EFFECT and value == WITHOUT_EFFECT[name])


def refused(name: str) -> InputError:
    """Return the error for an option that cannot be given together with a program's name."""
    is_fixed = name in (*NAMES, "network", "labels", "task", "texts", "embeddings", "format")
    problem = "fixed by conversion" if is_fixed else "no such option of a program"
    return InputError(problem, field=name, cure=f"leave it out; what can be given: {', '.join(sorted(OPTIONS))}")


class ProgramConfig(CarriesItsCode, PretrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of a program as a Hugging Face model.

    Args:
        network: fields of :class:`matterhorn.program.Config`.
        labels: names of the outputs.
        task: task that the program was trained for, if known.
        problem_type: as in Hugging Face. With one output it is always a regression.
        others: other keys of ``config.json`` (:mod:`matterhorn.program.files`).

    Raises:
        InputError: a value is not possible, or ``num_labels`` is not the program's.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        network: Mapping[str, Any] | None = None,
        labels: Sequence[str] = ("LABEL_0", "LABEL_1"),
        task: str | None = None,
        problem_type: str | None = None,
        **others: Any,
    ):
        formats, names = Config(**(network or {})), dict(enumerate(labels))
        outputs = others.pop("num_labels", None)
        if outputs not in (None, len(names)):
            cure = "train a network with another head, and convert it"
            raise InputError(f"{outputs} labels for a program with {len(names)}", field="num_labels", cure=cure)
        kind = "regression" if len(names) == 1 else problem_type
        super().__init__(**(others | {"id2label": names, "label2id": inverse(names), "problem_type": kind}))
        self.network, self.labels, self.task = formats.plain(), list(labels), task
        self.pad_token_id = formats.pad_token_id

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """Make a configuration from a dictionary. Anything that conversion has fixed cannot be set.

        Raises:
            InputError: an option would change the program itself, or is unknown.
        """
        wanted = options.pop("return_unused_kwargs", False)
        given = {name for name, value in options.items() if not has_no_effect(name, value)}
        config, unused = super().from_dict(config_dict, return_unused_kwargs=True, **options)
        for name in sorted(given - OPTIONS - UNSEEN - set(unused)):
            raise refused(name)
        return (config, unused) if wanted else config

    @classmethod
    def of(cls, program: Program) -> ProgramConfig:
        """Return the configuration of a program."""
        kind = program.problem_type
        return cls(network=program.config.plain(), labels=program.labels, task=program.task, problem_type=kind)

    def names(self, count: int) -> tuple[str, ...]:
        """Return the names that ``id2label`` gives to a program's ``count`` outputs.

        Raises:
            InputError: it does not name exactly these outputs, two names are equal, or only ``label2id`` was changed.
        """
        given = {int(number): str(name) for number, name in (self.id2label or {}).items()}
        if sorted(given) != list(range(count)) or len(set(given.values())) < count:
            cure = f"give {count} different names, for 0 … {count - 1}"
            raise InputError(f"{given}", field="id2label", cure=cure)
        if self.label2id not in (inverse(given), inverse(dict(enumerate(self.labels)))):
            raise InputError(f"{self.label2id} beside {given}", field="label2id", cure="give id2label")
        return tuple(given[number] for number in range(count))
