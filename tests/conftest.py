"""Small real networks that the tests share."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from hypothesis import settings
from transformers import BertConfig, BertForSequenceClassification

from matterhorn.models import MatterhornForSequenceClassification, from_bert
from matterhorn.models.from_bert import calibrate_steps, choose_silence, level_histograms

torch.set_num_threads(1)
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def small_bert(labels: int = 2, seed: int = 0, vocabulary: int = 200) -> BertForSequenceClassification:
    """Two blocks of 32, four heads; large weights, so that levels spread."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.2,
    )
    return BertForSequenceClassification(config).eval()


def small_batch(seed: int = 0, rows: int = 6, longest: int = 11, vocabulary: int = 200) -> dict[str, torch.Tensor]:
    """Random tokens of different lengths, padded."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (rows,), generator=draw)
    lengths[0] = longest
    tokens = torch.randint(3, vocabulary, (rows, longest), generator=draw)
    present = torch.arange(longest) < lengths[:, None]
    return {
        "input_ids": tokens * present,
        "token_type_ids": torch.randint(0, 2, (rows, longest), generator=draw) * present,
        "attention_mask": present.long(),
    }


def small_network(k: int = 0, *, mean: bool = False, seed: int = 0, **options) -> MatterhornForSequenceClassification:
    """A calibrated quantised network."""
    model = from_bert(small_bert(seed=seed), **options).eval()
    batch = small_batch()
    calibrate_steps(model, batch)
    histograms = level_histograms(model, [batch])
    model.set_dead_zone(k)
    choose_silence(model, histograms, mean=mean)
    return model


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """A folder of GLUE files, named by MATTERHORN_GLUE_DIR."""
    folder = os.environ.get("MATTERHORN_GLUE_DIR")
    if not folder:
        pytest.skip("set MATTERHORN_GLUE_DIR to a folder of GLUE files")
    return Path(folder)
