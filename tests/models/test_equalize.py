from __future__ import annotations

import pytest
import torch

from matterhorn.models import QuantizedForSequenceClassification, equalize, full_precision, quantize
from matterhorn.models.calibrate import set_scales
from matterhorn.models.equalize import channel_moments, even_columns
from matterhorn.nn import ActivationQuantizer, QuantizedLinear, Sent
from matterhorn.topology import Site

from ..networks import small_batch, small_bert


def hidden_error(student: QuantizedForSequenceClassification, teacher, batch) -> float:
    given = batch | {"output_hidden_states": True}
    with torch.no_grad():
        states = zip(student.eval()(**given).hidden_states[1:], teacher(**given).hidden_states[1:], strict=True)
        present = batch["attention_mask"].bool()
        return sum(float((own - taught)[present].square().mean()) for own, taught in states)


def test_columns_are_evened_and_the_product_stays():
    torch.manual_seed(0)
    weight, population = torch.randn(20, 8), ActivationQuantizer(4, signed=True, gains=8)
    weight *= torch.cat([torch.tensor([0, 1e-4]), torch.logspace(-1, 1, 6)])  # nothing, hardly anything, and more
    x, before = torch.randn(5, 8), weight.clone()
    with torch.no_grad():
        even_columns(population, [weight])
        assert torch.allclose(population.amplify(x) @ weight.T, x @ before.T, atol=1e-4)
    even = weight[:, 2:].abs().mean(0)
    assert float(even.std() / even.mean()) < 1e-3
    assert float((population.positive_gain.max() / population.positive_gain.min()).detach()) > 20


def test_without_quantizers_equalize_changes_nothing_but_the_bits_of_keys_and_values(monkeypatch):
    teacher, batch = small_bert(), small_batch()
    with torch.no_grad():
        for name, bias in teacher.named_parameters():
            if name.endswith("bias"):
                bias.uniform_(-1, 1)
    student = quantize(teacher).eval()

    def plain(self: ActivationQuantizer, x: torch.Tensor) -> Sent:
        return Sent(self.amplify(x) if self.zero else x.clamp(min=0), None)

    monkeypatch.setattr(ActivationQuantizer, "forward", plain)
    monkeypatch.setattr(QuantizedLinear, "integers", lambda self: (self.weight, torch.ones(len(self.weight))))

    def feed(model: QuantizedForSequenceClassification) -> tuple[torch.Tensor, ...]:
        block, x = model.layers()[0], torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(0))
        one = torch.tensor(1.0)
        levels = block.population("input")(x).levels
        hidden = block.connection("ffn1")(block.population("hidden")(x).levels, one)
        after = block.connection("ffn2")(block.population("intermediate")(hidden).levels, one)
        return *(block.connection(name)(levels, one) for name in ("query", "key", "value")), after

    query, key, value, after = feed(student)
    output, context = student.layers()[0].connection("output"), student.layers()[0].population("context")
    before = output.weight.detach().clone(), output.bias.detach().clone()
    equalize(student, teacher, batch)
    moments = channel_moments(teacher, batch)
    query2, key2, value2, after2 = feed(student)
    mean, size = moments[Site(0, "key")]
    assert torch.allclose(key2, key - mean, atol=1e-4)
    assert torch.allclose(query2, query * size / size.mean(), atol=1e-4)
    assert torch.allclose(after2, after, atol=1e-4)
    mean, size = moments[Site(0, "value")]
    assert torch.allclose(value2, value - mean, atol=1e-4)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    expected = (x * size / size.mean() + mean) @ before[0].T + before[1]
    assert torch.allclose(output(context(x).levels, torch.tensor(1.0)), expected, atol=1e-4)


def test_an_equalized_network_starts_nearer_to_its_teacher():
    batch, errors = small_batch(rows=32), []
    for equalized in (False, True):
        teacher = small_bert()
        for layer in teacher.bert.encoder.layer:  # channels of unlike size and mean, as real encoders have
            layer.attention.self.key.bias.data.uniform_(-2, 2)
            layer.attention.self.value.weight.data.mul_(torch.logspace(-1, 0.5, 32)[:, None])
            layer.intermediate.dense.weight.data.mul_(torch.logspace(-1, 0.5, 32))
        student = quantize(teacher)
        if equalized:
            equalize(student, teacher, batch)
        set_scales(student, batch)
        errors.append(hidden_error(student, teacher, batch))
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("kv_bits", [2, 4])
def test_keys_and_values_of_several_bits_keep_their_sizes(kv_bits):
    """Queries and gains took these too, as they do those that one bit loses, so that they counted twice."""
    teacher, batch = small_bert(), small_batch()
    for layer in teacher.bert.encoder.layer:
        for part in (layer.attention.self.key, layer.attention.self.value):
            part.weight.data.mul_(torch.logspace(-3, 0.5, 32)[:, None])
            part.bias.data.uniform_(-1, 1)
    student = quantize(teacher, kv_bits=kv_bits).eval()
    equalize(student, teacher, batch)
    set_scales(student, batch)
    with full_precision(student, teacher=teacher):
        assert hidden_error(student, teacher, batch) < 1e-6
