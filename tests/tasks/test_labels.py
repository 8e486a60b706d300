"""Outputs in another order: the same score, by the labels' names."""

from __future__ import annotations

import numpy as np
import pytest

from matterhorn.errors import InputError
from matterhorn.program import Program, load
from matterhorn.tasks import describe, get_task, load_examples, read_rows
from matterhorn.tasks.evaluate import evaluate, predict, task_for
from matterhorn.tasks.metrics import compute_metrics
from matterhorn.tasks.rows import Examples
from matterhorn.tasks.tokens import tokens_for

from ..networks import small_program


def permuted(program: Program, order: list[int], labels: tuple[str, ...]) -> Program:
    """The same program, its outputs in another order and called ``labels`` before that."""
    arrays = {name: a[order] if name.startswith("classifier.") else a for name, a in program.arrays().items()}
    names = [labels[i] for i in order]
    return program.from_arrays(program.config, arrays, labels=names, task=program.task, tokenizer=program.tokenizer)


def pairs(count: int) -> Examples:
    draw = np.random.default_rng(1)
    texts = [tuple(" ".join(draw.choice([*"abcdefgh"], draw.integers(1, 9))) for _ in range(2)) for _ in range(count)]
    return Examples(texts, draw.integers(0, 3, count).tolist())


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_a_model_with_permuted_outputs_scores_the_same(tmp_path, order):
    task, rows, program = get_task("mnli"), pairs(60), small_program(labels=3)
    other = permuted(program, order, tuple(task.labels))
    lines = [f"{a}\t{b}\t{task.labels[int(label)]}" for (a, b), label in zip(rows.texts, rows.labels, strict=True)]
    path = tmp_path / "MNLI" / "dev_matched.tsv"
    path.parent.mkdir()
    path.write_text("\n".join(["sentence1\tsentence2\tgold_label", *lines]))
    scores = []
    for own in (program, other):
        fitting = task_for(own, task)
        tokens = tokens_for(own, load_examples(fitting, "dev", tmp_path), 16, task=fitting)
        scores.append(evaluate(own, tokens, fitting).metrics)
        described = describe(path, ["sentence1", "sentence2"], "gold_label", labels=other.labels)
        assert described.labels == list(other.labels)
    assert scores[0] == scores[1]
    tokens = tokens_for(other, rows, 16, task=task)  # labels in the task's order: refused rather than scored wrongly
    with pytest.raises(InputError, match="in another order than those of mnli"):
        evaluate(other, tokens, task)


def test_the_shipped_mnli_with_permuted_outputs_scores_the_same(glue_dir):
    task, program = get_task("mnli"), load("mnli")
    found = {}
    for order in ([0, 1, 2], [2, 0, 1]):
        own = permuted(program, order, program.labels)
        fitting = task_for(own, task)
        rows = load_examples(fitting, "dev", glue_dir).first(64)
        found[order[0]] = evaluate(own, tokens_for(own, rows, 128, task=fitting), fitting).metrics["accuracy"]
    assert found[0] == found[2] > 0.5


def test_binary_f1_follows_its_label():
    task, draw = get_task("mrpc"), np.random.default_rng(0)
    logits, labels = draw.normal(size=(40, 2)), draw.integers(0, 2, 40)
    found = compute_metrics(task, logits, labels)
    assert compute_metrics(task.for_labels(["paraphrase", "different"]), logits[:, ::-1], 1 - labels) == found
    assert found["f1"] != compute_metrics(task, logits[:, ::-1], 1 - labels)["f1"]


def test_a_model_that_answers_another_kind_of_question_is_refused():
    rows = [{"text": "a b", "label": ["LABEL_0"]}, {"text": "c", "label": ["LABEL_0", "LABEL_1"]}]
    program = small_program()
    with pytest.raises(InputError, match="answers single_label_classification, rows is multi_label_classification"):
        task_for(program, describe(rows, labels=program.labels))
    with pytest.raises(InputError, match="1 outputs, rte needs 2"):
        task_for(small_program(labels=1), get_task("rte"))


def test_several_labels_are_evaluated():
    program = small_program()
    kind = {"labels": ("warm", "wet"), "tokenizer": program.tokenizer, "problem_type": "multi_label_classification"}
    program = program.from_arrays(program.config, program.arrays(), **kind)
    rows = [
        {"text": letter, "label": own}
        for letter, own in zip("abcd", (["wet"], [], ["warm", "wet"], ["warm"]), strict=True)
    ]
    task = describe(rows, labels=program.labels)
    tokens = tokens_for(program, read_rows(rows, task), 8, task=task)
    labels = tokens.batch([0, 2])["labels"]
    assert labels.dtype == np.float32 and labels.tolist() == [[0, 1], [1, 1]]
    found = evaluate(program, tokens, task)
    guess = predict(program, tokens).logits > 0
    assert found.metrics["exact_match"] == np.mean((guess == np.array(tokens.labels)).all(1))
    assert 0 <= found.low <= found.metrics["micro_f1"] <= found.high <= 1
