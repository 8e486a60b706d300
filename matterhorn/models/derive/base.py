"""Make ``sst2-base`` and ``stsb-base`` from arrays that were trained on a GPU before this package could do so.

``python -m matterhorn.models.derive.base NAME ARRAYS BACKBONE OUTPUT`` writes the program to ``OUTPUT/NAME`` and the
embeddings to ``OUTPUT/mpnet-base``, which both share. ARRAYS is the ``.npz`` file, whose checksum is below; BACKBONE is
the folder of all-mpnet-base-v2. The arrays replace the state of ``quantize(mpnet, …)``. Forward pass, conversion and
the written folder are those of every other model.

For block ``i`` the arrays are ``i.<connection>.positive`` (which weights are positive, packed bits ``[out · in]``),
``.nonzero`` (which ternary weights are not 0), ``.alpha`` (scales of rows, ``[out]``) and ``.bias``. The others have
the names of :mod:`matterhorn.models.general`. ``pooler`` and ``classifier`` are real; between them is a hard tanh.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import MPNetForSequenceClassification, PreTrainedModel

from ...errors import InputError
from ...program.hub import TOKENIZER_FILE
from ...program.saving import save
from ...program.text import read_tokenizer
from ...storage import sha256
from ...topology import STATIC
from ..config import inverse
from ..convert import convert
from ..general import fill, tensors_under
from ..quantize import quantize
from ..quantized import QuantizedForSequenceClassification

DEAD_ZONES = {"dead_zone": 3, "dead_zones": {"probabilities": 1}}
EMBEDDINGS = "../mpnet-base/embeddings.safetensors"


@dataclass(frozen=True)
class Source:
    """What a model is made from: its task, the names of its outputs, the width of its weights, the file's SHA-256."""

    task: str
    labels: tuple[str, ...]
    weights: str
    sha256: str


SOURCES = {
    "sst2-base": Source(
        "sst2",
        ("negative", "positive"),
        "int1",
        "276477d079783579a1654f809ffa7fd411db3872ee72ce489600fa536de4bae3",
    ),
    "stsb-base": Source(
        "stsb",
        ("score",),
        "ternary",
        "342294cb5dbba2f4bfbbc5ddb8b8bd2cae9caeebd280b496a5a634c3059f1d07",
    ),
}


def derive(name: str, file: Path, backbone: Path) -> QuantizedForSequenceClassification:
    """Make the quantized network of one of :data:`SOURCES`.

    Raises:
        InputError: the file has another checksum.
    """
    source = SOURCES[name]
    if sha256(file) != source.sha256:
        raise InputError(f"not the arrays of {name}", file=file, field="sha256", cure="give the file it was made from")
    names = dict(enumerate(source.labels))
    labels: dict[str, Any] = {"num_labels": len(names), "id2label": names, "label2id": inverse(names)}
    teacher = MPNetForSequenceClassification.from_pretrained(backbone, dtype=torch.float32, **labels)
    with np.load(file, allow_pickle=False) as arrays:
        return take_arrays(teacher, arrays, source.weights)


@torch.no_grad()
def take_arrays(
    teacher: PreTrainedModel, arrays: Mapping[str, NDArray[Any]], weights: str
) -> QuantizedForSequenceClassification:
    """Quantize a teacher, and replace blocks and head by arrays with the names above. Returns it in evaluation mode."""
    student = quantize(teacher, weights=weights, **DEAD_ZONES)  # type: ignore[arg-type]
    student.config.head_activation = "hardtanh"
    for number, block in enumerate(student.layers()):
        own = tensors_under(str(number), arrays)
        fill(block, own)
        for name in STATIC:
            linear = block.connection(name)
            linear.fill(_integers(own, name, linear.weight.shape), own[f"{name}.alpha"])
    for name in ("pooler", "classifier"):
        student.get_submodule(name).load_state_dict(tensors_under(name, arrays))
    student.train(False)
    return student


def _integers(own: Mapping[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    """Integer weights of a connection, float ``[out, in]``."""

    def bits(part: str) -> Tensor:
        packed = np.unpackbits(own[f"{name}.{part}"].numpy(), count=shape.numel())
        return torch.from_numpy(packed.astype(np.float32)).reshape(shape)

    signs = 2 * bits("positive") - 1
    return signs * bits("nonzero") if f"{name}.nonzero" in own else signs


def main(name: str, file: Path, backbone: Path, output: Path) -> None:
    """Write the program of one of :data:`SOURCES`."""
    words = read_tokenizer(backbone / TOKENIZER_FILE)
    program = convert(derive(name, file, backbone), task=SOURCES[name].task, tokenizer=words)
    save(program, output / name, embeddings=EMBEDDINGS)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
