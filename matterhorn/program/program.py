"""The program: a converted network, frozen. Integers only, but for the digital steps; no engine in it.

Everything is a NumPy array over bytes that nothing can write to, laid out for the kernels once, when the program is
made. A program can be shared by threads and pickled.
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
    """A converted network: embeddings, blocks, head, and what its answers are called.

    Attributes:
        config: shape and number formats. labels: names of the outputs. projection: from narrower embeddings to the
            hidden size, if there is one. task: what it was trained for, if known.
        problem_type: what its logits mean (:mod:`.decision`), as Hugging Face names it.
        texts: how many a row of its task has, 1 or 2 (a pair), if that does not follow from a known task.
        tokenizer: what makes tokens of texts, if known. path: the folder it was read from.

    Make one with :meth:`from_arrays`, :func:`matterhorn.convert` or :func:`matterhorn.load`.

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
        """Assemble a program from the arrays that :meth:`arrays` gives.

        Raises:
            InputError: an array is missing, has another shape, is none of a program's, or holds NaN or infinity;
                potentials could leave ±:data:`.parts.REACH`; there is no such problem type or number of texts; labels
                are not different names, the task is no text, or the tokenizer none of ``tokenizers``.
        """
        from .assemble import assemble  # (program and assembly know each other)

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
            raise InputError(f"{texts} texts a row", field="texts", cure="give 1, or 2 for pairs")
        named = tuple(labels)
        return assemble(
            config, arrays, labels=named, task=task, tokenizer=tokenizer, path=path, problem_type=kind, texts=texts
        )

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All arrays by name, e.g. ``blocks.0.query.weights``, none of them derived from another."""
        return self._arrays

    @property
    def shape(self) -> Shape:
        """Sizes of the encoder."""
        return self.config.shape

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all that runs: numbers, formats and labels."""
        digest = hashlib.sha256(json.dumps([self.config.plain(), self.labels], sort_keys=True).encode())
        for name, values in sorted(self._arrays.items()):
            digest.update(f"{name}{values.dtype.str}{values.shape}".encode())
            digest.update(values.data if values.ndim else values.tobytes())
        return digest.hexdigest()

    def populations(self) -> dict[Site, Population]:
        """Every population, in the order in which they fire."""
        return {Site(i, p.name): block.populations[p.name] for i, block in enumerate(self.blocks) for p in POPULATIONS}

    def connections(self) -> dict[Site, Connection]:
        """Every connection with weights, in the order in which they run."""
        return {Site(i, name): block.connections[name] for i, block in enumerate(self.blocks) for name in STATIC}

    def encode(self, texts: str | Sequence[str | tuple[str, str]], *, max_length: int | None = None) -> Encoded:
        """Texts, or pairs of texts, as padded int64 arrays ``input_ids``, ``attention_mask``, ``token_type_ids``
        ``[texts, L]``.

        Args:
            max_length: longer texts are cut to so many tokens (of a pair the longer one first); None: they are refused.

        Raises:
            InputError: there is no tokenizer, a text is none, empty or longer than the network reads, or ``max_length``
                leaves nothing of it.
        """
        (whole,) = encode_texts(self._tokenizer(), texts, self.config, max_length)
        return whole

    def batches(
        self, texts: str | Iterable[str | tuple[str, str]], size: int, *, max_length: int | None = None
    ) -> list[Encoded]:
        """The same in batches of ``size`` texts, each as long as its longest. All texts are read before the first
        batch is made, so that an error says which of all it is about.

        Raises:
            InputError: as of :meth:`encode`; or there is no such size.
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
        """Write a folder that :func:`matterhorn.load` reads: arrays, config, tokenizer."""
        from .saving import save

        save(self, Path(folder))

    def __reduce__(self) -> Any:
        names = ("labels", "task", "tokenizer", "path", "problem_type", "texts")
        return _from_parts, (self.config, dict(self._arrays), {name: getattr(self, name) for name in names})


def _from_parts(config: Config, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> Program:
    return Program.from_arrays(config, arrays, **about)
