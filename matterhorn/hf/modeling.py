"""A program as a Hugging Face model, which pipelines and Auto classes can run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub import HfApi
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..errors import InputError
from ..models.config import CarriesItsCode, inverse
from ..models.loss import loss_of
from ..program import Program, find
from ..program.decision import check_classifier
from ..program.files import load_classifier
from ..program.remote import download, is_remote
from ..program.saving import save
from ..runtime import Engine
from .card import texts_beside
from .configuration import OPTIONS, UNSEEN, ProgramConfig, has_no_effect, refused

IGNORED = UNSEEN | {"adapter_kwargs", "code_revision", "low_cpu_mem_usage", "use_safetensors", "weights_only"}
"""Options of Hugging Face's loaders about files that a program does not have. They are ignored."""

PARAMETERS = (".weights", ".weight", ".bias", "embeddings.word", "embeddings.position", "embeddings.segment")
"""Endings of the names of arrays that hold a network's parameters. All other arrays describe how they are coded."""


class ProgramForSequenceClassification(CarriesItsCode, PreTrainedModel):  # type: ignore[no-untyped-call]
    """A program with the interface of ``AutoModelForSequenceClassification``.

    It always runs on the CPU and returns its answers on the device of its input. It cannot be trained.

    Attributes:
        program: the program that runs.
        backend: name of the backend, which can be set: ``model.backend = "exact"``. ``analog`` is not possible here, as
            it needs a chip. All others give bit-identical results.

    Raises:
        InputError: the model is made from a configuration alone, or from a general encoder, which has no classifier.

    >>> model = ProgramForSequenceClassification.from_pretrained("sst2")
    >>> model(torch.tensor([[101, 2307, 102]])).logits.shape
    torch.Size([1, 2])
    """

    config_class = ProgramConfig
    config: ProgramConfig
    main_input_name = "input_ids"
    accepts_loss_kwargs = False

    def __init__(self, config: ProgramConfig, program: Program | None = None):
        super().__init__(config)
        if program is None:
            cure = "load one with from_pretrained, or wrap one with ProgramForSequenceClassification.of(program)"
            raise InputError("a program is made by conversion, not from a config", field="program", cure=cure)
        check_classifier(program.task, program.path)
        self.program = program
        self.backend = "events"
        self._has_warned = False

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.engine.backend.name

    @backend.setter
    def backend(self, name: str) -> None:
        self.engine = Engine(self.program, name)

    @classmethod
    def of(cls, program: Program, config: ProgramConfig | None = None) -> ProgramForSequenceClassification:
        """Wrap a program. ``config`` may have other names of its outputs or another ``problem_type``.

        Raises:
            InputError: the configuration belongs to another program.
        """
        config = config or ProgramConfig.of(program)
        if config.network != program.config.plain():
            raise InputError("of another program", field="config", cure="leave it out")
        names = config.names(len(program.labels))
        config.labels, config.label2id = list(names), inverse(dict(enumerate(names)))
        model = cls(config, program)
        model.train(False)
        return model

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: ProgramConfig | None = None,
        subfolder: str = "",
        device_map: Any = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **options: Any,
    ) -> ProgramForSequenceClassification:
        """Load a program from a folder, by its shipped name, or from the hub (``owner/name``).

        Args:
            pretrained_model_name_or_path: path of the folder, or name of the program. Unlike in
                :func:`matterhorn.load`, a folder comes before a shipped program, as elsewhere in Hugging Face.
            config: configuration from ``AutoConfig``, possibly changed.
            device_map: "cpu" or "auto", which mean the same here.
            subfolder, revision, cache_dir, token, local_files_only, force_download: see Hugging Face's hub.
            options: ``id2label`` renames the outputs; ``problem_type`` says what ``labels`` are; ``return_dict`` is the
                default for :meth:`forward`. ``num_labels`` and ``dtype`` must be the program's own. Other options of
                Hugging Face are accepted at values without effect, e.g. ``output_attentions=False``.

        Raises:
            InputError: there is no program, it is truncated or altered, or an option is not possible.
        """
        whole = device_map.get("") if isinstance(device_map, dict) and len(device_map) == 1 else device_map
        if whole not in (None, "auto", "cpu", torch.device("cpu")):
            cure = 'give "cpu"; the input may be on another device'
            raise InputError(f"{device_map!r}: a program runs on the CPU", field="device_map", cure=cure)
        for name, value in options.items():
            if name not in OPTIONS | IGNORED and not has_no_effect(name, value):
                raise refused(name)
        source = pretrained_model_name_or_path
        if Path(source).is_dir():
            folder = Path(source) / subfolder
        elif isinstance(source, str) and is_remote(source):
            places = {"cache_dir": cache_dir, "token": token}
            ways = {"local_files_only": local_files_only, "force_download": force_download}
            folder = download(source, revision, **places, **ways) / subfolder
        else:
            folder = find(source) / subfolder
        given = {name: value for name, value in options.items() if name in OPTIONS and value is not None}
        _check_dtype(given.pop("dtype", None), given.pop("torch_dtype", None), getattr(config, "dtype", None))
        program = load_classifier(folder)
        return cls.of(program, config or ProgramConfig.from_pretrained(folder, **given))

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, is_main_process: bool = True, push_to_hub: bool = False, **options: Any
    ) -> None:
        """Write a folder that contains the whole program, its tokenizer and a model card.

        The outputs are named as in ``config.id2label``. Other files in the folder stay, and so does an existing model
        card. With ``push_to_hub``, ``options`` are passed to :meth:`push_to_hub`; Hugging Face's other options have no
        effect.

        Raises:
            InputError: the names are not possible, or the folder contains another kind of model.
        """
        if not is_main_process:
            return
        folder, names = Path(save_directory), self.config.names(len(self.program.labels))
        program = self.program if names == self.program.labels else replace(self.program, labels=names)
        save(program, folder, beside=texts_beside(program, folder), about={"problem_type": self.config.problem_type})
        if push_to_hub:
            self.push_to_hub(options.pop("repo_id", folder.resolve().name), **options)

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Upload everything that :meth:`save_pretrained` writes to a repository on the hub, which is created if
        needed.

        Returns:
            URL of the commit.
        """
        api = HfApi(token=token)
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        with TemporaryDirectory() as place:
            folder = Path(place) / repo.repo_id.rsplit("/", 1)[-1]
            self.save_pretrained(folder)
            commit = api.upload_folder(
                repo_id=repo.repo_id,
                folder_path=folder,
                commit_message=commit_message or "Upload a program",
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
            )
        return str(commit.commit_url)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the weights, biases, norms and embeddings of the network that the program was converted from."""
        return sum(
            array.size
            for name, array in self.program.arrays().items()
            if not only_trainable
            and name.endswith(PARAMETERS)
            and not (exclude_embeddings and name.startswith("embeddings.") and "norm" not in name)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Size of all arrays in bytes. ``return_buffers`` has no effect, since a program has no buffers."""
        return sum(array.nbytes for array in self.program.arrays().values())

    def load_state_dict(self, state_dict: Any, *_: Any, **__: Any) -> Any:
        """Accept only an empty state, since a program has no weights to set; anything else raises an InputError."""
        if state_dict:
            cure = "load a program with from_pretrained"
            raise InputError(f"{len(state_dict)} tensors, a program has none", field="state_dict", cure=cure)
        return super().load_state_dict(state_dict)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the logits."""
        return torch.float32

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ProgramForSequenceClassification:
        """Handle ``to``, ``cuda``, ``half`` and similar calls. A program stays on the CPU, in its own formats."""
        sent = fn(torch.zeros(1))
        _check_dtype(sent.dtype)
        if sent.device != self.device and not self._has_warned:
            self._has_warned = True
            warnings.warn(f"a program stays on the CPU; answers come back to {sent.device}", stacklevel=3)
        return self

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # there is nothing to compile: the kernels are
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Run a batch on the CPU and return the logits on the device of ``input_ids``.

        Args:
            input_ids, attention_mask, token_type_ids: integers ``[batch, L]``, padded on either side, as tensors or
                NumPy arrays.
            labels: targets to compute a loss for, in the form that ``config.problem_type`` requires
                (:func:`matterhorn.models.loss.loss_of`).
            return_dict: whether to return a ``SequenceClassifierOutput`` instead of a tuple. None: as the
                configuration says, by default yes.

        Raises:
            InputError: ``input_ids`` are missing, too long or outside the tables; labels have the wrong shape; an input
                or output was requested that programs do not have (embeddings, attentions, hidden states); or this is a
                step of training.
        """
        if labels is not None and self.training and torch.is_grad_enabled():
            cure = "distill the quantized network that it was converted from, and convert that"
            raise InputError("a program cannot be trained", field="labels", cure=cure)
        for name, value in others.items():
            if value is not None and value is not False:
                raise InputError("a program has no such input or output", field=name, cure="leave it out")
        if input_ids is None:
            raise InputError("missing", field="input_ids", cure="give token numbers")
        tokens = torch.as_tensor(input_ids)
        mask, types = (None if x is None else torch.as_tensor(x).cpu() for x in (attention_mask, token_type_ids))
        answer = self.engine(*padded_right(tokens.cpu(), mask, types))
        logits = torch.from_numpy(answer.logits).to(tokens.device)
        loss = None if labels is None else loss_of(logits, labels, self.config.problem_type)
        given = SequenceClassifierOutput(loss=loss, logits=logits)
        wanted = self.config.return_dict if return_dict is None else return_dict
        return given.to_tuple() if wanted is False else given


def padded_right(
    input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Move each row ``[L]`` of a batch to the left, so that padding at its start goes to its end."""
    if attention_mask is None or attention_mask.shape != input_ids.shape or attention_mask[:, 0].all():
        return input_ids, attention_mask, token_type_ids
    length = input_ids.shape[1]
    before = attention_mask.bool().int().argmax(1, keepdim=True)
    places = (torch.arange(length) + before) % length
    types = None if token_type_ids is None else token_type_ids.gather(1, places)
    return input_ids.gather(1, places), attention_mask.gather(1, places), types


def _check_dtype(*given: Any) -> None:
    """Refuse data types that a program does not support."""
    for dtype in given:
        if dtype not in (None, "auto", "float32", torch.float32):
            cure = "leave it out; a program's weights have few bits already"
            raise InputError(f"{dtype}: a program gives float32", field="dtype", cure=cure)
