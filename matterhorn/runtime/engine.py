"""The engine: runs a program through one of its backends. It takes arrays and returns arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..program.decision import check_classifier, decide, probabilities
from ..program.program import Program
from ..program.text import Text, checked_texts
from ..program.trace import Trace
from .backend import Backend, Watcher
from .blocks import Blocks
from .events import EventsBackend
from .exact import ExactBackend
from .forward import embed, run
from .record import TraceRecorder
from .sequences import Sequences
from .stepped import SteppedBackend
from .threads import threads_of, too_many

if TYPE_CHECKING:
    from ..msu import ArrayBank

BACKENDS: dict[str, Callable[[], Backend]] = {
    "events": EventsBackend,
    "exact": ExactBackend,
    "stepped": SteppedBackend,
}
"""Backends that need only a program, no chip."""

TILE = 256
"""Approximate number of tokens that run together. Their activations fit into a core's L2 cache."""

LONG_TILE = 1024
"""The same for a simulated chip. Its matrices exceed the caches, so more tokens should share a pass over them."""


@dataclass(frozen=True, eq=False)
class Output:
    """Logits of a batch, float32 ``[batch, labels]``, and its trace if one was requested."""

    logits: NDArray[np.float32]
    trace: Trace | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of a program to one text.

    Attributes:
        text: the text; the two texts of a pair are joined by a tab.
        label, score: name of the output with the largest logit, and that logit.
        probabilities: probability by label. None for a regression, whose answer is ``score``, or ``scores`` of several.
        tokens: number of tokens that were read, special tokens included.
        trace: counts for this text, if they were requested.
        labels: labels that hold. Single-label: the one in ``label``. Multi-label: all with a probability above one
            half. Regression: none.
        scores: logit by label.
    """

    text: str
    label: str
    score: float
    probabilities: dict[str, float] | None
    tokens: int
    trace: Trace | None = None
    labels: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)


class Engine:
    """Runs a program on batches of tokens or on texts.

    >>> import matterhorn as mh
    >>> engine = mh.Engine(mh.load("sst2"), backend="events", threads=1)
    >>> engine.classify(["A quiet, patient film."])[0].label
    'positive'

    Args:
        program: the program to run.
        backend: ``events`` (work is proportional to the events), ``exact`` (closed form), ``stepped`` (slot by slot) or
            ``analog`` (simulated synapse arrays). The first three give bit-identical results. May also be an object
            that implements :class:`matterhorn.runtime.Backend`.
        threads: number of threads, which share a batch or one long text. None: ``OMP_NUM_THREADS`` if it is set, else
            all processors.
        chip: simulated chip that the program is written to (:class:`matterhorn.msu.ArrayBank`), for ``analog`` only.

    Raises:
        InputError: ``program`` is not one; the backend is unknown, it needs a chip or has no use for one; or
            ``threads`` is not 1 or more.
    """

    def __init__(
        self,
        program: Program,
        backend: str | Backend = "events",
        *,
        threads: int | None = None,
        chip: ArrayBank | None = None,
    ):
        if not isinstance(program, Program):
            what = repr(program) if isinstance(program, (str, Path)) else f"a {type(program).__name__}"
            raise InputError(f"{what}, not a program", field="program", cure='give one, e.g. mh.load("sst2")')
        self.program, self.backend = program, backend_of(program, backend, chip)
        self.threads = threads_of(threads)
        looked_up = all(population.looked_up for block in program.blocks for population in block.populations.values())
        self._blocks = Blocks(program) if looked_up and isinstance(self.backend, EventsBackend) else None

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        *,
        trace: bool = False,
        watcher: Watcher | None = None,
    ) -> Output:
        """Run a padded batch of tokens.

        Args:
            input_ids, attention_mask, token_type_ids: integers ``[batch, L]``, as :meth:`Program.encode` or a Hugging
                Face tokenizer returns them, padded on the right. Without a mask, all tokens exist. Without types, all
                are 0. A program that has no token types ignores them.
            trace: whether to count events and operations.
            watcher: object that is passed the spikes of every population, for the whole batch at once.

        Raises:
            InputError: the shapes differ, values are not integers or outside the tables, or a row starts with padding.
        """
        tokens, types, mask, sequences = self._checked(input_ids, attention_mask, token_type_ids)
        recorder = TraceRecorder(self.program) if trace else None
        if recorder:
            recorder.rows(tokens, types, sequences)
        watching = [one for one in (recorder, watcher) if one is not None]
        if watcher is not None:
            logits = run(self.program, self.backend, tokens, types, sequences, watching)
        else:
            read = partial(run, watchers=watching)
            logits = self._in_tiles(tokens, types, mask, sequences, read, 1 if trace else self.threads)
        return Output(logits, recorder.trace if recorder else None)

    def classify(
        self, texts: str | Sequence[Text], *, trace: bool = False, max_length: int | None = None
    ) -> list[Answer]:
        """Classify texts or pairs of texts. Returns one :class:`Answer` per text.

        Args:
            texts: one text, or a list of texts or of pairs of texts.
            trace: whether each answer has a trace of its own. Texts then run one by one.
            max_length: see :meth:`.Program.encode`.

        Raises:
            InputError: as in :meth:`.Program.encode`, or the program is a general encoder, which has no trained
                classifier.
        """
        check_classifier(self.program.task, self.program.path)
        listed = checked_texts(texts)
        answers: list[Answer] = []
        for encoded in self.program.batches(listed, 1 if trace else len(listed), max_length=max_length):
            output, tokens = self(**encoded, trace=trace), encoded["attention_mask"].sum(1)
            batch = listed[len(answers) : len(answers) + len(tokens)]
            answers += map(self._answer, batch, output.logits, tokens, [output.trace] * len(batch))
        return answers

    def embed(self, texts: str | Sequence[Text], *, max_length: int | None = None) -> NDArray[np.float32]:
        """Compute sentence embeddings, float32 ``[texts, width]``: the mean of each text's last hidden states.

        Args:
            texts, max_length: see :meth:`.Program.encode`.

        Raises:
            InputError: as in :meth:`.Program.encode`, or the program computes only the first token's last state, as
                classifiers do.
        """
        if self.program.shape.first_only:
            cure = "take embed-mini, or convert(…, every_token=True)"
            raise InputError("a classifier, which has one token's last state only", file=self.program.path, cure=cure)
        encoded = self.program.encode(checked_texts(texts), max_length=max_length)
        return self._in_tiles(*self._checked(**encoded), embed, self.threads)

    def _answer(self, text: Text, logits: NDArray[np.float32], tokens: int, trace: Trace | None) -> Answer:
        names, kind, best = self.program.labels, self.program.problem_type, int(logits.argmax())
        shown = text if isinstance(text, str) else "\t".join(text)
        shares = probabilities(kind, logits)
        by_name = None if shares is None else dict(zip(names, shares.tolist(), strict=True))
        scores = dict(zip(names, logits.tolist(), strict=True))
        held = [] if shares is None else np.atleast_1d(np.array(names)[decide(kind, logits)]).tolist()
        return Answer(shown, names[best], float(logits[best]), by_name, int(tokens), trace, tuple(held), scores)

    def _checked(
        self, input_ids: ArrayLike, attention_mask: ArrayLike | None, token_type_ids: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], Sequences]:
        config = self.program.config
        tokens = _array("input_ids", input_ids)
        mask = np.ones_like(tokens) if attention_mask is None else _array("attention_mask", attention_mask)
        typed = token_type_ids is not None and config.type_vocab_size
        types = _array("token_type_ids", token_type_ids) if typed else np.zeros_like(tokens)
        if tokens.ndim != 2 or tokens.shape != mask.shape or tokens.shape != types.shape:
            shapes = f"shapes {list(tokens.shape)}, {list(mask.shape)}, {list(types.shape)}"
            raise InputError(shapes, field="input_ids", cure="give three arrays [batch, L] of one shape")
        if tokens.shape[1] > config.max_position_embeddings:
            cure = f"give at most {config.max_position_embeddings}"
            raise InputError(f"{tokens.shape[1]} tokens", field="input_ids", cure=cure)
        for name, given in (("input_ids", tokens), ("attention_mask", mask), ("token_type_ids", types)):
            if given.dtype.kind not in "iub":
                raise InputError(f"{given.dtype} instead of integers", field=name, cure="use its own tokenizer")
        tokens, types, sequences = tokens.astype(np.int64), types.astype(np.int64), Sequences.of(mask)
        for name, numbers, rows in (
            ("input_ids", tokens, config.vocab_size),
            ("token_type_ids", types, max(1, config.type_vocab_size)),
        ):
            own = numbers.ravel()[sequences.index].view(np.uint64)  # negative numbers become the largest
            if int(own.max()) >= rows:
                raise InputError(f"a number outside a table of {rows} rows", field=name, cure="use its own tokenizer")
        return tokens, types, mask, sequences

    def _in_tiles(
        self,
        tokens: NDArray[np.int64],
        types: NDArray[np.int64],
        mask: NDArray[Any],
        sequences: Sequences,
        read: Callable[..., NDArray[np.float32]],
        threads: int,
    ) -> NDArray[np.float32]:
        """Run a batch in tiles that fit the caches, on several threads (on one if the backend draws noise)."""
        threads = 1 if self.backend.draws else threads
        most = LONG_TILE if self.backend.draws else TILE
        tiles = cut(sequences.lengths.tolist(), threads, most)
        if len(tiles) == 1:
            return read(self.program, self.backend, tokens, types, sequences, blocks=self._blocks, threads=threads)

        def one(rows: slice) -> NDArray[np.float32]:
            own = Sequences.of(mask[rows])
            return read(self.program, self.backend, tokens[rows], types[rows], own, blocks=self._blocks)

        if threads == 1:
            return np.concatenate([one(tile) for tile in tiles])
        with ThreadPoolExecutor(threads) as pool:
            try:
                parts = pool.map(one, tiles)
            except RuntimeError as error:
                raise too_many(threads, error) from error
            return np.concatenate(list(parts))


def _array(name: str, values: Any) -> NDArray[Any]:
    """Convert values to an array.

    Raises:
        InputError: this is not possible. The message says why.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, or a tensor on a GPU
        raise InputError(f"not an array ({error})", field=name, cure="give rows of one length, on the CPU") from error


