"""Hugging Face's ``Trainer`` evaluates programs and quantized networks: losses and metrics by the type of problem."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments

from matterhorn.errors import InputError
from matterhorn.hf import ProgramForSequenceClassification
from matterhorn.models import QuantizedForSequenceClassification, convert

from ..networks import small_batch, small_network

KINDS = {
    "single_label_classification": (3, torch.tensor([0, 1, 2, 0, 1, 2]), F.cross_entropy),
    "multi_label_classification": (3, torch.tensor([[0.0, 1, 1], [1, 0, 0]] * 3), F.binary_cross_entropy_with_logits),
    "regression": (3, torch.linspace(-1, 1, 18).reshape(6, 3), F.mse_loss),
    "one score": (1, torch.linspace(-1, 1, 6), lambda logits, labels: F.mse_loss(logits[:, 0], labels)),
}


def network_of(kind: str) -> QuantizedForSequenceClassification:
    network = small_network(k=1, labels=KINDS[kind][0])
    network.config.problem_type = None if kind == "one score" else kind
    return network


def program_of(kind: str) -> ProgramForSequenceClassification:
    network = network_of(kind)
    model = ProgramForSequenceClassification.of(convert(network))
    if kind != "one score":
        model.config.problem_type = kind
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model_of", [network_of, program_of])
def test_labels_give_the_loss_of_the_problem(kind, model_of):
    model, (_, labels, loss) = model_of(kind), KINDS[kind]
    given = model(**small_batch(), labels=labels)
    assert torch.allclose(given.loss, loss(given.logits, labels))
    with pytest.raises(InputError, match="labels: shape"):
        model(**small_batch(), labels=labels[:5])


@pytest.mark.parametrize("model_of", [network_of, program_of])
def test_labels_may_be_lists_and_must_be_numbers_of_outputs(model_of):
    model, labels = model_of("single_label_classification"), [0, 1, 2, 0, 1, 2]
    assert torch.equal(
        model(**small_batch(), labels=labels).loss, model(**small_batch(), labels=torch.tensor(labels)).loss
    )
    for wrong, says in (([0, 1, 2, 0, 1, 9], r"a number outside 0 … 2"), (["a"] * 6, "no tensor of numbers")):
        with pytest.raises(InputError, match=f"labels: {says}"):
            model(**small_batch(), labels=wrong)


def test_one_output_is_a_score():
    assert program_of("one score").config.problem_type == "regression"


def test_without_a_type_the_shape_of_labels_decides():
    network, batch = small_network(labels=3), small_batch()
    several, single = torch.ones(6, 3, dtype=torch.int64), torch.ones(6, 1, dtype=torch.int64)
    given = network(**batch, labels=several)
    assert torch.allclose(given.loss, F.binary_cross_entropy_with_logits(given.logits, several.float()))
    assert torch.allclose(network(**batch, labels=single).loss, F.cross_entropy(given.logits, single[:, 0]))


@pytest.mark.parametrize("model_of", [network_of, program_of])
def test_a_trainer_evaluates_and_predicts(model_of, tmp_path):
    model, (_, labels, _) = model_of("single_label_classification"), KINDS["single_label_classification"]
    batch = small_batch()
    rows = [{name: values[i] for name, values in batch.items()} | {"labels": labels[i]} for i in range(6)]

    def metrics(prediction):
        return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}

    options = TrainingArguments(tmp_path, per_device_eval_batch_size=4, report_to=[], use_cpu=True)
    trainer = Trainer(model, options, compute_metrics=metrics)
    with torch.no_grad():
        given = model(**batch, labels=labels)
    found = trainer.evaluate(rows)
    assert found["eval_accuracy"] == pytest.approx(float((given.logits.argmax(-1) == labels).float().mean()))
    assert found["eval_loss"] == pytest.approx(float(given.loss), rel=1e-5)
    assert np.array_equal(trainer.predict(rows).predictions, given.logits.numpy())
    unlabelled = trainer.predict([{k: v for k, v in row.items() if k != "labels"} for row in rows])
    assert np.array_equal(unlabelled.predictions, given.logits.numpy())
