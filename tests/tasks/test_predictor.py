from __future__ import annotations

import json
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
from pyarrow import parquet
from tokenizers import Tokenizer, models, pre_tokenizers

from matterhorn import Engine, Predictor, Program, load
from matterhorn.errors import InputError
from matterhorn.tasks import describe, read_rows
from matterhorn.tasks.answers import write_answers
from matterhorn.tasks.tokens import tokens_for

from ..networks import LETTERS, small_program

TEXTS = [" ".join(random.Random(i).choices(LETTERS, k=1 + i * 7 % 23)) for i in range(30)]
PAIRS = {"first": TEXTS, "second": TEXTS[::-1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("predictor") / "program"
    small_program(k=1, labels=3).save(place)
    return place


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_answers_are_those_of_the_engine(folder):
    found = Predictor(folder, "review", logits=True)({"id": range(30), "review": TEXTS})
    program = load(folder)
    said = Engine(program, "exact").classify(TEXTS)
    assert list(found["id"]) == list(range(30)) and found["prediction"] == [answer.label for answer in said]
    for label in program.labels:
        assert found[f"probability_{label}"].tolist() == [answer.probabilities[label] for answer in said]
    logits = Engine(program, "exact")(**program.encode(TEXTS)).logits
    assert np.array_equal(np.stack([found[f"logit_{label}"] for label in program.labels], 1), logits)
    assert np.array_equal(found["probability"], [max(answer.probabilities.values()) for answer in said])
    assert not any(name.startswith("logit") for name in Predictor(folder, "review")({"review": TEXTS}))


def test_a_general_encoder_is_refused_before_any_work():
    with pytest.raises(InputError, match="embed-mini: task: a general encoder, not a classifier"):
        Predictor("embed-mini", "review")


@pytest.mark.parametrize("size", [1, 4, 29])
def test_batches_do_not_matter(folder, size):
    """Rows in other company, in other places and behind other padding: the same bits."""
    whole = Predictor(folder, ["first", "second"], logits=True)(PAIRS)
    other = Predictor(folder, ["first", "second"], batch_size=size, threads=2, logits=True)
    batches = [{name: column[i : i + 7] for name, column in PAIRS.items()} for i in range(0, 30, 7)]
    parts = [other(batch) for batch in batches]
    assert same(whole, {name: np.concatenate([part[name] for part in parts]) for name in whole})
    order = random.Random(size).sample(range(30), 30)
    shuffled = other({name: np.array(column)[order] for name, column in PAIRS.items()})
    assert same({name: np.array(column)[order] for name, column in whole.items()}, shuffled)


def test_a_score_is_answered_as_it_is(tmp_path):
    small_program(labels=1).save(tmp_path / "program")
    found = Predictor(tmp_path / "program", "review")({"review": TEXTS})
    program = load(tmp_path / "program")
    assert list(found) == ["review", "prediction"]
    assert np.array_equal(found["prediction"], Engine(program)(**program.encode(TEXTS)).logits[:, 0])


def test_several_labels_may_hold(tmp_path):
    plain = small_program(labels=3)
    options = {"labels": plain.labels, "tokenizer": plain.tokenizer, "problem_type": "multi_label_classification"}
    Program.from_arrays(plain.config, plain.arrays(), **options).save(tmp_path / "program")
    found = Predictor(tmp_path / "program", "review", logits=True)({"review": TEXTS})
    held = [[label for label in plain.labels if found[f"logit_{label}"][i] > 0] for i in range(30)]
    assert found["prediction"] == held and len({len(labels) for labels in held}) > 1 and "probability" not in found
    write_answers(Predictor(tmp_path / "program", "review"), _rows(tmp_path), tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["prediction"].to_pylist() == held


def _rows(folder):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"review": text}) + "\n" for text in TEXTS))
    return path


def test_it_is_pickled_as_a_path_and_reads_the_program_once(folder, monkeypatch):
    predictor, reads = Predictor(folder, "review"), []
    monkeypatch.setattr("matterhorn.tasks.predictor.load", lambda place: reads.append(place) or load(place))
    whole = predictor({"review": TEXTS})
    sent = pickle.dumps(predictor)
    assert len(sent) < 2000
    there = pickle.loads(sent)
    assert same(there({"review": TEXTS}), whole) and same(there({"review": TEXTS}), whole)
    assert len(reads) == 2  # once here, once there


