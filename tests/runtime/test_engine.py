"""The engine: all backends give the same bits, whatever the network, the padding, the tiles, the threads."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.kernels.layout import SoftmaxLayout
from matterhorn.models import convert
from matterhorn.runtime import Engine, SlotRecorder, verify
from matterhorn.runtime.blocks import Blocks
from matterhorn.runtime.engine import cut
from matterhorn.runtime.sequences import Sequences
from matterhorn.runtime.stepped import probability_levels

from ..networks import small_arrays, small_bert, small_network, small_program, small_tokenizer

BACKENDS = ("stepped", "exact", "events")

OPTIONS = [
    {},
    {"k": 3},
    {"k": 2, "mean": True},
    {"k": 1, "weights": "int4", "kv_bits": 3},
    {"k": 1, "digital": "shift", "weights": "ternary", "silence_per": "tensor"},
    {"activation_bits": 6, "k": 5, "mean": True, "kv_bits": 2},
    {"k": 3, "mean": True, "dead_zones": {"probabilities": 1, "queries": 0}},
]


@pytest.fixture(scope="module")
def program():
    return small_program(k=1)


@pytest.mark.parametrize("options", OPTIONS)
def test_backends_equal_the_quantized_network(options):
    network = small_network(**{"k": 0, **options})
    program = small_program(**{"k": 0, **options})
    batches = [small_arrays(), small_arrays(seed=4, rows=3, longest=1)]
    report = verify(program, batches, against=network, backends=BACKENDS)
    assert report.identical, report.first_difference
    assert report.n == 9 and report.levels_compared > 10_000


def test_the_last_block_computes_the_first_token_only(program):
    recorder, batch = SlotRecorder(), small_arrays()
    Engine(program, "exact")(**batch, watcher=recorder)
    tokens, rows = int(batch["attention_mask"].sum()), len(batch["input_ids"])
    sizes = {site.part: len(slots) for site, slots in recorder.slots.items() if site.block == 1}
    assert sizes["input"] == tokens
    assert sizes["queries"] == sizes["context"] == sizes["hidden"] == sizes["intermediate"] == rows
    assert sizes["probabilities"] == 4 * tokens  # one query of each head against every key
    assert {len(s) for site, s in recorder.slots.items() if site.block == 0 and site.part == "hidden"} == {tokens}


def test_padding_behind_the_text_changes_nothing(program):
    batch = small_arrays()
    wide = {name: np.pad(array, ((0, 0), (0, 5))) for name, array in batch.items()}
    wide["input_ids"][:, -5:] = 77
    assert np.array_equal(Engine(program)(**wide).logits, Engine(program)(**batch).logits)


def test_holes_in_a_mask_are_left_out(program):
    batch = small_arrays()
    batch["attention_mask"][0, 2] = 0
    answers = [Engine(program, name)(**batch).logits for name in BACKENDS]
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize("spoil", ["left", "empty"])
def test_rows_that_begin_with_padding_are_refused(program, spoil):
    batch = small_arrays()
    batch["attention_mask"][1, : 1 if spoil == "left" else None] = 0
    with pytest.raises(InputError, match="begins with padding"):
        Engine(program)(**batch)


BAD = {
    "shapes": ({"attention_mask": np.ones((6, 3))}, "shapes"),
    "no row": (
        {name: np.zeros((0, 11), int) for name in ("input_ids", "attention_mask", "token_type_ids")},
        "no tokens",
    ),
    "no column": ({"input_ids": np.zeros((6, 0), int), "attention_mask": None, "token_type_ids": None}, "no tokens"),
    "a tensor with a gradient": ({"input_ids": torch.ones(6, 11, requires_grad=True)}, "input_ids: not an array"),
    "one row": ({"input_ids": np.ones(11, int)}, "shapes"),
    "too long": ({"input_ids": np.ones((1, 65), int), "attention_mask": None, "token_type_ids": None}, "65 tokens"),
    "no such token": ({"input_ids": np.full((6, 11), 200)}, "table of 200"),
    "negative": ({"input_ids": np.full((6, 11), -1)}, "table of 200"),
    "words": ({"input_ids": [["a"] * 11] * 6}, "input_ids: <U1 instead of integers"),
    "fractions": ({"input_ids": np.full((6, 11), 1.5)}, "input_ids: float64 instead of integers"),
    "beyond 64 bits": ({"input_ids": [[2**70] * 11] * 6}, "input_ids: object instead of integers"),
    "beyond 63 bits": ({"input_ids": np.full((6, 11), 2**64 - 1, np.uint64)}, "table of 200"),
    "rows of different lengths": ({"input_ids": [[1, 2], [1]]}, "input_ids: not an array"),
    "a mask that is no number": ({"attention_mask": np.full((6, 11), np.nan)}, "attention_mask: float64 instead"),
    "types that are no number": ({"token_type_ids": np.full((6, 11), np.nan)}, "token_type_ids: float64 instead"),
    "no such type": ({"token_type_ids": np.full((6, 11), 2)}, "table of 2"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_arrays_are_refused(program, fault):
    change, message = BAD[fault]
    with pytest.raises(InputError, match=message):
        Engine(program)(**(small_arrays() | change))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "warp"}, "no backend 'warp'"),
        ({"backend": "analog"}, "needs a chip"),
        ({"backend": "exact", "chip": object()}, "has no chip"),
        ({"backend": "analog", "chip": "rram-22nm"}, "chip: analog needs a chip"),
        ({"backend": 3}, "no backend 3"),
        ({"threads": 0}, "0 threads"),
        ({"threads": 1.5}, "1.5 threads"),
        ({"threads": "2"}, "'2' threads"),
    ],
)
def test_bad_engines_are_refused(program, arguments, message):
    with pytest.raises(InputError, match=message):
        Engine(program, **arguments)


def test_what_is_no_program_is_one_line():
    for other, says in (("my-snn", "'my-snn', not a program"), (None, "a NoneType, not a program")):
        for ask in (Engine, lambda one: verify(one, ["a"])):
            with pytest.raises(InputError, match=rf"program: {says}; give one, e\.g\. mh\.load"):
                ask(other)


def test_tensors_are_taken_as_arrays_are(program):
    batch = small_arrays()
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    assert np.array_equal(Engine(program)(**tensors).logits, Engine(program)(**batch).logits)


def test_threads_and_tiles_change_nothing(monkeypatch, program):
    batch = small_arrays(rows=9)
    alone = Engine(program, threads=1)(**batch).logits
    monkeypatch.setattr("matterhorn.runtime.engine.TILE", 8)
    assert np.array_equal(Engine(program, threads=1)(**batch).logits, alone)
    assert np.array_equal(Engine(program, threads=3)(**batch).logits, alone)
    assert np.array_equal(Engine(program, threads=1)(**batch, trace=True).logits, alone)


def test_threads_that_cannot_be_started_are_one_line(monkeypatch, program):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(InputError, match=r"threads: 3 threads cannot be started .*; give fewer"):
        Engine(program, threads=3)(**small_arrays(rows=9))


def test_tiles_hold_every_sequence_once():
    tiles = cut([100, 200, 300, 10, 10], 1, 256)
    assert [(tile.start, tile.stop) for tile in tiles] == [(0, 2), (2, 3), (3, 5)]
    assert len(cut([10] * 8, 2)) == 2


def test_a_program_is_shared_by_threads(program):
    batch, found = small_arrays(rows=9), []
    right = Engine(program, threads=1)(**batch).logits
    work = [threading.Thread(target=lambda: found.append(Engine(program)(**batch).logits)) for _ in range(8)]
    for one in work:
        one.start()
    for one in work:
        one.join()
    assert len(found) == 8 and all(np.array_equal(one, right) for one in found)


def test_a_pickled_program_runs_the_same(program):
    again = pickle.loads(pickle.dumps(program))
    batch = small_arrays()
    assert again.hash == program.hash
    assert np.array_equal(Engine(again)(**batch).logits, Engine(program)(**batch).logits)


def test_answers_have_labels_and_probabilities(program):
    one, two = Engine(program).classify(["abc def", ("ab", "cd")], trace=True)
    assert set(one.probabilities) == set(program.labels) and sum(one.probabilities.values()) == pytest.approx(1)
    assert one.probabilities[one.label] == max(one.probabilities.values())
    assert one.tokens == 8 and two.tokens == 7 and one.trace.tokens == 8
    assert Engine(program).classify("abc def")[0].label == one.label


def test_sequences_lie_end_to_end():
    sequences = Sequences.of(np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]]))
    assert sequences.starts.tolist() == [0, 2, 4, 5] and sequences.lengths.tolist() == [2, 2, 1]
    assert sequences.places.tolist() == [0, 1, 0, 2, 0]
    assert sequences.flat(np.arange(1, 10).reshape(3, 3)).tolist() == [1, 2, 4, 6, 7]


@pytest.mark.parametrize("fault", ["levels", "logits"])
def test_verification_finds_what_differs(monkeypatch, fault):
    network, program = small_network(k=1), small_program(k=1)
    expected = network.expected

    def spoiled(batch):
        right = expected(batch)
        if fault == "logits":
            right.logits[0, 0] += 1
        else:
            site = next(iter(right.levels))
            right.levels[site][0, 0, 0] += 1
        return right

    monkeypatch.setattr(network, "expected", spoiled)
    report = verify(program, [small_arrays()], against=network, backends=["exact"])
    assert not report.identical and getattr(report, f"{fault}_different") == 1
    assert report.first_difference["backend"] == "exact"


def test_backends_are_compared_with_one_another_where_there_is_no_network(program):
    report = verify(program, ["abc def", "a"])
    assert report.identical and report.backends == ["exact", "events"] and report.n == 2
    assert verify(program, "abc def").n == 1
    with pytest.raises(InputError, match="nothing to compare"):
        verify(program, ["a"], backends=["exact"])
    with pytest.raises(InputError, match="rows: nothing to compare"):
        verify(program, [])


def test_a_sum_just_above_a_power_of_two_is_divided_by_the_next_one_in_every_backend():
    """Of 128 weights of 2¹⁴ and one of 1, by shifts; the logarithm of such a sum is that of 2²¹ in float32."""
    weights = np.array([[2.0**14] * 128 + [1.0]], np.float32)
    table = np.sort(np.unique(np.concatenate([weights[0], [0]])))[::-1].astype(np.float32)
    population = small_program(1).blocks[0].populations["probabilities"]
    scores = np.array([[0] * 128 + [-1]], np.int32)
    softmax = SoftmaxLayout(table, np.zeros((1, 0), np.int32), np.float32(1 / 400), True)
    right = np.rint(weights / np.float32(2**22) * np.float32(400)).clip(0, population.code.top)
    assert np.array_equal(probability_levels(scores, softmax, population), right)


def test_the_code_that_answers_is_verified_too(program, monkeypatch):
    """Watched, ``events`` goes step by step; otherwise whole blocks are one call."""
    right = Blocks.__call__
    monkeypatch.setattr(Blocks, "__call__", lambda self, *given: right(self, *given) + np.float32(1))
    report = verify(program, ["abc def", "a"])
    assert not report.identical and report.logits_different == 4 and not report.levels_different
    assert report.first_difference["where"] == "logits" and report.first_difference["backend"] == "events"


def test_a_batch_alone_is_verified_as_a_batch_and_not_by_the_names_of_its_arrays(program):
    batch = program.encode(["abc def", "a"])
    report = verify(program, batch, backends=["exact", "events"])
    assert report.n == 2 and report.logits_compared == 2 * 4  # events: watched, and not
    labelled = {name: values.tolist() for name, values in batch.items()} | {"labels": [0, 1]}
    assert verify(program, [labelled], against=small_network(k=1), backends=["exact"]).n == 2
    with pytest.raises(InputError, match="batch 1: no input_ids"):
        verify(program, {"text": ["a"]})


def test_only_what_has_levels_is_compared_with(program):
    for other in (small_bert(), "my-network"):
        with pytest.raises(InputError, match=r"against: a .*, which has no levels.*give the quantized network"):
            verify(program, ["a"], against=other)


def test_what_is_no_text_is_refused_with_its_number(program):
    for texts, message in (
        (None, "texts: not texts"),
        ({"a": 1}, r"texts: a dict, not texts"),
        (np.array("a"), "texts: not texts"),
        ([3], "text 1: not a text"),
        (["a", ("a", "b", "c")], "text 2: not a text"),
    ):
        for trace in (False, True):
            with pytest.raises(InputError, match=message):
                Engine(program).classify(texts, trace=trace)


def test_what_cannot_be_verified_is_one_line(program):
    for rows in (None, 5, np.array("a")):
        with pytest.raises(InputError, match=r"rows: not rows .*; give texts, or batches"):
            verify(program, rows)


def test_a_text_is_named_by_its_number_whatever_runs_together(program):
    texts = ["a"] * 39 + ["a " * 99]
    with pytest.raises(InputError, match=r"text 40: text of .* tokens is too long"):
        verify(program, texts)
    with pytest.raises(InputError, match=r"text 40: text of .* tokens is too long"):
        Engine(program).classify(texts, trace=True)


def test_a_general_encoder_classifies_nothing(program):
    with pytest.raises(InputError, match="task: a general encoder, not a classifier; take its embeddings"):
        Engine(replace(program, task="general")).classify("a")


TEXTS = ["a fine film", "no", ("a pair", "of two"), "a much longer text that goes on and on and on"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_sentences_are_embedded_as_the_mean_of_their_last_states(backend):
    """Those of the quantized network, to the bit; alone or beside others, on one thread or two."""
    network = small_network(k=2, weights="int4", kv_bits=4)
    program = convert(network, tokenizer=small_tokenizer(), every_token=True)
    found = Engine(program, backend, threads=1).embed(TEXTS)
    encoded = {name: torch.from_numpy(np.asarray(values)) for name, values in program.encode(TEXTS).items()}
    states = network(**encoded, output_hidden_states=True).hidden_states[-1].detach().double()
    present = encoded["attention_mask"][..., None]
    wanted = ((states * present).sum(1) / present.sum(1)).float().numpy()
    assert found.dtype == np.float32 and np.array_equal(found, wanted)
    assert np.array_equal(found, Engine(program, backend, threads=2).embed(TEXTS))
    assert np.array_equal(found[1:2], Engine(program, backend).embed("no"))


def test_a_classifier_embeds_nothing():
    program = convert(small_network(k=2), tokenizer=small_tokenizer())
    with pytest.raises(InputError, match="one token's last state only"):
        Engine(program).embed("no")
