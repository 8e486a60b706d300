"""The paper's backbone: its recipes can be read, its network builds, and one step of distillation trains it."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from matterhorn.errors import InputError
from matterhorn.models import MatterhornConfig, from_bert
from matterhorn.models.from_bert import calibrate_steps, choose_silence, level_histograms
from matterhorn.training.distil import Distillation
from matterhorn.training.recipe import load_recipe
from matterhorn.training.tasks import get_task, tasks
from matterhorn.training.teacher import freeze

from ..conftest import small_batch

BIT_EPOCHS = {"cola": 50, "mnli": 6, "mrpc": 20, "sst2": 10, "stsb": 20, "qqp": 6, "qnli": 10, "rte": 20}
"""arXiv 2205.13016."""


@pytest.mark.parametrize("task", tasks())
def test_each_task_has_a_recipe(task):
    recipe = load_recipe(f"bert-base/{task}")
    assert recipe.task == task and recipe.backbone.endswith("bert-base-uncased")
    first, last = recipe.rounds
    assert (first.dead_zone, last.dead_zone) == (0, 3) and first.epochs == BIT_EPOCHS.get(task, 20)
    assert 1e-4 <= first.learning_rate <= 5e-4 and 8 <= first.batch_size <= 32 and first.evaluate_every == 100
    MatterhornConfig(**recipe.network)


def test_a_missing_recipe_names_those_there_are():
    with pytest.raises(InputError, match="bert-base/sst2"):
        load_recipe("bert-base/squad")


def test_one_step_trains_the_network():
    torch.manual_seed(0)
    settings = load_recipe("bert-base/sst2").rounds[0]
    shape = BertConfig(vocab_size=200, num_labels=get_task("sst2").outputs)
    teacher = BertForSequenceClassification(shape).eval()
    student = from_bert(teacher)
    batch = small_batch(rows=2, longest=6)
    calibrate_steps(student, batch)
    choose_silence(student, level_histograms(student, [batch]))
    assert len(student.layers()) == 12 and student.config.hidden_size == 768
    assert sum(p.numel() for p in student.blocks.parameters()) > 84e6
    student.train()
    before = {name: p.detach().clone() for name, p in student.named_parameters() if "blocks.11." in name}
    loss, _ = Distillation(student, freeze(teacher), settings)(student, batch)
    loss.backward()
    trained = [p for p in student.parameters() if p.requires_grad]
    assert loss > 0 and all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    torch.optim.SGD(trained, lr=settings.learning_rate).step()
    moved = {name for name, p in student.named_parameters() if name in before and not torch.equal(p, before[name])}
    assert {"blocks.11.attention.query.weight", "blocks.11.feed_forward.ffn2.weight"} <= moved
