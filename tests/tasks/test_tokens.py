from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from matterhorn.distill.augment import rematch
from matterhorn.distill.texts import join
from matterhorn.errors import InputError
from matterhorn.program import find, load
from matterhorn.tasks.rows import Examples, load_examples
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import (
    PADDED_LENGTHS,
    Tokens,
    even_batches,
    shuffled_batches,
    sorted_batches,
    tokenize,
    tokens_for,
)

from ..networks import WORDS, small_program, small_tokenizer

PAIRS = get_task("rte")


def test_pairs_of_a_tokenizer_that_marks_none_are_known_but_not_told():
    """RoBERTa's way, and MPNet's: two separators between sentences, and one type."""
    tokenizer = Tokenizer.from_str(small_tokenizer().to_str())
    tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), add_prefix_space=False)
    texts = [("a b", "c"), ("b", "d e"), ("a c", "")]
    tokens = tokenize(Examples(texts, [1, 0, 0]), tokenizer, PAIRS, 9)
    assert tokens.types == [[0] * 5 + [1] * 2, [0] * 4 + [1] * 3, [0] * 5 + [1]] and not tokens.typed
    assert not tokens.batch([0, 1, 2])["token_type_ids"].any() and not join([tokens]).typed
    made = rematch(tokens, torch.eye(len(WORDS)), 10, seed=1)
    assert [row[4:] for row in made.ids if row[:4] == [*tokens.ids[1][:4]]] and not made.typed
    single = tokenize(Examples([("a b",)], [1]), tokenizer, get_task("sst2"), 9)
    assert single.types == [[0] * 4] and not join([single, tokens]).typed


def test_pairs_have_types_and_the_longer_sentence_is_cut():
    rows = Examples([("a b c d e f g h", "i j"), ("a b", "c")], [1, 0])
    tokens = tokenize(rows, small_tokenizer(), PAIRS, 9)
    assert [len(row) for row in tokens.ids] == [9, 6]
    assert tokens.types == [[0] * 6 + [1] * 3, [0] * 4 + [1] * 2] and tokens.labels == [1, 0]
    assert small_tokenizer().truncation is None  # a tokenizer that others use stays as it is


def test_a_batch_is_padded_and_typed():
    tokens = Tokens([[2, 5, 3], [2, 3]], [[0, 1, 1], [0, 0]], [1, 0], pad=7)
    batch = tokens.batch([0, 1])
    assert batch["input_ids"].tolist() == [[2, 5, 3], [2, 3, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert {values.dtype for values in batch.values()} == {np.dtype("int64")} and batch["labels"].tolist() == [1, 0]
    scores = Tokens([[2, 3]], [[0, 0]], [2.5], is_regression=True).batch([0])["labels"]
    assert scores.dtype == np.float32 and scores[0] == 2.5
    assert "labels" not in Tokens([[2, 3]], [[0, 0]], []).batch([0])


def test_every_row_is_in_one_batch_and_lengths_are_alike():
    tokens = Tokens([[1] * (1 + i % 17) for i in range(203)], [[0] * (1 + i % 17) for i in range(203)], [])
    for batches in (sorted_batches(tokens, 16), list(shuffled_batches(tokens, 16, 5))):
        assert sorted(row for batch in batches for row in batch) == list(range(203))
    lengths = [[len(tokens.ids[i]) for i in rows] for rows in shuffled_batches(tokens, 16, 5)]
    assert np.mean([max(own) - min(own) for own in lengths]) < 4


def test_a_program_without_a_tokenizer_says_so():
    program = small_program()
    assert tokens_for(program, Examples([("a b",)], []), 8, task=PAIRS).ids == [[2, 5, 6, 3]]
    bare = program.from_arrays(program.config, program.arrays(), labels=program.labels)
    with pytest.raises(InputError, match="no tokenizer"):
        tokens_for(bare, Examples([("a b",)], []), 8, task=PAIRS)
    long = Examples([("a",), ("a " * 90,)], [])
    assert max(map(len, tokens_for(program, long, 64, task=PAIRS).ids)) == 64
    with pytest.raises(InputError, match="max_length: a row of 65 tokens, where at most 64 can be read; give at most"):
        tokens_for(program, long, 65, task=PAIRS)


@pytest.mark.parametrize("name", ["mrpc", "qnli", "cola"])
def test_tokens_of_real_rows_are_those_of_transformers(glue_dir, name):
    task = get_task(name)
    rows = load_examples(task, "dev", glue_dir).subset(list(range(400)))
    other = PreTrainedTokenizerFast.from_pretrained(find("sst2"))
    columns = [list(column) for column in zip(*rows.texts, strict=True)]
    wanted = other(*columns, truncation=True, max_length=48, return_token_type_ids=True)
    tokens = tokens_for(load("sst2"), rows, 48, task=task)
    assert (tokens.ids, tokens.types, tokens.pad) == (wanted["input_ids"], wanted["token_type_ids"], other.pad_token_id)


@pytest.mark.parametrize("most", [1, 64, 200])
def test_even_batches_have_few_shapes_and_each_row_once(most):
    draw = random.Random(0)
    rows = [[1] * draw.choice((3, 9, 9, 20, 33, 33, 70)) for _ in range(300)]
    tokens = Tokens(rows, [[0] * len(row) for row in rows], [])
    batches = even_batches(tokens, most, 7)
    assert batches == even_batches(tokens, most, 7) != even_batches(tokens, most, 8)
    sizes = {length: {len(own) for own, other in batches if other == length} for _, length in batches}
    assert sizes == {length: {max(1, most // length)} for length in sizes} and sizes.keys() <= {*PADDED_LENGTHS}
    assert all(len(rows[i]) <= length for own, length in batches for i in own)
    last = max(sizes)
    seen = [i for own, _ in batches for i in own]
    assert {*seen} == {*range(300)} and len(seen) - 300 < max(1, most // last)
    short = next(i for i, row in enumerate(rows) if len(row) == 3)
    assert tokens.batch([short], 40)["input_ids"].shape == (1, 40)
