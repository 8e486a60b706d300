"""Networks are read whole or not at all: no random tensors, no pickles, no NaN."""

from __future__ import annotations

from functools import partial
from logging import WARNING, getLogger

import pytest
import torch
from safetensors.torch import load_file, save_file

from matterhorn.distill.teacher import load_classifier, load_teacher
from matterhorn.errors import InputError
from matterhorn.models.quantized import read_network
from matterhorn.tasks.task import get_task

from ..networks import small_bert, small_network

READERS = {
    "teacher": (small_bert, partial(load_teacher, task=get_task("sst2")), "bert.encoder.layer.0.output.dense.bias"),
    "network": (small_network, read_network, "blocks.0.ffn1.bias"),
}


@pytest.fixture(params=READERS)
def saved(request, tmp_path):
    """A folder with a network, what reads it, and the name of one of its tensors."""
    make, read, name = READERS[request.param]
    make().save_pretrained(tmp_path)
    read(tmp_path)
    return tmp_path / "model.safetensors", read, name


def test_a_missing_tensor_is_refused(saved):
    path, read, name = saved
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{name}: tensors missing"):
        read(path.parent)


def test_a_refusal_is_all_that_is_said(saved, caplog, monkeypatch):
    path, read, name = saved
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    monkeypatch.setattr(getLogger("transformers"), "propagate", True)
    with caplog.at_level(WARNING, "transformers"):
        with pytest.raises(InputError):
            read(path.parent)
        assert not caplog.text and getLogger("transformers").level == WARNING


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_boundless_numbers_are_refused(saved, odd):
    path, read, name = saved
    tensors = load_file(path)
    tensors[name][0] = odd
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{name}: NaN or infinity"):
        read(path.parent)


def test_a_tensor_of_another_size_is_refused(saved):
    path, read, name = saved
    tensors = load_file(path)
    tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{name}: tensors missing, or of other sizes"):
        read(path.parent)


def test_pickles_are_not_read(saved):
    path, read, _ = saved
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read(path.parent)


def test_a_head_may_be_drawn_only_where_one_is_to_be_trained(tmp_path):
    small_bert().bert.save_pretrained(tmp_path)
    load_classifier(tmp_path)
    with pytest.raises(InputError, match=r"classifier\.bias"):
        load_classifier(tmp_path, head=True)


@pytest.mark.parametrize("send", ["double", "half", "bfloat16"])
def test_a_quantized_network_stays_in_the_type_that_it_is_exact_in(send):
    network = small_network()
    with pytest.raises(InputError, match="exact in float32"):
        getattr(network, send)()
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_a_scale_that_was_taken_away_is_noticed():
    network = small_network()
    network.check_calibrated()
    next(iter(network.populations().values())).scale.data.fill_(float("nan"))
    with pytest.raises(InputError, match="scales are not set"):
        network.check_calibrated()
