"""Task-free encoders: blocks that were distilled on text without labels, to start a student of any task from.

An encoder is two files in a folder. ``encoder.npz`` has, for block ``i``: ``i.<connection>.latent`` ``[out, in]``
(of one bit uint8: sign in bit 7, size, |w| = α · 2^((code − 80)/8), to a quarter of an octave; of more int8: eighths of
a step, w = α · (code + ½)/8; ternary: packed as :mod:`.latent` does, with ``.rows``) with ``i.<connection>.alpha`` (α,
``[out]``) and ``.bias``; of every population ``.scale``,
``.silent``, ``.silent_value_eighths`` and, where it has them, its ``.gain``; scales of stored keys and values; the
norms; and where it learned to compare ``pooler.weight`` and ``.bias``, through which its first token is read.
``encoder.json`` says what it is of: the number formats, and rows of the backbone's word embeddings by which a
teacher is recognized. ``manifest.json`` seals both.
"""

from __future__ import annotations

import json
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

from ..coding import EIGHTHS
from ..errors import InputError
from ..nn import QuantizedLinear
from ..nn.linear import around
from ..program import Config
from ..program.files import folders
from ..reading import parse_npz, read_mapping
from ..storage import Manifest, manifest_of, put_folder
from ..topology import POPULATIONS, STATIC
from .block import Block
from .latent import decode, encode
from .quantized import QuantizedForSequenceClassification

ARRAYS_FILE, ENCODER_FILE = "encoder.npz", "encoder.json"

KIND = "encoder"
"""Kind in manifests."""

FORMAT = 2
"""Version of ``encoder.json``."""

OPTIONS = ("weights", "activation_bits", "kv_bits", "dead_zone", "dead_zones")
USUAL = ("levels_per", "activation", "digital")
"""Formats in which all encoders have the default."""

SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")

POOLER = ("weight", "bias")

WORDS, COLUMNS = 16, 64
"""Number of word embeddings, and of their columns, that identify a backbone."""

ALIKE = 0.9
"""Mean cosine of word embeddings from which a teacher counts as fine-tuned from the same backbone."""


@dataclass(frozen=True)
class GeneralEncoder:
    """A task-free encoder.

    It has a name, ``options`` of :func:`matterhorn.quantize` for a student that takes it over, rows of the backbone's
    word embeddings (number → float ``[width]``), its folder and its manifest.
    """

    name: str
    options: Mapping[str, Any]
    sizes: Mapping[str, int]
    words: Mapping[int, list[float]]
    folder: Path
    manifest: Manifest
    compares: bool = False
    """Whether it was taught to read a pair at once and to rate its similarity, not only to reproduce states."""

    def is_of(self, teacher: PreTrainedModel) -> bool:
        """Whether a teacher was fine-tuned from the encoder's backbone, i.e. has its sizes and similar embeddings."""
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
        return parse_npz(self.manifest.read(self.folder, ARRAYS_FILE), self.folder / ARRAYS_FILE)


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """A model's word embeddings, float32 ``[vocabulary, width]``."""
    table = cast(nn.Embedding, model.get_input_embeddings())
    return table.weight.detach().float()


def general_encoders() -> list[GeneralEncoder]:
    """List the task-free encoders that are available: shipped, in a source checkout, or in ``$MATTERHORN_MODELS``."""
    return [read_general(path.parent) for place in folders() for path in sorted(place.glob(f"*/{ENCODER_FILE}"))]


def locate_general(name: str | Path) -> Path:
    """Return the folder of an encoder, given its name or the folder itself."""
    return next((e.folder for e in general_encoders() if e.name == str(name)), Path(name))


def read_general(folder: Path) -> GeneralEncoder:
    """Read the encoder in a folder.

    Raises:
        InputError: there is none, it was altered, or it is of another format.
    """
    path, manifest = folder / ENCODER_FILE, manifest_of(folder, KIND)
    manifest.read(folder, ENCODER_FILE)
    plain = read_mapping(path)
    try:
        found = plain.pop("format")
        words = {int(row): values for row, values in plain["words"].items()}
        encoder = GeneralEncoder(
            folder.name, plain["options"], plain["sizes"], words, folder, manifest, plain.get("compares", False)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"no task-free encoder ({error})", file=path, cure="give another folder") from error
    if found != FORMAT:
        raise InputError(f"format {found}", file=path, field="format", cure="update matterhorn-snn")
    return encoder


