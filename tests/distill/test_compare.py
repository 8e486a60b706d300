"""A teacher of comparing: what it is taught, and an encoder that learns from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from matterhorn.distill.compare import embeddings, with_likeness, with_strangers
from matterhorn.distill.encoder import write_encoder
from matterhorn.distill.recipe import Recipe
from matterhorn.distill.run import train
from matterhorn.distill.teacher import load_classifier
from matterhorn.errors import InputError
from matterhorn.models import quantize
from matterhorn.models.general import read_general, take_general
from matterhorn.models.quantized import read_network
from matterhorn.tasks.tokens import Tokens

from ..networks import small_bert
from ..tiny import PHASE, lay_apart, lay_backbone, lay_out


def pair(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    """Numbers and types of a pair, BERT's way."""
    return [2, *first, 3, *second, 3], [0] * (len(first) + 2) + [1] * (len(second) + 1)


def rows_of(pairs: list[tuple[list[int], list[int]]]) -> Tokens:
    ids, types = zip(*(pair(*one) for one in pairs), strict=True)
    return Tokens(list(ids), list(types), [])


def test_pairs_are_labelled_with_the_cosine_of_their_sides():
    """A sentence is most like itself; rows of one sentence are left out."""
    rows = rows_of([([7, 8, 9], [7, 8, 9]), ([7, 8, 9], [50, 60]), ([20, 30], [21, 9, 8, 7])])
    single = Tokens([*rows.ids, [2, 7, 3]], [*rows.types, [0, 0, 0]], [])
    backbone = small_bert()
    found = with_likeness(single, backbone)
    assert found.ids == rows.ids and found.is_regression
    labels = torch.tensor(found.labels)
    assert labels.argmax() == 0
    assert labels.mean() == pytest.approx(0, abs=1e-5) and labels.std() == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        states = [
            backbone.bert(torch.tensor([[2, *side, 3]])).last_hidden_state.mean(1) for side in ([7, 8, 9], [50, 60])
        ]
    own = embeddings(backbone, Tokens([[2, 7, 8, 9, 3], [2, 50, 60, 3]], [[0] * 5, [0] * 4], []))
    torch.testing.assert_close(own, torch.cat(states), rtol=1e-4, atol=1e-5)


def test_a_first_sentence_before_two_separators_ends_once():
    """RoBERTa's way; alone it is read as anybody would give it."""
    one = Tokens([[2, 7, 8, 3, 3, 9, 3], [2, 5, 3, 3, 6, 3]], [[0] * 5 + [1] * 2, [0] * 4 + [1] * 2], [], typed=False)
    other = rows_of([([7, 8], [9]), ([5], [6])])
    assert with_likeness(one, small_bert()).labels == pytest.approx(with_likeness(other, small_bert()).labels)


def test_some_pairs_get_the_second_sentence_of_another():
    """Whole, with its types; first sentences and rows of one sentence stay."""
    rows = rows_of([([10 + i], [100 + i, 100 + i]) for i in range(50)])
    rows = Tokens([*rows.ids, [2, 7, 3]], [*rows.types, [0, 0, 0]], [])
    made = with_strangers(rows, 1)
    assert made.ids[-1] == [2, 7, 3] and made.types == rows.types
    assert [ids[:3] for ids in made.ids] == [ids[:3] for ids in rows.ids]
    changed = sum(a != b for a, b in zip(made.ids, rows.ids, strict=True))
    assert 4 <= changed <= 18
    assert {tuple(ids[3:]) for ids in made.ids} <= {tuple(ids[3:]) for ids in rows.ids}
    assert with_strangers(rows, 1) == made != with_strangers(rows, 2)


def test_no_pair_of_strangers_is_longer_than_the_longest_row():
    rows = rows_of([([10] * (1 + i % 20), [100] * (20 - i % 20)) for i in range(200)])
    made = with_strangers(rows, 1)
    assert max(map(len, made.ids)) == max(map(len, rows.ids)) and made.ids != rows.ids


def test_an_encoder_learns_from_a_teacher_that_learned_to_compare(tmp_path: Path):
    """From weights that were matched to it with the dead zone in place, events spent by their price."""
    lay_backbone(tmp_path / "backbone")
    lay_apart(tmp_path / "glue", ["wnli"])
    phase = PHASE | {"epochs": 8, "dead_zone": 2, "matched": True, "silent_share": 0.8, "price": "rram-22nm"}
    recipe = Recipe(
        backbone=str(tmp_path / "backbone"),
        texts=["wnli"],
        selection_rows=40,
        max_length=32,
        network={"weights": "int4", "kv_bits": 4},
        teacher=PHASE,
        phases=[phase],
    )
    best = train(recipe, tmp_path / "runs" / "pairs", tmp_path / "glue")
    state = json.loads((tmp_path / "runs" / "pairs" / "phase-0-k2" / "last" / "state.json").read_text())
    assert state["history"][-1]["silent"] == pytest.approx(0.8, abs=0.06)
    first, last = state["history"][0], state["history"][-1]
    assert last["divergence"] < 0.5 * first["divergence"] and last["learned"] < 0.2 * first["learned"]
    network = read_network(best)
    assert network.config.dead_zone == 2 and network.config.problem_type == "regression"
    taught = AutoModelForSequenceClassification.from_pretrained(tmp_path / "runs" / "pairs" / "teacher" / "best")
    assert taught.num_labels == 1

    write_encoder(tmp_path / "runs" / "pairs", tmp_path / "encoder")
    encoder = read_general(tmp_path / "encoder")
    assert encoder.compares and encoder.is_of(load_classifier(tmp_path / "backbone"))
    student = quantize(taught, **encoder.options)
    take_general(student, encoder)
    assert torch.equal(student.pooler.weight, network.pooler.weight)
    for own, theirs in zip(student.connections().values(), network.connections().values(), strict=True):
        assert torch.equal(own.integers()[0], theirs.integers()[0])
    with pytest.raises(InputError, match="not a finished run without a task"):
        write_encoder(lay_out(tmp_path / "task").parent, tmp_path / "none")
