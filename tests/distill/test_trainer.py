"""Distillation in Hugging Face's ``Trainer``: the loss falls, silence is held, the result converts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

import matterhorn as mh
from matterhorn.errors import InputError
from matterhorn.models import quantize

from ..networks import small_arrays, small_batch, small_bert, small_network


def rows(count: int = 32) -> list[dict[str, torch.Tensor]]:
    batch = small_batch(rows=count)
    return [{name: values[i] for name, values in batch.items()} for i in range(count)]


def arguments(folder, **changes) -> TrainingArguments:
    options = {"max_steps": 24, "learning_rate": 3e-3, "logging_steps": 1, "per_device_train_batch_size": 8}
    fixed = {"report_to": [], "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    return TrainingArguments(folder, **(options | fixed | changes))


def test_a_student_learns_keeps_its_share_and_converts(tmp_path):
    student, teacher = small_network(k=2), small_bert()
    trainer = mh.DistillationTrainer(
        student, arguments(tmp_path), teacher=teacher, silent_share=0.8, train_dataset=rows()
    )
    assert trainer.distillation.silence is not None and not teacher.training
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "silent" in entry]
    losses = [entry["loss"] for entry in steps]
    assert len(losses) == 24 and np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    shares = [entry["silent"] for entry in steps]
    assert abs(shares[-1] - 0.8) < max(0.02, abs(shares[0] - 0.8))
    program = mh.convert(student.eval())
    given = mh.Engine(program)(**small_arrays()).logits
    assert np.array_equal(given, student(**small_batch()).logits.detach().numpy())


def test_evaluation_is_by_labels(tmp_path):
    student = small_network(k=1)
    labelled = [row | {"labels": torch.tensor(i % 2)} for i, row in enumerate(rows(8))]
    trainer = mh.DistillationTrainer(student, arguments(tmp_path), teacher=small_bert(), train_dataset=labelled)
    labels = torch.stack([row["labels"] for row in labelled])
    with torch.no_grad():
        expected = student.eval()(**small_batch(rows=8), labels=labels).loss
    assert trainer.evaluate(labelled)["eval_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_a_share_of_nothing_is_refused_not_ignored(tmp_path):
    with pytest.raises(InputError, match=r"silent_share: 0\.0; give a share between 0 and 1"):
        mh.DistillationTrainer(
            small_network(k=2), arguments(tmp_path), teacher=small_bert(), silent_share=0.0, train_dataset=rows(8)
        )


def test_a_student_that_is_not_calibrated_is_refused(tmp_path):
    with pytest.raises(InputError, match="calibrate"):
        mh.DistillationTrainer(quantize(small_bert()), arguments(tmp_path), teacher=small_bert())