def test_bad_input_is_named(folder, tmp_path):
    predictor = Predictor(folder, "review")
    for batch, says in (
        ({"text": TEXTS}, "review: no such column; choose from the columns 'text'"),
        ({"review": ["fine", " "]}, "row 1 of the batch, column review: empty text"),
        ({"review": ["fine", None]}, "row 1 of the batch, column review: empty text"),
        ({"review": ["fine", float("nan")]}, "row 1 of the batch, column review: empty text"),
        ({"review": [7]}, "row 0 of the batch, column review: a int, not a text"),
        ({"review": ["fine", "long " * 2**18]}, r"row 1 of the batch, column review: 1310720 .* \(begins 'long long"),
        (
            {"review": ["fine", "\ud800"], "id": ["a7", "b9"]},
            r"row 1 of the batch \(id b9\), column review: not Unicode",
        ),
        (
            {"review": ["", "fine"], "idx": np.array([40, 41])},
            r"row 0 of the batch \(idx 40\), column review: empty text",
        ),
        ({"review": "a row of its own"}, "column review: a str, not a list of values; give batches, e.g. map"),
        ({"review": None}, "column review: a NoneType, not a list of values"),
        ({"review": ["fine", "dull"], "id": [7]}, "batch: 2 of review, 1 of id; give as many values of each column"),
    ):
        with pytest.raises(InputError, match=says):
            predictor(batch)
    for options, says in (
        ({"max_length": 0}, "max_length"),
        ({"text": []}, "0 columns"),
        ({"text": 5}, "text: 5; name one column"),
        ({"text": ["review", 5]}, "text: .*; name one column"),
        ({"batch_size": None}, "batch_size: None; give 1 or more"),
        ({"threads": 0}, "threads: 0 threads; give 1 or more"),
        ({"backend": "warp"}, "backend: no backend 'warp'; choose one of events, exact, stepped"),
    ):
        with pytest.raises(InputError, match=says):
            Predictor(folder, **{"text": "review", **options})
    small_program(seed=1).save(tmp_path / "program")
    late = Predictor(tmp_path / "program", "review")
    small_program(seed=2).save(tmp_path / "program")
    with pytest.raises(InputError, match="the program was replaced meanwhile"):
        late({"review": TEXTS})


def test_stray_spaces_are_read_as_where_rows_are_evaluated(tmp_path):
    """To tokenizers of bytes (RoBERTa's) a space before a text makes other tokens of it."""
    words = Tokenizer(
        models.WordLevel({"[UNK]": 1, **{word: i for i, word in enumerate(["a", "\u0120a", "b"], 5)}}, "[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    program = replace(small_program(), tokenizer=words)
    program.save(tmp_path / "program")
    rows = [{"text": " a", "label": "LABEL_0"}, {"text": "b ", "label": "LABEL_1"}]
    task = describe(rows, labels=program.labels)
    ids = tokens_for(program, read_rows(rows, task), 9, task=task).ids
    found = Predictor(tmp_path / "program", "text", logits=True)({"text": [" a", "b "]})
    right = Engine(program)(np.array(ids)).logits
    assert ids == [[5], [7]] and words.encode(" a").ids == [6]
    assert np.array_equal(np.stack([found[f"logit_{label}"] for label in program.labels], 1), right)


def test_rows_of_another_number_of_texts_are_refused_at_once(tmp_path):
    replace(small_program(), texts=2).save(tmp_path / "pairs")
    replace(small_program(), texts=1).save(tmp_path / "single")
    for model, columns, says in (
        ("pairs", ["first"], "pairs: text: one text per row, the model takes two; give two columns"),
        ("single", ["first", "second"], "single: text: two texts per row, the model takes one; give one column"),
    ):
        with pytest.raises(InputError, match=says):
            Predictor(tmp_path / model, columns)
    with pytest.raises(InputError, match="mnli: text: one text per row, the model takes two"):
        Predictor("mnli", "text")  # whose task says so
    assert len(Predictor(tmp_path / "pairs", ["first", "second"])(PAIRS)["prediction"]) == 30


@pytest.mark.slow
def test_two_workers_of_datasets_answer_as_one_process(folder):
    datasets = pytest.importorskip("datasets")
    predictor = Predictor(folder, ["first", "second"], logits=True)
    rows = datasets.Dataset.from_dict(PAIRS)
    found = rows.map(predictor, batched=True, batch_size=4, num_proc=2).with_format("numpy")
    assert same({name: found[:][name] for name in found.column_names}, predictor(PAIRS))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_workers_of_ray_answer_as_one_process(folder):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)  # one moves rows while two answer
    try:
        rows = ray.data.from_items([dict(zip(PAIRS, pair, strict=True)) for pair in zip(*PAIRS.values(), strict=True)])
        rows = rows.repartition(5)
        options = {"fn_constructor_args": (folder, list(PAIRS)), "fn_constructor_kwargs": {"logits": True}}
        found = rows.map_batches(Predictor, concurrency=2, batch_size=4, **options).to_pandas()
    finally:
        ray.shutdown()
    whole = Predictor(folder, list(PAIRS), logits=True)(PAIRS)
    order = [TEXTS.index(text) for text in found["first"]]
    assert sorted(order) == list(range(30))
    assert same({n: np.array(c)[order] for n, c in whole.items()}, {n: found[n].to_numpy() for n in found})
