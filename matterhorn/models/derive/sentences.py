"""Make ``embed-mini`` from ``general-mini``: a program that embeds sentences (:meth:`matterhorn.Engine.embed`).

``python -m matterhorn.models.derive.sentences ENCODER BACKBONE OUTPUT [EMBEDDINGS]`` writes the program of a task-free
encoder to OUTPUT. It computes the last states of all tokens. ENCODER is the folder of the encoder, BACKBONE that of the
model from which it was distilled. EMBEDDINGS is the file of the word embeddings relative to OUTPUT. Models of one
backbone may share it.
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
    """Make the program of an encoder, with embeddings and tokenizer of its backbone. Its classifier is random.

    Raises:
        InputError: the folder has no model, or not the backbone of the encoder.
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
