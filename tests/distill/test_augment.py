from __future__ import annotations

import pytest
import torch

from matterhorn.distill.augment import PARTNERS, REPLACED, edit, neighbors, recombine, rematch, reword
from matterhorn.errors import InputError
from matterhorn.tasks.tokens import Tokens


def rows_of(*ids: list[int]) -> Tokens:
    return Tokens(list(ids), [[0] * len(row) for row in ids], [0.0] * len(ids))


def test_reworded_pairs_keep_their_seam_and_what_they_share():
    rows = Tokens([[2, 4, 5, 3, 6, 4, 3]], [[0, 0, 0, 0, 1, 1, 1]], [1.0])
    table = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    new = reword(rows, table, [4, 5, 6, 7, 8], 50, seed=1)
    for ids, types in zip(new.ids, new.types, strict=True):
        assert [ids[place] for place in (0, 3, 6)] == [2, 3, 3] and types == rows.types[0]
        assert ids[1] == ids[5] and not {2, 3} & {ids[place] for place in (1, 2, 4, 5)}
    assert {7, 8} & {token for ids in new.ids for token in ids}  # words that no row had


def test_reworded_rows_keep_their_frame_and_take_the_nearest_words():
    table = torch.tensor([[0.0, 0.0], [0, 0], [0, 0], [0, 0], [1, 0], [1, 0.1], [0, 1], [-1, 0]])
    rows = Tokens([[2, 4, 3], [2, 5, 6, 4, 7, 3]], [[0] * 3, [0] * 6], [1.0, 0.0])
    words = [4, 5, 6, 7]
    others = neighbors(rows, table, words)
    assert others[4][0] == 5 and others[5][0] == 4 and all(len(set(found)) == 3 for found in others.values())
    new = reword(rows, table, words, 300, seed=1)
    assert all(ids[0] == 2 and ids[-1] == 3 and len(ids) in (3, 6) for ids in new.ids) and not new.labels
    assert sum(len(ids) == 6 for ids in new.ids) == pytest.approx(200, abs=25)  # 6 of 9 tokens are in the long row
    long = [ids for ids in new.ids if len(ids) == 6]
    changed = sum(a != b for ids in long for a, b in zip(ids, rows.ids[1], strict=True)) / (4 * len(long))
    assert changed == pytest.approx(REPLACED, abs=0.05)
    assert new.ids == reword(rows, table, words, 300, seed=1).ids


def test_a_piece_makes_room_for_another_row_of_its_length():
    sentence, piece, other = [*range(10, 27)], [12, 13, 14], [30, 31, 32]
    rows = rows_of([2, *sentence, 3], [2, *piece, 3], [2, *other, 3], [2, 40, 3], [2, *sentence[:16], 3])
    new = recombine(rows, 60, seed=1)
    kinds = {tuple(row[1:-1]) for row in new.ids}
    assert all(row[0] == 2 and row[-1] == 3 and len(row) in (18, 19) for row in new.ids) and not new.labels
    assert (*sentence[:2], *other, *sentence[5:]) in kinds and tuple(sentence) in kinds  # its own piece is a choice too
    assert all(len(row) - len(set(row) & set(sentence)) <= 3 for row in kinds)  # no more than the piece goes
    assert new.ids == recombine(rows, 60, seed=1).ids != recombine(rows, 60, seed=2).ids


def test_recombining_needs_pieces():
    with pytest.raises(InputError, match="no row is a piece of another"):
        recombine(rows_of([2, *range(10, 30), 3], [2, 5, 3]), 5, seed=1)


def less_one(row: list[int]) -> list[list[int]]:
    """A row without one of its tokens, whichever."""
    return [row[:i] + row[i + 1 :] for i in range(len(row))]


def test_an_edit_is_one_token_and_leaves_the_frame():
    pair = Tokens([[2, 4, 5, 6, 3, 7, 8, 3]], [[0] * 5 + [1] * 3], [1.0])
    assert {len(row) for row in edit(pair, {0, 2, 3}, 200, seed=1, longest=8).ids} == {7, 8}
    new, given = edit(pair, {0, 2, 3}, 200, seed=1, longest=9), pair.ids[0]
    lengths = {len(row) for row in new.ids}
    assert lengths == {7, 8, 9} and not new.labels
    for row, types in zip(new.ids, new.types, strict=True):
        assert row[0] == 2 and row[-1] == 3 and row.count(3) == 2 and len(types) == len(row)
        assert types == sorted(types) and types.index(1) == row.index(3) + 1
        moved = sum(a != b for a, b in zip(row, given, strict=False)) == 2
        assert {7: row in less_one(given), 8: moved, 9: given in less_one(row)}[len(row)]
    assert edit(rows_of([2, 5, 3]), {2, 3}, 4, seed=1, longest=9).ids == [[2, 5, 3]] * 4  # nothing to trade places with


def test_sentences_are_matched_anew_with_those_most_like_them():
    table = torch.eye(40)
    seconds = [[10 + i, 3] for i in range(12)] + [[4, 5, 3], [4, 6, 7, 8, 3]]
    firsts = [[2, 20 + i, 3] for i in range(12)] + [[2, 4, 3], [2, 6, 3]]
    ids = [first + second for first, second in zip(firsts, seconds, strict=True)]
    types = [[0] * 3 + [1] * len(second) for second in seconds]
    rows = Tokens(ids, types, [1.0] * len(ids))
    new = rematch(rows, table, 10_000, seed=1)
    made = set(map(tuple, new.ids))
    assert len(made) == len(new.ids) <= PARTNERS * len(rows) and not made & set(map(tuple, ids)) and not new.labels
    assert (2, 4, 3, 4, 6, 7, 8, 3) in made and (2, 6, 3, 4, 6, 7, 8, 3) not in made  # alike; a given row
    assert {tuple(row[:3]) for row in new.ids} == set(map(tuple, firsts))  # every first sentence has its partners
    assert all(kinds == [0] * 3 + [1] * (len(row) - 3) for row, kinds in zip(new.ids, new.types, strict=True))
    assert max(map(len, new.ids)) <= max(map(len, ids))
    once, again, other = (rematch(rows, table, 7, seed=seed).ids for seed in (1, 1, 2))
    assert once == again != other and len(once) == 7


def test_a_single_sentence_has_no_partner():
    with pytest.raises(InputError, match="rematched"):
        rematch(rows_of([2, 5, 3], [2, 6, 3]), torch.eye(8), 5, seed=1)
