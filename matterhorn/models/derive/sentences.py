"""Make ``embed-mini`` of ``general-mini``: a program that embeds sentences (:meth:`matterhorn.Engine.embed`).

``python -m matterhorn.models.derive.sentences ENCODER BACKBONE OUTPUT [EMBEDDINGS]`` writes the program of a task-free
encoder, all tokens' last states computed, to OUTPUT. ENCODER is its folder, BACKBONE that of the model which it was
distilled from, EMBEDDINGS the file of word embeddings relative to OUTPUT, which models of one backbone may share.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from ...errors import InputError
from ...program import Program
from ...program.decision import GENERAL
from ...program.hub import TOKENIZER_FILE
from ...program.saving import save
from ...program.text import read_tokenizer
from ..convert import convert
from ..general import GeneralEncoder, read_general, take_general
from ..loading import whole_model
from ..quantize import quantize


def derive(encoder: GeneralEncoder, backbone: Path) -> Program:
    """The program of an encoder, with the embeddings and the tokenizer of its backbone; its head is drawn.

    Raises:
        InputError: the folder is no backbone, or not the encoder's.
    """
    load = AutoModelForSequenceClassification.from_pretrained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher = whole_model(load, str(backbone), head=False, dtype=torch.float32)
    if not encoder.is_of(teacher):
        raise InputError(
            f"not the backbone of {encoder.name}", file=backbone, cure="give the one it was distilled from"
        )
    student = quantize(teacher, **encoder.options)
    take_general(student, encoder)
    words = read_tokenizer(backbone / TOKENIZER_FILE)
    student.train(False)
    return convert(student, task=GENERAL, tokenizer=words, every_token=True)


def main(encoder: Path, backbone: Path, output: Path, embeddings: str = "embeddings.safetensors") -> None:
    """Write the program of an encoder."""
    save(derive(read_general(encoder), backbone), output, embeddings=embeddings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5])