def backend_of(program: Program, backend: str | Backend, chip: ArrayBank | None = None) -> Backend:
    """Return the backend of this name, or ``backend`` itself if it is one."""
    if backend == "analog":
        from ..msu import ArrayBank
        from .analog import AnalogBackend

        if not isinstance(chip, ArrayBank):
            cure = "give chip=ArrayBank.of(device, circuit)"
            raise InputError("analog needs a chip", field="backend" if chip is None else "chip", cure=cure)
        return AnalogBackend(program, chip)
    if chip is not None:
        raise InputError(f"backend {backend!r} has no chip", field="chip", cure="leave it out, or take analog")
    if isinstance(backend, str) and backend in BACKENDS:
        return BACKENDS[backend]()
    if isinstance(backend, str) or not isinstance(backend, Backend):
        cure = f"choose one of {', '.join(BACKENDS)}, analog"
        raise InputError(f"no backend {backend!r}", field="backend", cure=cure)
    return backend


def cut(lengths: list[int], threads: int, most: int = TILE) -> list[slice]:
    """Cut sequences into slices of about ``most`` tokens each, or fewer if some threads would otherwise be idle."""
    size = min(most, max(1, -(-sum(lengths) // threads)))
    tiles, start, tokens = [], 0, 0
    for i, length in enumerate(lengths):
        tokens += length
        if tokens >= size:
            tiles.append(slice(start, i + 1))
            start, tokens = i + 1, 0
    if start < len(lengths):
        tiles.append(slice(start, len(lengths)))
    return tiles
