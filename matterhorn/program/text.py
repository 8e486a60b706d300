"""Turn texts into token numbers with a program's own tokenizer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from ..errors import InputError
from ..reading import parse_mapping, read_text
from .config import Config


class Encoded(TypedDict):
    """Padded int64 arrays ``[texts, L]``, which are the input of an engine."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


INPUTS = tuple(Encoded.__annotations__)
"""Names of the inputs, as in Hugging Face's encoders."""

Text = str | tuple[str, str]
Answer = TypeVar("Answer")

MOST_TOKENS = 2**22
"""Upper bound of vocabulary sizes. The largest vocabularies have about a million tokens."""

_LARGE = re.compile(rf"\d{{{len(str(MOST_TOKENS))}}}")
"""A number with as many digits as :data:`MOST_TOKENS`. In a file without one, no token number reaches this bound."""

MOST_LETTERS = 2**20
"""Maximum number of characters of a text. Tokenizing so many takes about two seconds."""

MOST_GROWTH = 64
"""Maximum factor by which a tokenizer's replacement rules may lengthen a text. Common tokenizers replace one character
by one."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""A lone UTF-16 surrogate, which results from decoding with a wrong encoding and is not valid text."""

BEGINNING = 30
"""Number of characters from the start of a text that errors quote."""


def encode_texts(
    tokenizer: Tokenizer, texts: str | Iterable[Text], config: Config, max_length: int | None, size: int | None = None
) -> list[Encoded]:
    """See :meth:`.program.Program.batches`. Without ``size``, all texts form one batch."""
    listed = checked_texts(texts)
    own = reader(tokenizer, max_length, pairs=not all(isinstance(text, str) for text in listed))
    coded = encodings(own, listed)
    longest = max(len(one.ids) for one in coded)
    if longest > config.max_position_embeddings:
        number = next(i for i, one in enumerate(coded, 1) if len(one.ids) == longest)
        cure = f"give at most {config.max_position_embeddings} tokens, or max_length to cut it"
        raise InputError(f"text of {longest} tokens is too long", field=f"text {number}", cure=cure)
    step = size or len(coded)
    parts = [coded[i : i + step] for i in range(0, len(coded), step)]
    return [pad([one.ids for one in part], [one.type_ids for one in part], config.pad_token_id) for part in parts]


def checked_texts(texts: str | Iterable[Text]) -> list[Text]:
    """Return texts and pairs of texts as a list.

    Raises:
        InputError: there is no text, or one is not a text or is empty.
    """
    cure = "give a sentence, or a list of them"
    if isinstance(texts, Mapping):
        raise InputError(f"a {type(texts).__name__}, not texts", field="texts", cure=cure)
    listed: list[Text] = [texts] if isinstance(texts, str) else list(iterated(texts, "texts", cure))
    if not listed:
        raise InputError("no texts", field="texts", cure="give at least one")
    for number, text in enumerate(listed, 1):
        parts: Any = (text,) if isinstance(text, str) else text
        pair = isinstance(parts, (tuple, list)) and len(parts) == 2
        if not (pair or isinstance(text, str)) or not all(isinstance(part, str) for part in parts):
            raise InputError(
                f"not a text ({text!r})", field=f"text {number}", cure="give a sentence, or a pair of them"
            )
        if not all(part.strip() for part in parts):
            raise InputError("empty text", field=f"text {number}", cure="give a sentence")
    return listed


def iterated(given: Any, name: str, cure: str) -> Iterator[Any]:
    """Return an iterator over the argument called ``name``.

    Raises:
        InputError: it cannot be iterated over, like a number or an array without axes.
    """
    try:
        return iter(given)
    except TypeError as error:
        raise InputError(f"not {name} ({given!r})", field=name, cure=cure) from error


def batches_of(given: Any) -> list[dict[str, Any]]:
    """Return padded batches, or a single one, in the form that an encoder takes.

    Each has the arrays in :data:`INPUTS`, ``[batch, L]``. Arrays and tensors stay as they are; lists become arrays.
    Labels and other keys are left out.

    Raises:
        InputError: these are not batches; or one is not a mapping with ``input_ids``, or has arrays of different
            shapes.
    """
    if isinstance(given, (str, bytes)):
        raise InputError(f"not batches ({given!r})", field="batches", cure=_BATCHES)
    several = [given] if isinstance(given, Mapping) else iterated(given, "batches", _BATCHES)
    return [_batch(one, number) for number, one in enumerate(several, 1)]


_BATCHES = "give mappings with input_ids, as a tokenizer or program.encode(texts) makes them"
"""Remedy for what is not a batch."""