def write_general(
    network: QuantizedForSequenceClassification, backbone: PreTrainedModel, folder: Path, about: Mapping[str, Any]
) -> None:
    """Write the blocks of a network, for students of whatever was fine-tuned from its backbone to start from.

    Args:
        about: what is known of it besides, for ``encoder.json``; with ``compares`` its pooler is kept too.

    Raises:
        InputError: its levels are of a format that an encoder does not hold.
    """
    for name in USUAL:
        if (own := getattr(network.config, name)) != (usual := getattr(Config(), name)):
            problem = f"{own}, where encoders have {usual}"
            raise InputError(problem, field=name, cure=f"train it with {usual}, or start from the run itself")
    pooler = network.pooler.state_dict() if about.get("compares") else {}
    arrays = {f"pooler.{part}": _array(value) for part, value in pooler.items()}
    for number, block in enumerate(network.layers()):
        for name in STATIC:
            connection = block.connection(name)
            own = {"alpha": connection.integers()[1], "bias": connection.bias} | _codes(connection)
            arrays |= {f"{number}.{name}.{part}": _array(value) for part, value in own.items()}
        arrays |= {f"{number}.{key}": _array(value) for key, value in _places(block).items()}
    table = word_embeddings(backbone)
    rows = torch.linspace(0, len(table) - 1, WORDS).long().tolist()
    plain = {
        "format": FORMAT,
        **about,
        "options": {name: getattr(network.config, name) for name in OPTIONS},
        "sizes": {name: getattr(network.config, name) for name in SIZES},
        "words": {row: [round(value, 4) for value in table[row, :COLUMNS].tolist()] for row in rows},
    }

    def write(fresh: Path) -> None:
        with (fresh / ARRAYS_FILE).open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        (fresh / ENCODER_FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")

    put_folder(folder, KIND, write)


@torch.no_grad()
def take_general(student: QuantizedForSequenceClassification, encoder: GeneralEncoder) -> None:
    """Replace a student's blocks, and its pooler if the encoder has one, by those of a task-free encoder.

    Classifier and embeddings stay.

    Args:
        student: the result of ``quantize(teacher, **encoder.options)``. It can be run afterward.

    Raises:
        InputError: the file is altered, or the student has other sizes or options.
    """
    arrays = encoder.arrays()
    for name, value in {**encoder.sizes, **encoder.options}.items():
        if getattr(student.config, name) != value:
            problem = f"the student has {getattr(student.config, name)!r}, the encoder {value!r}"
            raise InputError(problem, file=encoder.folder, field=name, cure="quantize with the encoder's options")
    student.set_dead_zone(student.config.dead_zone)
    if encoder.compares:
        student.pooler.load_state_dict({part: torch.from_numpy(arrays[f"pooler.{part}"]) for part in POOLER})
    for number, block in enumerate(student.layers()):
        start = f"{number}."
        own = {
            key.removeprefix(start): torch.from_numpy(np.array(v)) for key, v in arrays.items() if key.startswith(start)
        }
        fill(block, own)
        for name in STATIC:
            connection, code, alpha = block.connection(name), own[f"{name}.latent"], own[f"{name}.alpha"]
            if connection.kind == "int1":
                connection.weight.copy_(_latent(code, alpha))
            elif connection.kind == "ternary":
                connection.weight.copy_(decode(code.numpy(), own[f"{name}.rows"], connection))
            else:
                connection.fill((code.float() + 0.5) / EIGHTHS, alpha)


def fill(block: Block, own: Mapping[str, Tensor]) -> None:
    """Put all arrays of an encoder's block in the place of a student's but its weights."""
    for name in STATIC:
        block.connection(name).bias.copy_(own[f"{name}.bias"])
    for name, place in _places(block).items():
        place.copy_(own[name])


def _places(block: Block) -> dict[str, Tensor]:
    """Where what an encoder has besides its connections is in a block, by its names."""
    places: dict[str, Tensor] = {"keys.scale": block.keys.scale, "values.scale": block.values.scale}
    for kind in POPULATIONS:
        own = block.population(kind.name)
        parts = {"scale": own.scale, "silent": own.silent, "silent_value_eighths": own.silent_value, "gain": own.gain}
        places |= {f"{kind.name}.{part}": place for part, place in parts.items() if place is not None}
    for name in ("attention_norm", "feed_forward_norm"):
        places |= {f"{name}.{part}": place for part, place in block.get_submodule(name).state_dict().items()}
    return places


def _array(value: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().numpy()
    return array


def _codes(linear: QuantizedLinear) -> dict[str, Tensor]:
    """Latent weights of a connection as they are stored."""
    if linear.kind == "ternary":
        return dict(zip(("latent", "rows"), encode(linear), strict=True))
    weight, alpha = linear.weight, linear.integers()[1]
    if linear.kind != "int1":
        return {"latent": (weight / alpha[:, None] * EIGHTHS).floor().clamp(-128, 127).to(torch.int8)}
    own = weight - weight.mean(1, keepdim=True)
    size = 2 * ((own.abs() / alpha[:, None]).clamp(min=2**-10).log2() * 4 + 40).round().clamp(0, 63)
    return {"latent": size.to(torch.uint8) | torch.where(own >= 0, 128, 0).to(torch.uint8)}


def _latent(code: Tensor, alpha: Tensor) -> Tensor:
    """Latent weights ``[out, in]`` whose signs and scales, taken around the mean of a row, are those of the encoder."""
    return around(torch.exp2((code & 127).float() / 8), code >= 128, alpha)
