"""Every supported encoder: without quantizers its teacher, with them exact in all backends; all else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from matterhorn.errors import InputError
from matterhorn.models import convert, quantize, restore, restore_trainable
from matterhorn.models.encoders import ENCODERS
from matterhorn.models.watching import taken_by
from matterhorn.program import load
from matterhorn.runtime import verify

from ..networks import small_teacher
from .teachers import batch_for, without_quantizers

DOCS = Path(__file__).parents[2] / "docs" / "encoders.md"
SMALL = {
    "Bert": {},
    "Roberta": {"type_vocab_size": 1},
    "XLMRoberta": {"type_vocab_size": 1},
    "Camembert": {"type_vocab_size": 1},
    "DistilBert": {},
    "Electra": {"embedding_size": 24},
    "MPNet": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_without_quantizers_it_answers_as_its_teacher(name):
    teacher = small_teacher(name, labels=3, **SMALL[name])
    batch = batch_for(teacher)
    assert without_quantizers(teacher, batch) < 1e-5
    scrambled = quantize(teacher, batches=[batch]).eval()
    assert not torch.allclose(scrambled(**batch).logits, teacher(**taken_by(teacher, batch)).logits, atol=1e-2)


@pytest.mark.parametrize("name", SMALL)
def test_its_program_is_exact_and_survives_saving(name, tmp_path):
    teacher = small_teacher(name, **SMALL[name])
    batch, other = batch_for(teacher), batch_for(teacher, 1)
    network = quantize(teacher, batches=[batch], dead_zone=2).eval()
    convert(network, task="own").save(tmp_path / "program")
    program = load(tmp_path / "program")
    assert program.hash == convert(network).hash
    for against in (network, restore(program)):
        report = verify(program, [{key: values.numpy() for key, values in other.items()}], against=against)
        assert report.identical, report.first_difference
    assert convert(restore_trainable(program)).config == program.config


def test_every_encoder_is_here_and_in_the_documentation():
    assert {f"{name}ForSequenceClassification" for name in SMALL} == set(ENCODERS)
    text = DOCS.read_text(encoding="utf-8")
    for encoder in ENCODERS.values():
        classes = ", ".join(f"`{name}`" for name in encoder.models)
        types = "yes" if "segment" in encoder.tables else "none"
        assert f"| {encoder.about} | {classes} | {encoder.head_activation} | {types} |" in text


REFUSED = {
    "T5": (
        "T5ForSequenceClassification is not supported; give one of: Bert",
        {"d_model": 32, "d_ff": 64, "num_heads": 4},
    ),
    "DebertaV2": ("DebertaV2ForSequenceClassification is not supported; give one of: Bert", {"hidden_size": 32}),
    "Albert": ("AlbertForSequenceClassification is not supported; give one of: Bert", {"hidden_size": 32}),
}
TINY = {"num_hidden_layers": 1, "num_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 200}


@pytest.mark.parametrize("name", REFUSED)
def test_other_encoders_are_refused_in_one_line(name):
    message, sizes = REFUSED[name]
    config = getattr(transformers, f"{name}Config")(**TINY, **sizes)
    with pytest.raises(InputError, match=message) as error:
        quantize(getattr(transformers, f"{name}ForSequenceClassification")(config))
    assert "\n" not in str(error.value)


def test_heads_of_other_kinds_decoders_and_other_positions_are_refused():
    config = small_teacher("Bert").config
    with pytest.raises(
        InputError, match="BertForTokenClassification is not supported; give one of: BertForSequenceClassification"
    ):
        quantize(transformers.BertForTokenClassification(config))
    with pytest.raises(InputError, match="a decoder, with a causal mask"):
        quantize(small_teacher("Roberta", is_decoder=True))
    with pytest.raises(InputError, match="positions of the kind 'relative_key'"):
        quantize(small_teacher("Bert", position_embedding_type="relative_key"))
    with pytest.raises(InputError, match="deadzone: no such option; did you mean dead_zone"):
        quantize(small_teacher("Bert"), deadzone=3)