def _batch(given: Any, number: int) -> dict[str, Any]:
    if not isinstance(given, Mapping) or given.get("input_ids") is None:
        problem = "no input_ids" if isinstance(given, Mapping) else f"a {type(given).__name__}"
        raise InputError(problem, field=f"batch {number}", cure=_BATCHES)
    named = {name: given[name] for name in INPUTS if given.get(name) is not None}
    try:
        arrays = {name: own if hasattr(own, "shape") else np.asarray(own) for name, own in named.items()}
    except ValueError as error:
        raise InputError("rows of different lengths", field=f"batch {number}", cure="pad them to one length") from error
    shapes = [tuple(own.shape) for own in arrays.values()]
    if len(shapes[0]) != 2 or len({*shapes}) > 1:
        problem = f"shapes {', '.join(str(list(shape)) for shape in shapes)}"
        raise InputError(problem, field=f"batch {number}", cure="give arrays [batch, L] of one shape")
    return arrays


def check_letters(*texts: str, field: str | None = None) -> None:
    """Check that a tokenizer can read a text or a pair of texts.

    Raises:
        InputError: it is longer than :data:`MOST_LETTERS`, or is not Unicode. The message shows its beginning.
    """
    letters, begins = sum(map(len, texts)), f"begins {texts[0][:BEGINNING]!r}"
    if letters > MOST_LETTERS:
        cure = "cut it, or split it into several texts"
        raise InputError(f"{letters} characters, at most {MOST_LETTERS} are read ({begins})", field=field, cure=cure)
    if any(map(SURROGATE.search, texts)):
        raise InputError(f"not Unicode ({begins})", field=field, cure="give text that was read as UTF-8")


def encodings(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoding]:
    """Tokenize texts with a tokenizer of :func:`reader`.

    Raises:
        InputError: a text cannot be read (:func:`check_letters`). The message gives its number, from 1.
    """
    for number, text in enumerate(texts, 1):
        check_letters(*((text,) if isinstance(text, str) else text), field=f"text {number}")
    return _guarded(lambda: tokenizer.encode_batch(list(texts)), field="tokenizer")


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer file.

    Raises:
        InputError: it is not valid, has a token number so large that its library would allocate a huge table, or
            rules that lengthen texts beyond :data:`MOST_GROWTH`.
    """
    text = read_text(path)
    tokenizer = _guarded(lambda: Tokenizer.from_str(text), file=path)
    if _LARGE.search(text) and (highest := max(tokenizer.get_vocab().values(), default=0)) >= MOST_TOKENS:
        raise InputError(f"a token with number {highest}", file=path, field="model.vocab", cure="restore the file")
    rules = tokenizer.normalizer
    if rules is not None and (growth := _growth(parse_mapping(rules.__getstate__(), path))) > MOST_GROWTH:
        problem = f"rules that make a text up to {growth:.3g} times as long"
        raise InputError(problem, file=path, field="normalizer", cure=f"at most {MOST_GROWTH} are possible")
    return tokenizer


def _growth(rules: Mapping[str, Any]) -> float:
    """Return an upper bound of the factor by which a normalizer's replacement rules lengthen a text."""
    if rules["type"] == "Sequence":
        return math.prod(map(_growth, rules["normalizers"]))
    if rules["type"] != "Replace":
        return 1.0
    replaced = len(rules["pattern"].get("String", ""))  # a regular expression may match nothing, between all letters
    return max(1.0, len(rules["content"]) / replaced) if replaced else 1.0 + len(rules["content"])


def _guarded(call: Callable[[], Answer], **place: Any) -> Answer:
    """Call the ``tokenizers`` library, which raises bare exceptions, and panics that are not subclasses of Exception.

    Raises:
        InputError: in place of either.
    """
    try:
        return call()
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"the tokenizer fails ({error})", **place, cure="restore the tokenizer") from error


def reader(tokenizer: Tokenizer, max_length: int | None, *, pairs: bool = False) -> Tokenizer:
    """Return a tokenizer that does not pad and truncates at ``max_length``. In a pair, the longer text is shortened
    first.

    Raises:
        InputError: ``max_length`` is not an integer, or leaves no room for a text (with ``pairs``, for both).
    """
    least = tokenizer.num_special_tokens_to_add(pairs) + 1 + pairs
    if max_length is not None and not (isinstance(max_length, (int, np.integer)) and max_length >= least):
        raise InputError(f"{max_length!r} tokens", field="max_length", cure=f"give a whole number of {least} or more")
    if tokenizer.padding is None and tokenizer.truncation == _truncation(max_length):
        return tokenizer
    own = Tokenizer.from_str(tokenizer.to_str())
    own.no_padding()
    if max_length is None:
        own.no_truncation()
    else:
        own.enable_truncation(max_length, strategy="longest_first")
    return own


def _truncation(max_length: int | None) -> dict[str, object] | None:
    if max_length is None:
        return None
    return {"max_length": max_length, "stride": 0, "strategy": "longest_first", "direction": "right"}


def pad(
    ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], filler: int, length: int | None = None
) -> Encoded:
    """Combine rows of token and type numbers to arrays, padded with ``filler`` to the longest row or to ``length``."""
    longest = length or max(len(row) for row in ids)
    shape = len(ids), longest
    tokens, mask, kinds = np.full(shape, filler), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, (row, own) in enumerate(zip(ids, types, strict=True)):
        tokens[i, : len(row)], mask[i, : len(row)], kinds[i, : len(row)] = row, 1, own
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": kinds}
