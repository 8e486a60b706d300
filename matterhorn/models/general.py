"""Task-free encoders: blocks that were distilled on text without labels, to start a student of any task from.

An encoder is two files in a folder. ``encoder.npz`` has, for block ``i``: ``i.<connection>.latent`` uint8 ``[out, in]``
(sign in bit 7, size in eighths of an octave: |w| = α · 2^((code − 80)/8)) with ``i.<connection>.alpha`` (α, ``[out]``)
and ``.bias``; of every population ``.scale``, ``.silent``, ``.silent_value_eighths`` and, where it has them, its
``.gain``; scales of stored keys and values; the norms. ``encoder.json`` says what it is of: the number formats, and
rows of the backbone's word embeddings by which a teacher is recognized. ``manifest.json`` seals both.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..errors import InputError
from ..program.files import folders
from ..reading import read_mapping, whole
from ..storage import Manifest, manifest_of
from ..topology import POPULATIONS, STATIC
from .block import Block
from .quantized import QuantizedForSequenceClassification

ARRAYS_FILE, ENCODER_FILE = "encoder.npz", "encoder.json"

KIND = "encoder"
"""In manifests."""

FORMAT = 2
"""Of ``encoder.json``."""

ALIKE = 0.9
"""Mean cosine of word embeddings from which a teacher counts as fine-tuned from the same backbone."""


@dataclass(frozen=True)
class GeneralEncoder:
    """A task-free encoder: its name, ``options`` of :func:`matterhorn.quantize` for a student that takes it over,
    rows of the backbone's word embeddings (numbers → float ``[width]``), its folder and what seals that."""

    name: str
    options: Mapping[str, Any]
    sizes: Mapping[str, int]
    words: Mapping[int, list[float]]
    folder: Path
    manifest: Manifest

    def is_of(self, teacher: PreTrainedModel) -> bool:
        """Whether a teacher was fine-tuned from the encoder's backbone: same sizes, and much the same embeddings."""
        if any(getattr(teacher.config, name, None) != size for name, size in self.sizes.items()):
            return False
        table = word_embeddings(teacher)
        rows = list(self.words)
        if max(rows) >= len(table):
            return False
        own = torch.tensor([self.words[row] for row in rows])
        return float(F.cosine_similarity(table[rows][:, : own.shape[1]], own).mean()) >= ALIKE

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, checked.

        Raises:
            InputError: the file is missing or altered.
        """
        content = io.BytesIO(self.manifest.read(self.folder, ARRAYS_FILE))
        with whole(self.folder / ARRAYS_FILE), np.load(content, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """A model's word embeddings, float32 ``[vocabulary, width]``."""
    table = cast(nn.Embedding, model.get_input_embeddings())
    return table.weight.detach().float()


def general_encoders() -> list[GeneralEncoder]:
    """The task-free encoders at hand: those shipped, a checkout's, and those below ``$MATTERHORN_MODELS``."""
    return [read_general(path.parent) for place in folders() for path in sorted(place.glob(f"*/{ENCODER_FILE}"))]


def read_general(folder: Path) -> GeneralEncoder:
    """The encoder in a folder.

    Raises:
        InputError: there is none, it was altered, or it is of another format.
    """
    path, manifest = folder / ENCODER_FILE, manifest_of(folder, KIND)
    manifest.read(folder, ENCODER_FILE)
    plain = read_mapping(path)
    try:
        found = plain.pop("format")
        words = {int(row): values for row, values in plain["words"].items()}
        encoder = GeneralEncoder(folder.name, plain["options"], plain["sizes"], words, folder, manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"no task-free encoder ({error})", file=path, cure="give another folder") from error
    if found != FORMAT:
        raise InputError(f"format {found}", file=path, field="format", cure="update matterhorn-snn")
    return encoder


@torch.no_grad()
def take_general(student: QuantizedForSequenceClassification, encoder: GeneralEncoder) -> None:
    """Put the blocks of a task-free encoder in the place of a student's; head and embeddings stay.

    Args:
        student: what ``quantize(teacher, **encoder.options)`` gives; ready to run afterwards.

    Raises:
        InputError: the file is altered, or the student has other sizes or options.
    """
    arrays = encoder.arrays()
    for name, value in {**encoder.sizes, **encoder.options}.items():
        if getattr(student.config, name) != value:
            problem = f"the student has {getattr(student.config, name)!r}, the encoder {value!r}"
            raise InputError(problem, file=encoder.folder, field=name, cure="quantize with the encoder's options")
    student.set_dead_zone(student.config.dead_zone)
    for number, block in enumerate(student.layers()):
        start = f"{number}."
        own = {
            key.removeprefix(start): torch.from_numpy(np.array(v)) for key, v in arrays.items() if key.startswith(start)
        }
        fill(block, own)
        for name in STATIC:
            block.connection(name).weight.copy_(_latent(own[f"{name}.latent"], own[f"{name}.alpha"]))


def fill(block: Block, own: Mapping[str, Tensor]) -> None:
    """Put all arrays of an encoder's block in the place of a student's but its weights."""
    for name in STATIC:
        block.connection(name).bias.copy_(own[f"{name}.bias"])
    for kind in POPULATIONS:
        population = block.population(kind.name)
        population.scale.copy_(own[f"{kind.name}.scale"])
        population.silent.copy_(own[f"{kind.name}.silent"])
        population.silent_value.copy_(own[f"{kind.name}.silent_value_eighths"])
        if population.gain is not None:
            population.gain.copy_(own[f"{kind.name}.gain"])
    block.keys.scale.copy_(own["keys.scale"])
    block.values.scale.copy_(own["values.scale"])
    for name in ("attention_norm", "feed_forward_norm"):
        norm = block.get_submodule(name)
        norm.load_state_dict({part: own[f"{name}.{part}"] for part in ("weight", "bias")})


def _latent(code: Tensor, alpha: Tensor) -> Tensor:
    """Latent weights ``[out, in]`` whose signs and scales, taken around the mean of a row, are those of the encoder."""
    sizes, positive = torch.exp2((code & 127).float() / 8), code >= 128
    above, below = (sizes * side / (sizes * side).sum(1, keepdim=True) for side in (positive, ~positive))
    return (above - below) * alpha[:, None] * code.shape[1] / 2
