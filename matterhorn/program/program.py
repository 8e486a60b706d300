"""The program: a converted network that never changes.

All computation on it is on integers, except for the digital steps such as softmax and LayerNorm. A program does not run
by itself; an engine runs it (:mod:`matterhorn.runtime`). Its arrays are read-only NumPy arrays, laid out for the
kernels once, when the program is made. A program can be shared by threads and pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..errors import InputError
from ..topology import POPULATIONS, STATIC, Shape, Site
from .config import Config
from .decision import PROBLEM_TYPES, ProblemType, problem_type_of
from .parts import Block, Connection, Embeddings, Head, Population
from .text import Encoded, encode_texts


@dataclass(frozen=True, eq=False)
class Program:
    """A converted network: embeddings, blocks, output head, and the names of its outputs.

    Make one with :func:`matterhorn.convert`, :func:`matterhorn.load` or :meth:`from_arrays`.

    Attributes:
        config: sizes and number formats.
        embeddings: tables of word, position and segment embeddings, and their LayerNorm.
        blocks: the transformer blocks, in order.
        pooler: first linear layer of the head.
        classifier: last linear layer of the head, which gives the logits.
        labels: names of the outputs, in the order of the logits.
        projection: linear map from narrower embeddings to the hidden size; None if they have the hidden size.
        task: name of the task that the program was trained for, if known.
        tokenizer: turns texts into token numbers, if known.
        path: folder that the program was read from, if any.
        problem_type: meaning of the logits, under Hugging Face's names (:mod:`matterhorn.program.decision`).
        texts: number of texts per row, 1 or 2 (a pair). None: it follows from ``task``, or is unknown.

    >>> import matterhorn as mh
    >>> program = mh.load("sst2")
    >>> program.config.weights, program.shape.layers, program.blocks[0].connections["ffn1"].weights.shape
    ('int1', 6, (1536, 384))
    >>> program.encode(["A fine film.", "Loud."])["input_ids"].shape  # [texts, tokens of the longest]
    (2, 6)
    """

    config: Config
    embeddings: Embeddings
    blocks: tuple[Block, ...]
    pooler: Head
    classifier: Head
    labels: tuple[str, ...]
    projection: Head | None = None
    task: str | None = None
    tokenizer: Tokenizer | None = None
    path: Path | None = None
    problem_type: ProblemType = "single_label_classification"
    texts: int | None = None
    _arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_arrays(
        cls,
        config: Config,
        arrays: Mapping[str, NDArray[Any]],
        *,
        labels: Sequence[str],
        task: str | None = None,
        tokenizer: Tokenizer | None = None,
        path: Path | None = None,
        problem_type: ProblemType | None = None,
        texts: int | None = None,
    ) -> Program:
        """Assemble a program from named arrays, as :meth:`arrays` returns them.

        Args:
            config: sizes and number formats.
            arrays: arrays by name, e.g. ``blocks.0.query.weights``. They are checked, and copied unless they are
                already immutable.
            labels: names of the outputs, all different.
            task, tokenizer, path, texts: see :class:`Program`.
            problem_type: see :class:`Program`. None: regression for one output, else single-label classification.

        Raises:
            InputError: an array is missing, unknown, of the wrong shape, or holds NaN or infinity; a potential could
                leave ±:data:`matterhorn.program.parts.REACH`; the labels are not distinct names; or ``task``,
                ``tokenizer``, ``problem_type`` or ``texts`` is not possible.
        """
        from .assemble import assemble  # imported late: it imports this module

        given: list[tuple[str, Any, Any, str]] = [
            ("config", config, Config, "a Config"),
            ("arrays", arrays, Mapping, "arrays by name"),
            ("labels", labels, (list, tuple), "a list of names"),
            ("task", task, (str, NoneType), "a name, or None"),
            ("tokenizer", tokenizer, (Tokenizer, NoneType), "a tokenizers.Tokenizer, or None"),
        ]
        for name, value, wanted, cure in given:
            if not isinstance(value, wanted):
                raise InputError(f"a {type(value).__name__}", field=name, cure=f"give {cure}")
        are_names = all(isinstance(label, str) and label.strip() for label in labels)
        if not labels or not are_names or len({*labels}) < len(labels):
            raise InputError(f"{list(labels)}", field="labels", cure="give different names, one for each output")
        kind = problem_type or problem_type_of(len(labels))
        if kind not in PROBLEM_TYPES:
            cure = f"choose one of {', '.join(PROBLEM_TYPES)}"
            raise InputError(f"unknown kind {kind!r}", field="problem_type", cure=cure)
        if texts not in (None, 1, 2):
            raise InputError(f"{texts} texts per row", field="texts", cure="give 1, or 2 for pairs")
        about: dict[str, Any] = {"task": task, "tokenizer": tokenizer, "path": path, "texts": texts}
        return assemble(config, arrays, labels=tuple(labels), problem_type=kind, **about)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all arrays by name, e.g. ``blocks.0.query.weights``, without those that are derived from others."""
        return self._arrays

    @property
    def shape(self) -> Shape:
        """Sizes of the encoder, as :class:`matterhorn.topology.Shape`."""
        return self.config.shape

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that determines the result: arrays, config and labels. 64 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps([self.config.plain(), self.labels], sort_keys=True).encode())
        for name, values in sorted(self._arrays.items()):
            digest.update(f"{name}{values.dtype.str}{values.shape}".encode())
            digest.update(values.data if values.ndim else values.tobytes())
        return digest.hexdigest()

    def populations(self) -> dict[Site, Population]:
        """Return every population by site, block by block, in the order in which populations fire."""
        return {Site(i, p.name): block.populations[p.name] for i, block in enumerate(self.blocks) for p in POPULATIONS}

    def connections(self) -> dict[Site, Connection]:
        """Return every connection that has weights by site, block by block, in the order in which connections run."""
        return {Site(i, name): block.connections[name] for i, block in enumerate(self.blocks) for name in STATIC}

    def encode(self, texts: str | Sequence[str | tuple[str, str]], *, max_length: int | None = None) -> Encoded:
        """Tokenize texts into one padded batch for :class:`matterhorn.Engine`.

        Args:
            texts: one text, or a list of texts or of pairs of texts.
            max_length: longer texts are truncated to this many tokens, special tokens included. In a pair, the longer
                text is shortened first. None: nothing is truncated.

        Returns:
            Arrays ``input_ids``, ``attention_mask`` and ``token_type_ids``, int64 ``[texts, L]``, padded on the right
            to the longest text.

        Raises:
            InputError: the program has no tokenizer; there is no text, or one is empty or not a string; a text has more
                tokens than the network reads, even after truncation; or ``max_length`` leaves no room for text.
        """
        (whole,) = encode_texts(self._tokenizer(), texts, self.config, max_length)
        return whole

    def batches(
        self, texts: str | Iterable[str | tuple[str, str]], size: int, *, max_length: int | None = None
    ) -> list[Encoded]:
        """Tokenize texts into batches of ``size`` texts, each padded to its own longest text.

        All texts are read before the first batch is made, so an error gives the text's number among all of them.

        Args:
            texts, max_length: see :meth:`encode`. ``texts`` may also be an iterator.
            size: texts per batch; the last batch may have fewer.

        Raises:
            InputError: as in :meth:`encode`, or ``size`` is less than 1.
        """
        if size < 1:
            raise InputError(f"batches of {size}", field="size", cure="give 1 or more")
        return encode_texts(self._tokenizer(), texts, self.config, max_length, size)

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            cure = "load a program with its tokenizer, or give token numbers"
            raise InputError("no tokenizer", file=self.path, field="tokenizer", cure=cure)
        return self.tokenizer

    def save(self, folder: str | Path) -> None:
        """Write the program to a folder that :func:`matterhorn.load` reads.

        The folder gets the arrays, the config, the tokenizer and a manifest. It is written completely or not at all.

        Raises:
            InputError: the folder holds another kind of model, or other files where the program's would go.
        """
        from .saving import save

        save(self, Path(folder))

    def __reduce__(self) -> Any:
        names = ("labels", "task", "tokenizer", "path", "problem_type", "texts")
        return _from_parts, (self.config, dict(self._arrays), {name: getattr(self, name) for name in names})


def _from_parts(config: Config, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> Program:
    return Program.from_arrays(config, arrays, **about)
