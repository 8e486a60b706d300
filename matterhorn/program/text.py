"""Turn texts into token numbers with a program's own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from ..errors import InputError
from ..reading import read_text
from .config import Config


class Encoded(TypedDict):
    """Padded int64 arrays ``[texts, L]``: what an engine takes."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


INPUTS = tuple(Encoded.__annotations__)
"""Names of what an encoder of Hugging Face takes."""

Text = str | tuple[str, str]
Answer = TypeVar("Answer")

MOST_TOKENS = 2**22
"""No vocabulary has more: the largest there are have a million or less."""

_LARGE = re.compile(rf"\d{{{len(str(MOST_TOKENS))}}}")
"""As many digits as :data:`MOST_TOKENS` has: in a file without them no token's number reaches it."""

MOST_LETTERS = 2**20
"""Of one text: ten times what the longest network could read, and two seconds of its tokenizer's time."""

HALF = re.compile("[\ud800-\udfff]")
"""A half of a pair of UTF-16: what was read with another encoding, and is no text."""

BEGINNING = 30
"""Letters of a text by which it is known again."""


def encode_texts(
    tokenizer: Tokenizer, texts: str | Iterable[Text], config: Config, max_length: int | None, size: int | None = None
) -> list[Encoded]:
    """See :meth:`.program.Program.batches`; all in one batch where there is no ``size``."""
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
    """Texts and pairs of texts, one by one.

    Raises:
        InputError: there is none, or one is no text, or empty.
    """
    if not isinstance(texts, Iterable):
        raise InputError(f"no texts ({texts!r})", field="texts", cure="give a sentence, or a list of them")
    listed: list[Text] = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise InputError("no texts", field="texts", cure="give at least one")
    for number, text in enumerate(listed, 1):
        parts: Any = (text,) if isinstance(text, str) else text
        pair = isinstance(parts, (tuple, list)) and len(parts) == 2
        if not (pair or isinstance(text, str)) or not all(isinstance(part, str) for part in parts):
            raise InputError(f"no text ({text!r})", field=f"text {number}", cure="give a sentence, or a pair of them")
        if not all(part.strip() for part in parts):
            raise InputError("empty text", field=f"text {number}", cure="give a sentence")
    return listed


def batches_of(given: Any) -> list[dict[str, Any]]:
    """Padded batches, or one alone, as an encoder takes them: of each what :data:`INPUTS` names, in arrays ``[batch,
    L]``. Arrays and tensors stay what they are; labels and the like are left out.

    Raises:
        InputError: there are none, or one is no mapping with ``input_ids``, or its arrays are of several shapes.
    """
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise InputError(f"no batches ({given!r})", field="batches", cure=_BATCHES)
    return [_batch(one, number) for number, one in enumerate([given] if isinstance(given, Mapping) else given, 1)]


_BATCHES = "give mappings with input_ids, as a tokenizer or program.encode(texts) makes them"


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
    """Whether a text, or a pair of them, is one that a tokenizer can read.

    Raises:
        InputError: it is longer than :data:`MOST_LETTERS`, or not Unicode; says how it begins.
    """
    letters, begins = sum(map(len, texts)), f"begins {texts[0][:BEGINNING]!r}"
    if letters > MOST_LETTERS:
        cure = "cut it, or split it into several texts"
        raise InputError(f"{letters} characters, at most {MOST_LETTERS} are read ({begins})", field=field, cure=cure)
    if any(map(HALF.search, texts)):
        raise InputError(f"not Unicode ({begins})", field=field, cure="give text that was read as UTF-8")


def encodings(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoding]:
    """What a tokenizer (:func:`reader`) makes of texts.

    Raises:
        InputError: it cannot read one (:func:`check_letters`), which is named by its number from 1.
    """
    for number, text in enumerate(texts, 1):
        check_letters(*((text,) if isinstance(text, str) else text), field=f"text {number}")
    return _asked(lambda: tokenizer.encode_batch(list(texts)), field="tokenizer")


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer's file.

    Raises:
        InputError: it is none, or numbers a token beyond reason (for which its library would make a table).
    """
    text = read_text(path)
    tokenizer = _asked(lambda: Tokenizer.from_str(text), file=path)
    if _LARGE.search(text) and (highest := max(tokenizer.get_vocab().values(), default=0)) >= MOST_TOKENS:
        raise InputError(f"a token of number {highest}", file=path, field="model.vocab", cure="restore the file")
    return tokenizer


def _asked(ask: Callable[[], Answer], **place: Any) -> Answer:
    """What the library of tokenizers answers. It raises bare exceptions, and its panics are not even such.

    Raises:
        InputError: instead of either.
    """
    try:
        return ask()
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"no tokens ({error})", **place, cure="restore the tokenizer") from error


def reader(tokenizer: Tokenizer, max_length: int | None, *, pairs: bool = False) -> Tokenizer:
    """A tokenizer like the given one that pads nothing and cuts at ``max_length`` (of a pair the longer text first).

    Raises:
        InputError: ``max_length`` is no whole number, or leaves nothing of a text (of ``pairs``, of one of the two).
    """
    least = tokenizer.num_special_tokens_to_add(pairs) + 1 + pairs
    if max_length is not None and not (isinstance(max_length, (int, np.integer)) and max_length >= least):
        raise InputError(f"{max_length!r} tokens", field="max_length", cure=f"give a whole number from {least} on")
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
    """Rows of token and type numbers as arrays of one length: that of the longest row, unless it is given."""
    longest = length or max(len(row) for row in ids)
    shape = len(ids), longest
    tokens, mask, kinds = np.full(shape, filler), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, (row, own) in enumerate(zip(ids, types, strict=True)):
        tokens[i, : len(row)], mask[i, : len(row)], kinds[i, : len(row)] = row, 1, own
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": kinds}
