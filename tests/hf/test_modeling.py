"""Programs and quantized networks answer as models of Hugging Face do."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    pipeline,
)

from matterhorn.errors import InputError
from matterhorn.hf import ProgramConfig, ProgramForSequenceClassification
from matterhorn.models import MatterhornConfig, QuantizedForSequenceClassification, convert
from matterhorn.program import load
from matterhorn.runtime import Engine

from ..networks import WORDS, small_arrays, small_batch, small_network, small_program, small_tokenizer


@pytest.fixture(scope="module")
def program():
    return convert(small_network(k=2), labels=["down", "up"], task="sst2", tokenizer=small_tokenizer())


@pytest.fixture(scope="module")
def folder(program, tmp_path_factory):
    place = tmp_path_factory.mktemp("hf") / "program"
    program.save(place)
    return place


@pytest.mark.parametrize("load_model", [AutoModelForSequenceClassification, ProgramForSequenceClassification])
def test_a_programs_folder_is_loaded_and_gives_the_engines_logits(folder, program, load_model):
    model = load_model.from_pretrained(folder)
    assert isinstance(model, ProgramForSequenceClassification) and not model.training
    given = model(**small_batch())
    assert given.loss is None and given.logits.dtype == torch.float32
    assert np.array_equal(given.logits.numpy(), Engine(program)(**small_arrays()).logits)
    assert model.config.id2label == {0: "down", 1: "up"} and model.config.label2id == {"down": 0, "up": 1}
    assert model.config.task == "sst2" and model.config.num_labels == 2
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)


def test_backends_are_chosen_by_name_and_give_the_same(program):
    model = ProgramForSequenceClassification.of(program)
    assert model.backend == "events"
    answers = []
    for name in ("events", "exact", "stepped"):
        model.backend = name
        assert model.backend == name
        answers.append(model(**small_batch()).logits)
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    with pytest.raises(InputError, match="no backend 'warp'"):
        model.backend = "warp"
    assert model.backend == "stepped"


def test_labels_give_a_loss(program):
    model, labels = ProgramForSequenceClassification.of(program), torch.tensor([0, 1, 1, 0, 1, 0])
    given = model(**small_batch(), labels=labels)
    assert torch.allclose(given.loss, torch.nn.functional.cross_entropy(given.logits, labels))


@pytest.mark.parametrize("what", ["tokenizer of the program", "tokenizer of one's own"])
def test_a_pipeline_takes_it(folder, tmp_path, program, what):
    if what == "tokenizer of the program":
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
    else:
        (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
        tokenizer = BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    answers = pipeline("text-classification", model=model, tokenizer=tokenizer)(["a b c", "z"])
    own = Engine(program).classify(["a b c", "z"])
    for answer, right in zip(answers, own, strict=True):
        assert answer["label"] == right.label
        assert answer["score"] == pytest.approx(right.probabilities[right.label], abs=1e-6)


def test_what_is_saved_needs_no_other_folder(program, tmp_path):
    ProgramForSequenceClassification.of(program).save_pretrained(tmp_path / "p")
    assert load(tmp_path / "p").hash == program.hash
    assert AutoConfig.from_pretrained(tmp_path / "p").labels == ["down", "up"]


def test_a_shipped_program_is_loaded_by_its_name():
    model = ProgramForSequenceClassification.from_pretrained("sst2")
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_a_hub_name_is_fetched(monkeypatch, folder, program):
    asked = []

    def fetch(name, revision=None):
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    model = ProgramForSequenceClassification.from_pretrained("someone/something", revision="v1")
    assert asked == [("someone/something", "v1")] and model.program.hash == program.hash


def test_what_is_no_program_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="no model 'nothing'"):
        ProgramForSequenceClassification.from_pretrained("nothing")
    small_network().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="run matterhorn convert first"):
        ProgramForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="made by conversion, not from a config"):
        AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))


def test_too_many_tokens_are_refused(program):
    with pytest.raises(InputError, match="65 tokens"):
        ProgramForSequenceClassification.of(program)(torch.ones(1, 65, dtype=torch.int64))


def test_a_config_is_what_the_program_says(program):
    config = ProgramConfig.of(program)
    assert config.network == program.config.plain() and config.pad_token_id == 0
    assert json.loads(config.to_json_string())["labels"] == ["down", "up"]
    with pytest.raises(InputError, match="kv_bits"):
        ProgramConfig(network={"kv_bits": 7})


def test_a_score_has_one_label(tmp_path):
    small_program(labels=1).save(tmp_path / "score")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "score")
    wanted = torch.rand(6)
    given = model(**small_batch(), labels=wanted)
    assert given.logits.shape == (6, 1)
    assert torch.allclose(given.loss, (given.logits[:, 0] - wanted).square().mean())


def test_importing_the_room_is_what_registers(folder, tmp_path):
    """Nothing hooks into imports: before ``import matterhorn.hf`` the Auto classes know none of our models."""
    code = (
        "import sys, transformers, matterhorn.models\n"
        "from transformers.models.auto.configuration_auto import CONFIG_MAPPING\n"
        "print([name in CONFIG_MAPPING for name in ('matterhorn', 'matterhorn-program')])\n"
        "import matterhorn.hf\n"
        "print([name in CONFIG_MAPPING for name in ('matterhorn', 'matterhorn-program')])\n"
        "print([type(finder).__module__ for finder in sys.meta_path if 'matterhorn' in type(finder).__module__])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["[False, False]", "[True, True]", "[]"]


def test_quantized_networks_are_known_too(tmp_path):
    network = small_network(k=1)
    network.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert isinstance(again, QuantizedForSequenceClassification)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), MatterhornConfig)
    assert torch.equal(again.eval()(**small_batch()).logits, network(**small_batch()).logits)
