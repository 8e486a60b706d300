"""What a step of distillation weighs, of whom it asks gradients, and what a share that falls short costs."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from matterhorn.distill.loss import Distillation
from matterhorn.distill.measure import Measured, ask
from matterhorn.distill.recipe import Distilling
from matterhorn.distill.run import with_shortfall
from matterhorn.distill.silence import Silence
from matterhorn.distill.steps import adam
from matterhorn.distill.teacher import freeze
from matterhorn.models import quantize

from ..networks import small_batch, small_bert, small_network


def test_vectors_are_not_decayed_and_all_is_trained_once():
    network = small_network()
    phase = Distilling(epochs=1, learning_rate=1e-3)
    groups = adam(network, phase).param_groups
    decayed, kept = ({id(p): p for p in group["params"]} for group in groups)
    assert {p.dim() for p in decayed.values()} == {2} and max(p.dim() for p in kept.values()) == 1
    assert (groups[0]["weight_decay"], groups[1]["weight_decay"]) == (0.01, 0)
    assert decayed.keys() | kept.keys() == {id(p) for p in network.parameters() if p.requires_grad}


def test_teacher_is_in_eval_mode_and_gets_no_gradients():
    teacher, student = small_bert(), small_network()
    teacher.train()
    loss = Distillation(student, partial(ask, freeze(teacher)))
    value, figures = loss(student.train(), small_batch())
    value.backward()
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert figures["loss"] > 0 and 0 < figures["silent"] < 1 and 0 < figures["quiet"] < 1
    assert all(p.grad is not None for p in student.blocks.parameters())


def test_regression_has_a_loss():
    """Soft cross-entropy of one logit would be zero whatever the student says."""
    teacher = small_bert(labels=1)
    student = quantize(teacher, batches=[small_batch()])
    loss = Distillation(student, partial(ask, teacher), hidden_weight=0)
    assert loss(student.train(), small_batch())[1]["loss"] > 0


def test_sentence_embeddings_weigh_as_asked():
    teacher, student, batch = small_bert(), small_network(), small_batch()
    plain, weighed = (
        Distillation(student, partial(ask, freeze(teacher)), 0, hidden, embedding)(student.train(), batch)[0]
        for hidden, embedding in ((1, 0), (1, 3))
    )
    own = student(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True).hidden_states[-1]
    taught, cosines = ask(teacher, batch)[1][-1], []
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        one, other = own[row, :length].mean(0), taught[row, :length].mean(0)
        cosines.append((one @ other / (one.norm() * other.norm())).item())
    assert (weighed - plain).item() == pytest.approx(3 * (1 - sum(cosines) / len(cosines)), rel=1e-4)
    weighed.backward()
    assert float(student.layers()[0].connection("query").weight.grad.abs().sum()) > 0


def test_a_share_that_falls_short_costs_score():
    silence = Silence(small_network(k=1), small_batch(), batch_size=6, silent_share=0.9)
    judge = with_shortfall(lambda *_: Measured(-0.2, {"divergence": 0.2}), silence)
    silence.seen = torch.tensor([0.897, 0.5])
    assert judge(None, None, None) == Measured(-0.2, {"divergence": 0.2})  # within the tolerance
    silence.seen = torch.tensor([0.875, 0.5])
    assert judge(None, None, None).score == pytest.approx(-0.4)
