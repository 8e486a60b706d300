"""Networks that did not run here: an encoder from its configuration."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from matterhorn.energy import bill_encoder, coding, load, recode
from matterhorn.energy.foreign import Encoder, encoder_of
from matterhorn.energy.rivals import Side
from matterhorn.errors import InputError
from matterhorn.topology import DYNAMIC

from . import synthetic
from .synthetic import near

BERT = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "num_hidden_layers": 2, "hidden_size": 64,
    "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100,
}  # fmt: skip


def lay(folder, **changed):
    (folder / "config.json").write_text(json.dumps(BERT | changed))
    return folder


def test_it_costs_what_the_dense_words_of_a_traced_network_of_its_shape_and_bits_do(tmp_path):
    trace, chip = synthetic.build(replace(synthetic.SMALL, width=64, intermediate=128), (9,)), load("rram-22nm")
    for c in trace.connections.values():
        c.operand_bits = 4 if c.connection in DYNAMIC else 2
    own = Side.of(recode(trace, coding("dense")), trace, chip)
    found = Side.of(*encoder_of(lay(tmp_path), 9, weight_bits=2, activation_bits=4), chip)
    for kind in ("digital", "msu"):
        ours, theirs = own.bill(chip, kind), found.bill(chip, kind)
        assert theirs.operations == near(ours.operations) and theirs.latency == near(ours.latency)
        for category, joules in ours.by_category.items():
            if category not in ("digital_functions", "msu_conduction", "msu_row_drivers"):  # (levels are not known)
                assert theirs.by_category[category] == pytest.approx(joules, rel=1e-9), category


def test_weights_are_read_once_a_sentence_and_more_bits_cost_more(tmp_path):
    path, chip = lay(tmp_path), load("nus-22nm-mesh")
    found, by_hardware = bill_encoder(path, chip, 16, weight_bits=8, activation_bits=8)
    weights = 2 * (4 * 64**2 + 2 * 64 * 128)
    last = 64**2 * 2  # the last block reads key and value for all tokens, the rest for the first one
    read = found.by_category["weight_access"]
    assert read == near((weights - (weights / 2 - last) * 15 / 16) * 8 * chip.weights.read.si)
    assert set(by_hardware) == {"digital", "macro"} and found.total == near(by_hardware["digital"])
    whole, _ = bill_encoder(lay(tmp_path, architectures=["BertModel"]), chip, 16, weight_bits=8, activation_bits=8)
    assert whole.by_category["weight_access"] == near(weights * 8 * chip.weights.read.si)
    assert bill_encoder(path, chip, 16, weight_bits=4, activation_bits=8)[0].total < whole.total


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        ({}, (32, 32)),
        ({"torch_dtype": "bfloat16"}, (16, 16)),
        ({"dtype": "float16", "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, (4, 16)),
        ({"quantization_config": {"load_in_8bit": True, "load_in_4bit": False}}, (8, 8)),
        ({"torch_dtype": "float16", "quantization_config": {"quant_method": "gptq", "bits": 3}}, (3, 16)),
        ({"quantization_config": {"quant_method": "quanto", "weights": "int2", "activations": "qint8"}}, (2, 8)),
        ({"torch_dtype": "bfloat16", "quantization_config": {"config_groups": {"group_0": {
            "weights": {"num_bits": 4}, "input_activations": None}}}}, (4, 16)),
        ({"quantization_config": {"config_groups": {"group_0": {
            "weights": {"num_bits": 8}, "input_activations": {"num_bits": 8}}}}}, (8, 8)),
    ],
)  # fmt: skip
def test_bits_that_configurations_say(config, bits):
    assert Encoder.model_validate(BERT | config).bits() == bits


def test_sizes_go_by_other_names_too(tmp_path):
    plain = {"model_type": "distilbert", "n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 128, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    shape = encoder_of(tmp_path / "config.json", 5)[1].shape
    assert (shape.layers, shape.width, shape.heads, shape.intermediate, shape.first_only) == (2, 64, 4, 128, False)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"model_type": "llama"},
            r"model_type: .*'bert'.*; give config.json of an encoder .*, or the layers as a table",
        ),
        ({"model_type": "deberta", "pos_att_type": "c2p|p2c"}, r"model_type: .*'bert'.*"),
        ({"position_embedding_type": "relative_key"}, r"position_embedding_type: .*'absolute'"),
        ({"hidden_size": 0}, r"hidden_size: .*greater than or equal to 1"),
        ({"num_attention_heads": "many"}, r"num_attention_heads: .*integer"),
        ({"num_attention_heads": 5}, r"heads: 5 heads, 64 neurons"),
        ({"quantization_config": {"bits": 0}}, r"quantization_config.bits: .*"),
        ({"quantization_config": [4]}, r"quantization_config: .*"),
        (
            {"quantization_config": {"quant_method": "fp8"}},
            r"quantization_config: bits .* not known; give --weight-bits",
        ),
    ],
)
def test_what_cannot_be_billed_is_said_with_file_and_key(tmp_path, changed, says):
    with pytest.raises(InputError, match=f"config.json: {says}"):
        bill_encoder(lay(tmp_path, **changed))
