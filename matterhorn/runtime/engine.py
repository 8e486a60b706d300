"""The engine: runs a program through one of its backends. Arrays in, arrays out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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

if TYPE_CHECKING:
    from ..msu import ArrayBank

BACKENDS: dict[str, Callable[[], Backend]] = {
    "events": EventsBackend,
    "exact": ExactBackend,
    "stepped": SteppedBackend,
}
"""Backends that need nothing but a program."""

TILE = 256
"""Tokens that run together, about: their activations fit a core's second-level cache."""

LONG_TILE = 1024
"""The same on a chip, whose matrices outgrow the caches, so that more tokens share a pass."""


@dataclass(frozen=True, eq=False)
class Output:
    """``logits`` float32 ``[batch, labels]``; ``trace``, if it was asked for."""

    logits: NDArray[np.float32]
    trace: Trace | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a program says of one text: the label with the largest logit and that logit (``score``), probabilities by
    label (None for scores: then ``score``, or ``scores`` of several, is the answer), and ``labels``: all that hold
    (of several at once those over one half; none of a score). ``tokens``: of the text; ``trace``, if it was asked
    for."""

    text: str
    label: str
    score: float
    probabilities: dict[str, float] | None
    tokens: int
    trace: Trace | None = None
    labels: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)


class Engine:
    """Runs a program.

    >>> import matterhorn as mh
    >>> engine = mh.Engine(mh.load("sst2"), backend="events", threads=1)
    >>> engine.classify(["A quiet, patient film."])[0].label
    'positive'

    Args:
        backend: ``events`` (work follows the events), ``exact`` (closed form), ``stepped`` (slot by slot) or ``analog``
            (a model of synapse arrays); the first three give the same bits. Or a backend of one's own.
        threads: parts of a batch that run side by side, or of one long text; by default ``OMP_NUM_THREADS``, else all
            processors.
        chip: for ``analog``: what the program is written to, an :class:`matterhorn.msu.ArrayBank`.

    Raises:
        InputError: there is no such backend, it lacks a chip or has none, or threads are no number.
    """

    def __init__(
        self,
        program: Program,
        backend: str | Backend = "events",
        *,
        threads: int | None = None,
        chip: ArrayBank | None = None,
    ):
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
        """Run a padded batch.

        Args:
            input_ids, attention_mask, token_type_ids: integers ``[batch, L]``, as :meth:`Program.encode` or a Hugging
                Face tokenizer gives them; padding lies behind the text. No mask: all tokens exist; no types: all 0.
                Types are ignored by a program that has none.
            trace: whether to count what happens.
            watcher: sees every population's spikes, of the batch as a whole.

        Raises:
            InputError: shapes differ, numbers are no integers or outside the tables, or a row begins with padding.
        """
        tokens, types, mask, sequences = self._checked(input_ids, attention_mask, token_type_ids)
        recorder = TraceRecorder(self.program) if trace else None
        if recorder:
            recorder.rows(tokens, types, sequences)
        watching = [one for one in (recorder, watcher) if one is not None]
        if not watching:
            return Output(self._in_tiles(tokens, types, mask, sequences))
        logits = run(self.program, self.backend, tokens, types, sequences, watching)
        return Output(logits, recorder.trace if recorder else None)

    def classify(
        self, texts: str | Sequence[Text], *, trace: bool = False, max_length: int | None = None
    ) -> list[Answer]:
        """Labels and probabilities of texts, or of pairs of texts.

        Args:
            trace: whether each answer brings its own trace.
            max_length: see :meth:`.Program.encode`.

        Raises:
            InputError: a text is none, empty or too long, ``max_length`` leaves nothing of it, or the program has no
                tokenizer, or no task (a general encoder).
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
        """Sentence embeddings, float32 ``[texts, width]``: the mean of each text's last states.

        Args:
            max_length: see :meth:`.Program.encode`.

        Raises:
            InputError: as of :meth:`classify`; or the program computes the first token's last state only, as a
                classifier does.
        """
        if self.program.shape.first_only:
            cure = "take embed-mini, or convert(…, every_token=True)"
            raise InputError("a classifier, which has one token's last state only", file=self.program.path, cure=cure)
        encoded = self.program.encode(checked_texts(texts), max_length=max_length)
        return self._in_tiles(*self._checked(**encoded), read=embed)

    def _answer(self, text: Text, logits: NDArray[np.float32], tokens: int, trace: Trace | None) -> Answer:
        names, kind, best = self.program.labels, self.program.problem_type, int(logits.argmax())
        written = text if isinstance(text, str) else "\t".join(text)
        shares = probabilities(kind, logits)
        by_name = None if shares is None else dict(zip(names, shares.tolist(), strict=True))
        scores = dict(zip(names, logits.tolist(), strict=True))
        held = [] if shares is None else np.atleast_1d(np.array(names)[decide(kind, logits)]).tolist()
        return Answer(written, names[best], float(logits[best]), by_name, int(tokens), trace, tuple(held), scores)

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
            own = numbers.ravel()[sequences.index].view(np.uint64)  # negative ones are the largest
            if int(own.max()) >= rows:
                raise InputError(f"a number outside a table of {rows} rows", field=name, cure="use its own tokenizer")
        return tokens, types, mask, sequences

    def _in_tiles(
        self,
        tokens: NDArray[np.int64],
        types: NDArray[np.int64],
        mask: NDArray[Any],
        sequences: Sequences,
        read: Callable[..., NDArray[np.float32]] = run,
    ) -> NDArray[np.float32]:
        """Groups of sequences that stay in the caches, on several threads (in turn where the backend draws)."""
        threads = 1 if self.backend.draws else self.threads
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
            return np.concatenate(list(pool.map(one, tiles)))


def _array(name: str, values: Any) -> NDArray[Any]:
    """What stands for an array, as one.

    Raises:
        InputError: it stands for none.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths, a tensor of a GPU
        raise InputError(f"no array ({error})", field=name, cure="give rows of one length, in memory") from error


def backend_of(program: Program, backend: str | Backend, chip: ArrayBank | None = None) -> Backend:
    """A backend by name."""
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


def threads_of(given: int | None) -> int:
    """Threads to use: those given, else ``OMP_NUM_THREADS``, else all processors."""
    if given is None:
        named = os.environ.get("OMP_NUM_THREADS", "")
        return int(named) if named.isdigit() and int(named) > 0 else os.cpu_count() or 1
    if not isinstance(given, (int, np.integer)) or given < 1:
        raise InputError(f"{given!r} threads", field="threads", cure="give 1 or more")
    return given


def cut(lengths: list[int], threads: int, most: int = TILE) -> list[slice]:
    """Slices of consecutive sequences of about ``most`` tokens, fewer where threads would stand idle."""
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
