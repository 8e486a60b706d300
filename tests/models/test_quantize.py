"""From a teacher to a quantized network: its weights, what is refused, nothing half-ready."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertModel

import matterhorn.hf  # noqa: F401  (makes our models known to the Auto classes)
from matterhorn.errors import InputError
from matterhorn.models import (
    MatterhornConfig,
    QuantizedForSequenceClassification,
    calibrate,
    convert,
    quantize,
)
from matterhorn.models.calibrate import level_histograms
from matterhorn.models.encoders import ENCODERS
from matterhorn.models.quantized import read_network
from matterhorn.nn import quantize_int8
from matterhorn.topology import Site

from ..networks import small_arrays, small_batch, small_bert, small_network


def test_it_has_its_teachers_weights_and_labels():
    teacher = small_bert(labels=3)
    teacher.config.id2label = {0: "no", 1: "maybe", 2: "yes"}
    network = quantize(teacher)
    layer = teacher.bert.encoder.layer[1]
    connections = network.connections()
    assert torch.equal(connections[Site(1, "output")].weight, layer.attention.output.dense.weight)
    assert torch.equal(connections[Site(1, "ffn1")].bias, layer.intermediate.dense.bias)
    assert torch.equal(network.layers()[1].feed_forward_norm.weight, layer.output.LayerNorm.weight)
    assert torch.equal(network.classifier.weight, teacher.classifier.weight)
    segments = quantize_int8(teacher.bert.embeddings.token_type_embeddings.weight.detach())
    assert torch.equal(network.embeddings.get_buffer("segment"), segments[0])
    assert network.config.labels == ("no", "maybe", "yes")
    assert network.config.hidden_size == 32 and network.config.weights == "int1"
    assert not any(p.requires_grad for p in network.embeddings.parameters())


def test_options_reach_every_part():
    network = quantize(
        small_bert(),
        weights="ternary",
        activation_bits=3,
        kv_bits=2,
        dead_zone=3,
        dead_zones={"probabilities": 1},
        silence_per="tensor",
    )
    populations = network.populations()
    assert {site.part: p.dead_zone for site, p in populations.items()} == {
        "input": 3,
        "queries": 3,
        "probabilities": 1,
        "context": 3,
        "hidden": 3,
        "intermediate": 3,
    }
    assert {p.bits for p in populations.values()} == {3} and {len(p.silent) for p in populations.values()} == {1}
    assert {linear.kind for linear in network.connections().values()} == {"ternary"}
    assert {store.bits for store in network.stores().values()} == {2}


def test_the_digital_form_reaches_norms_and_attention():
    block = quantize(small_bert(), digital="shift").layers()[0]
    assert block.shift and block.attention_norm.shift and block.feed_forward_norm.shift


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weight_bits": "1"},
            "weight_bits: no such option; did you mean weights. give any of: weights, activation_bits, kv_bits",
        ),
        ({"intermediate_size": 128}, "intermediate_size: no such option"),
        ({"weights": "int8"}, "weights: 'int8' is not possible; give one of: int1, ternary, int2, int4"),
        ({"dead_zones": {"mixed": 1}}, "dead_zones.*context"),
    ],
)
def test_unknown_options_are_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        quantize(small_bert(), **options)
    assert "\n" not in str(error.value)


def test_unknown_encoders_are_refused_in_one_line():
    for teacher in (BertModel(small_bert().config), torch.nn.Linear(2, 2)):
        with pytest.raises(InputError) as error:
            quantize(teacher)
        name = type(teacher).__name__
        assert str(error.value) == f"teacher: {name} is not supported; give one of: {', '.join(ENCODERS)}"


def test_a_decoder_is_refused():
    with pytest.raises(InputError, match="causal mask"):
        quantize(small_bert(is_decoder=True))


def test_an_uncalibrated_network_says_what_comes_next(tmp_path):
    network = quantize(small_bert())
    network.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    for fresh in (network, again, QuantizedForSequenceClassification(MatterhornConfig(**network.config.to_dict()))):
        for use in (
            lambda own: own(**small_batch()),
            lambda own: own.train()(**small_batch()),
            lambda own: own.expected(small_arrays()),
            lambda own: level_histograms(own, [small_batch()]),
            convert,
        ):
            with pytest.raises(InputError, match=r"scales are not set; run matterhorn\.calibrate"):
                use(fresh)
    calibrate(again, [small_batch()])
    again(**small_batch())


def test_half_a_calibration_is_none():
    network = quantize(small_bert())
    bad = small_batch() | {"token_type_ids": small_batch()["input_ids"]}
    with pytest.raises(InputError, match="a number outside a table"):
        calibrate(network, [bad])
    with pytest.raises(InputError, match="scales are not set"):
        network(**small_batch())
    network.populations()[Site(0, "input")].scale.data.fill_(1.0)
    with pytest.raises(InputError, match=r"block\.0\.queries"):
        network(**small_batch())


def test_with_batches_it_is_ready_at_once():
    network = quantize(small_bert(), batches=[small_arrays(), small_arrays(1)], dead_zone=1).eval()
    other = quantize(small_bert(), dead_zone=1).eval()
    calibrate(other, iter([small_batch(), small_batch(1)]))
    assert torch.equal(network(**small_batch()).logits, other(**small_batch()).logits)
    assert convert(network).hash == convert(other).hash


def test_a_quantized_network_survives_saving(tmp_path):
    network = small_network(k=3, mean=True, dead_zones={"probabilities": 1}, weights="int2")
    network.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert isinstance(again, QuantizedForSequenceClassification)
    assert again.config.formats == network.config.formats
    zones = {site: population.dead_zone for site, population in network.populations().items()}
    assert {site: population.dead_zone for site, population in again.populations().items()} == zones
    with torch.no_grad():
        assert torch.equal(again(**small_batch()).logits, network(**small_batch()).logits)
    assert convert(again).hash == convert(network).hash


def test_a_checkpoint_from_before_scales_had_a_ratio_reads_as_it_was(tmp_path):
    network = small_network(weights="int4", kv_bits=4)
    network.save_pretrained(tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    kept = {name: values for name, values in arrays.items() if not name.endswith(".ratio")}
    assert len(kept) == len(arrays) - 12
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert convert(read_network(tmp_path)).hash == convert(network).hash
    network.connections()[Site(0, "ffn1")].ratio.fill_(0.5)
    network.save_pretrained(tmp_path)
    assert convert(read_network(tmp_path)).hash == convert(network).hash


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_teacher_that_has_diverged_is_refused(value):
    teacher, name = small_bert(), "bert.encoder.layer.0.intermediate.dense.bias"
    teacher.get_parameter(name).data[3] = value
    for dtype in (torch.float32, torch.float16, torch.float8_e4m3fn):
        if value != value or dtype != torch.float8_e4m3fn:  # (which has no infinity)
            with pytest.raises(InputError, match=f"{name}: NaN or infinity; train anew"):
                quantize(teacher.to(dtype))
