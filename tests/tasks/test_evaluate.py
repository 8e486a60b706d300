"""A program over rows: small networks with random weights, sentences of our own."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest

from matterhorn.errors import InputError
from matterhorn.runtime import Engine
from matterhorn.tasks.evaluate import evaluate, joined, predict
from matterhorn.tasks.metrics import compute_metrics
from matterhorn.tasks.rows import Examples
from matterhorn.tasks.score import recipe_beside, result_of, spiking_scores
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import Tokens, tokens_for

from ..networks import small_program

PROGRAM, TASK = small_program(1), get_task("rte")


def some_rows() -> Tokens:
    draw = np.random.default_rng(0)
    texts = [tuple(" ".join(draw.choice([*"abcdefgh"], draw.integers(1, 9))) for _ in range(2)) for _ in range(70)]
    return tokens_for(PROGRAM, Examples(texts, draw.integers(0, 2, 70).tolist()), 16, task=TASK)


def test_logits_are_the_engines_whatever_rows_run_together():
    tokens = some_rows()
    logits, trace, seconds = predict(PROGRAM, tokens, batch_size=16)
    alone = [Engine(PROGRAM, "exact")(*[v for k, v in tokens.batch([i]).items() if k != "labels"]) for i in range(70)]
    assert np.array_equal(logits, np.concatenate([output.logits for output in alone]))
    assert trace.sequences == 70 and trace.tokens == sum(map(len, tokens.ids)) and seconds > 0
    assert trace.program == PROGRAM.hash


def test_an_evaluation_has_metrics_and_both_shares():
    tokens = some_rows()
    found = evaluate(PROGRAM, tokens, TASK, backend="stepped")
    logits, trace, _ = predict(PROGRAM, tokens)
    assert found.metrics == compute_metrics(TASK, logits, np.array(tokens.labels)) and found.n == 70
    assert found.silent_share == trace.silent_share and found.quiet_share == trace.quiet_share
    assert 0 < found.quiet_share < 1 and found.events_per_token == trace.spikes / trace.tokens


def test_rows_of_another_number_of_texts_are_refused():
    with pytest.raises(InputError, match="two texts per row, the model takes one"):
        evaluate(replace(PROGRAM, texts=1), some_rows(), TASK)
    assert evaluate(replace(PROGRAM, texts=2), some_rows(), TASK).n == 70


def test_an_engine_of_ones_own_is_taken():
    engine = Engine(PROGRAM, "exact", threads=1)
    assert evaluate(PROGRAM, some_rows(), TASK, backend=engine).metrics == evaluate(PROGRAM, some_rows(), TASK).metrics


def test_shards_add_up_to_the_whole():
    tokens = some_rows()
    whole = predict(PROGRAM, tokens, batch_size=16)
    parts = [predict(PROGRAM, tokens, batch_size=16, shard=(rank, 3)) for rank in range(3)]
    assert not parts[0].logits.all(1).all()  # rows of others are left out
    logits, trace, _ = joined(parts)
    assert np.array_equal(logits, whole.logits) and trace.lengths == whole.trace.lengths
    assert trace.digital == whole.trace.digital
    for name, connection in whole.trace.connections.items():
        for field, value in vars(connection).items():
            assert np.array_equal(value, getattr(trace.connections[name], field)), (name, field)
    gathered = evaluate(
        PROGRAM, tokens, TASK, gather=lambda _: [predict(PROGRAM, tokens, shard=(i, 2)) for i in (0, 1)]
    )
    assert gathered.metrics == evaluate(PROGRAM, tokens, TASK).metrics


def test_more_shards_than_batches_are_no_error():
    empty = predict(PROGRAM, some_rows(), shard=(5, 6))
    assert empty.trace.sequences == 0 and not empty.logits.any()


def test_a_program_of_another_task_is_refused():
    other = PROGRAM.from_arrays(PROGRAM.config, PROGRAM.arrays(), labels=PROGRAM.labels, task="wnli")
    for program, task, problem in ((PROGRAM, "mnli", "2 outputs, mnli needs 3"), (other, "rte", "trained for wnli")):
        with pytest.raises(InputError, match=problem):
            evaluate(program, some_rows(), get_task(task))


def test_a_general_encoder_is_not_evaluated():
    with pytest.raises(InputError, match="a general encoder, not a classifier"):
        evaluate(replace(PROGRAM, task="general"), some_rows(), TASK)


def test_a_result_says_what_ran():
    tokens = some_rows()
    scores = spiking_scores(PROGRAM, {"dev": tokens}, lambda rows: evaluate(PROGRAM, rows, TASK), "events")
    found = evaluate(PROGRAM, tokens, TASK)
    assert (scores.metrics, scores.quiet_share, scores.k) == (found.metrics, found.quiet_share, 1)
    assert (scores.intermediate, scores.silence_per, scores.backend) == (64, "neuron", "events")
    phases = [{"quiet_share": 0.8}, {"price": "rram-22nm", "quiet_share": 0.9}]
    recipe = {"task": "rte", "backbone": "tiny", "seed": 4, "phases": phases, "network": {"blocks": [0, 2]}}
    result = result_of(TASK, "mine", 70, [scores], recipe=recipe, limit=70)
    assert (result.price, result.quiet_target, scores.weights) == ("rram-22nm", 0.9, "int1")
    untold = result_of(TASK, "mine", 70, [scores], recipe={})
    assert (untold.seed, untold.price, untold.quiet_target, untold.blocks) == (None, None, None, None)
    assert (result.blocks, result.teacher_blocks) == ((0, 2), None)
    known = result_of(TASK, "mine", 70, [scores], recipe=recipe, teacher_blocks=4)
    assert known.teacher_blocks == 4
    assert result_of(TASK, "mine", 70, [scores], recipe={}, teacher_blocks=4).teacher_blocks is None
    assert result.seed == 4 and result.backbone == "tiny" and "--model mine" in str(result.command)
    assert result.note == "only the first 70 rows" and result.format == 3


def test_a_recipe_beside_a_model_is_read(tmp_path):
    assert recipe_beside(tmp_path) == {}
    (tmp_path / "recipe.yaml").write_text("task: wnli\nseed: 3\n")
    assert recipe_beside(tmp_path)["seed"] == 3


def test_mismatched_rows_stand_beside_the_matched():
    task = get_task("mnli")
    program = small_program(labels=3)
    rows = tokens_for(program, Examples([("a", "b"), ("c d", "e")], [0, 1]), 16, task=task)
    splits = {"dev": rows, "dev_mismatched": rows.subset([0])}
    scores = spiking_scores(program, splits, lambda own: evaluate(program, own, task), "events")
    assert scores.metrics.keys() == {"accuracy", "accuracy_mismatched"}
    assert scores.metrics["accuracy_mismatched"] in (0, 1)


def test_the_commit_is_that_of_our_sources_and_never_of_a_repository_around_them(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], cwd=tmp_path, check=True)

    source = tmp_path / "score.py"
    source.write_text("")
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "of somebody else")
    monkeypatch.setattr("matterhorn.tasks.score.__file__", str(source))
    assert result_of(TASK, "mine", 70, [], recipe={}).commit is None
    git("add", "score.py")
    git("commit", "-q", "-m", "of ours")
    assert len(result_of(TASK, "mine", 70, [], recipe={}).commit) == 12
