"""Task-free encoders: blocks that were distilled on text without labels, from which a student of any task can start.

An encoder is a folder of three files:

- ``encoder.json``: the number formats, the sizes, and rows of the backbone's word embeddings, by which a teacher with
  this backbone is recognized.
- ``encoder.npz``: the arrays. Block ``i`` has ``i.<connection>.latent``, ``.alpha`` (scales of rows, ``[out]``) and
  ``.bias``; ``i.<population>.scale``, ``.silent``, ``.silent_value_eighths`` and, if it has gains, ``.gain``;
  ``i.keys.scale`` and ``i.values.scale``; and weights and biases of its norms. An encoder that has learned to compare
  also has ``pooler.weight`` and ``pooler.bias``.
- ``manifest.json``: checksums of both.

Latent weights ``[out, in]`` are stored according to their width:

- one bit: uint8. Bit 7 is the sign, bits 0 … 6 are a code with |w| = α · 2^((code − 80)/8). Only even codes are
  written, so the resolution is a quarter of an octave.
- two and four bits: int8, w = α · (code + ½)/8.
- ternary: packed codes with ``i.<connection>.rows``, see :mod:`.latent`.
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
from ..nn.linear import one_bit_latents
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
"""Number formats that ``encoder.json`` stores."""

DEFAULT_FORMATS = ("levels_per", "activation", "digital")
"""Number formats that are not stored, since they have their default values in all encoders."""

SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")

WORDS, COLUMNS = 16, 64
"""Number of word embeddings, and of their columns, that identify a backbone."""

ALIKE = 0.9
"""Mean cosine of word embeddings from which a teacher counts as fine-tuned from the same backbone."""


@dataclass(frozen=True)
class GeneralEncoder:
    """A task-free encoder.

    Attributes:
        name: name of its folder.
        options: options of :func:`matterhorn.quantize` for a student that takes it over.
        sizes: sizes of its blocks, by the names of :data:`SIZES`.
        words: rows of the backbone's word embeddings by their numbers, the first :data:`COLUMNS` columns of each.
        folder, manifest: where its files are, and their checksums.
        compares: whether it has learned to read both texts of a pair at once and to rate their similarity, and not only
            to reproduce hidden states.
    """

    name: str
    options: Mapping[str, Any]
    sizes: Mapping[str, int]
    words: Mapping[int, list[float]]
    folder: Path
    manifest: Manifest
    compares: bool = False

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
        """Read the arrays and check them.

        Raises:
            InputError: the file is missing or altered.
        """
        return parse_npz(self.manifest.read(self.folder, ARRAYS_FILE), self.folder / ARRAYS_FILE)


def word_embeddings(model: PreTrainedModel) -> Tensor:
    """Return a model's word embeddings, float32 ``[vocabulary, width]``."""
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
    """Write the blocks of a network as a task-free encoder.

    Args:
        backbone: the model that it was distilled from. Students of teachers with this backbone can start from it.
        folder: folder to write to.
        about: additional entries of ``encoder.json``. If ``compares`` is true, the pooler is stored too.

    Raises:
        InputError: its levels have a format that an encoder cannot store.
    """
    for name in DEFAULT_FORMATS:
        if (own := getattr(network.config, name)) != (default := getattr(Config(), name)):
            problem = f"{own}, where encoders have {default}"
            raise InputError(problem, field=name, cure=f"train it with {default}, or start from the run itself")
    pooler = network.pooler.state_dict() if about.get("compares") else {}
    arrays = {f"pooler.{part}": _array(value) for part, value in pooler.items()}
    for number, block in enumerate(network.layers()):
        for name in STATIC:
            connection = block.connection(name)
            own = {"alpha": connection.integers()[1], "bias": connection.bias} | _encoded(connection)
            arrays |= {f"{number}.{name}.{part}": _array(value) for part, value in own.items()}
        arrays |= {f"{number}.{key}": _array(value) for key, value in _other_tensors(block).items()}
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

    Classifier and embeddings are kept.

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
    if encoder.compares:
        student.pooler.load_state_dict(tensors_under("pooler", arrays))
    for number, block in enumerate(student.layers()):
        own = tensors_under(str(number), arrays)
        fill(block, own)
        for name in STATIC:
            connection, code, alpha = block.connection(name), own[f"{name}.latent"], own[f"{name}.alpha"]
            if connection.kind == "int1":
                connection.weight.copy_(_decoded_one_bit(code, alpha))
            elif connection.kind == "ternary":
                connection.weight.copy_(decode(code.numpy(), own[f"{name}.rows"], connection))
            else:
                connection.fill((code.float() + 0.5) / EIGHTHS, alpha)


def tensors_under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return the arrays whose names begin with ``<prefix>.``, as tensors by the rest of their names."""
    start = f"{prefix}."
    own = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
    return {name: torch.from_numpy(np.array(array)) for name, array in own.items()}


def fill(block: Block, own: Mapping[str, Tensor]) -> None:
    """Copy all tensors of an encoder's block except weights into a student's block."""
    for name in STATIC:
        block.connection(name).bias.copy_(own[f"{name}.bias"])
    for name, tensor in _other_tensors(block).items():
        tensor.copy_(own[name])


def _other_tensors(block: Block) -> dict[str, Tensor]:
    """Return the tensors of a block that do not belong to connections, by their names in ``encoder.npz``."""
    found: dict[str, Tensor] = {"keys.scale": block.keys.scale, "values.scale": block.values.scale}
    for kind in POPULATIONS:
        own = block.population(kind.name)
        parts = {"scale": own.scale, "silent": own.silent, "silent_value_eighths": own.silent_value, "gain": own.gain}
        found |= {f"{kind.name}.{part}": tensor for part, tensor in parts.items() if tensor is not None}
    for name in ("attention_norm", "feed_forward_norm"):
        found |= {f"{name}.{part}": tensor for part, tensor in block.get_submodule(name).state_dict().items()}
    return found


def _array(value: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().numpy()
    return array


def _encoded(linear: QuantizedLinear) -> dict[str, Tensor]:
    """Return the latent weights of a connection as ``encoder.npz`` stores them."""
    if linear.kind == "ternary":
        return dict(zip(("latent", "rows"), encode(linear), strict=True))
    weight, alpha = linear.weight, linear.integers()[1]
    if linear.kind != "int1":
        return {"latent": (weight / alpha[:, None] * EIGHTHS).floor().clamp(-128, 127).to(torch.int8)}
    own = weight - weight.mean(1, keepdim=True)
    size = 2 * ((own.abs() / alpha[:, None]).clamp(min=2**-10).log2() * 4 + 40).round().clamp(0, 63)
    return {"latent": size.to(torch.uint8) | torch.where(own >= 0, 128, 0).to(torch.uint8)}


def _decoded_one_bit(code: Tensor, alpha: Tensor) -> Tensor:
    """Return one-bit latent weights ``[out, in]`` that are quantized to the encoder's signs and scales."""
    return one_bit_latents(torch.exp2((code & 127).float() / 8), code >= 128, alpha)
