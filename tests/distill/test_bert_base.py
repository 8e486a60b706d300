"""The paper's backbone: its network builds, and one step of distillation trains it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from matterhorn.distill.loss import Distillation
from matterhorn.distill.measure import ask
from matterhorn.distill.recipe import load_recipe
from matterhorn.distill.teacher import freeze
from matterhorn.models import quantize
from matterhorn.tasks.task import get_task

from ..networks import small_batch


@pytest.mark.slow
def test_one_step_trains_the_network():
    torch.manual_seed(0)
    phase = load_recipe("bert-base/sst2").phases[0]
    shape = BertConfig(vocab_size=200, num_labels=get_task("sst2").outputs)
    teacher, batch = BertForSequenceClassification(shape).eval(), small_batch(rows=2, longest=6)
    student = quantize(teacher, batches=[batch])
    assert len(student.layers()) == 12 and student.config.hidden_size == 768
    assert sum(p.numel() for p in student.blocks.parameters()) > 84e6
    before = {name: p.detach().clone() for name, p in student.named_parameters() if "blocks.11." in name}
    loss = Distillation(student, partial(ask, freeze(teacher)), phase.logit_weight, phase.hidden_weight)
    value, _ = loss(student.train(), batch)
    value.backward()
    trained = [p for p in student.parameters() if p.requires_grad]
    assert value > 0 and all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    torch.optim.SGD(trained, lr=phase.learning_rate).step()
    moved = {name for name, p in student.named_parameters() if name in before and not torch.equal(p, before[name])}
    assert any("query.weight" in name for name in moved) and any("ffn2.weight" in name for name in moved)
