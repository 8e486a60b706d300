"""Programs and quantized networks answer as models of Hugging Face do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

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
from matterhorn.runtime import Engine

from ..networks import WORDS, small_arrays, small_batch, small_bert, small_network, small_program, small_tokenizer


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


def test_a_shipped_program_is_loaded_by_its_name():
    model = ProgramForSequenceClassification.from_pretrained("sst2")
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_what_is_no_program_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="no model 'nothing'"):
        ProgramForSequenceClassification.from_pretrained("nothing")
    small_network().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="run matterhorn convert first"):
        ProgramForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="made by conversion, not from a config"):
        AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))


def test_a_config_is_what_the_program_says(program):
    config = ProgramConfig.of(program)
    assert config.network == program.config.plain() and config.pad_token_id == 0
    assert json.loads(config.to_json_string())["labels"] == ["down", "up"]
    with pytest.raises(InputError, match="kv_bits"):
        ProgramConfig(network={"kv_bits": 7})


IDLE = {
    "attn_implementation": "eager",
    "device_map": {"": torch.device("cpu")},
    "ignore_mismatched_sizes": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_loading_info": False,
    "return_dict": True,
}


@pytest.mark.parametrize("load_model", [AutoModelForSequenceClassification, ProgramForSequenceClassification])
def test_options_that_ask_for_nothing_are_taken(folder, load_model):
    for name, value in IDLE.items():
        model = load_model.from_pretrained(folder, **{name: value})
        assert model(**small_batch()).logits.shape == (len(small_batch()["input_ids"]), 2), name


@pytest.mark.parametrize("load_model", [AutoModelForSequenceClassification, ProgramForSequenceClassification])
def test_tuples_may_be_what_a_configuration_asks_for(folder, load_model):
    model = load_model.from_pretrained(folder, return_dict=False)
    assert isinstance(model(**small_batch()), tuple)
    assert model(**small_batch(), return_dict=True).logits.shape[1] == 2


def test_the_names_of_hugging_faces_arguments(program, tmp_path):
    ProgramForSequenceClassification.of(program).save_pretrained(save_directory=tmp_path / "own")
    for kind in (AutoModelForSequenceClassification, ProgramForSequenceClassification):
        assert kind.from_pretrained(pretrained_model_name_or_path=tmp_path / "own").program.hash == program.hash


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own modules
def test_a_compiled_model_runs_as_it_is(program):
    model = ProgramForSequenceClassification.of(program)
    assert torch.equal(torch.compile(model)(**small_batch()).logits, model(**small_batch()).logits)


@pytest.mark.parametrize("load_model", [AutoModelForSequenceClassification, QuantizedForSequenceClassification])
@pytest.mark.parametrize("dtype", [torch.bfloat16, "float16"])
def test_a_quantized_network_is_loaded_in_float32_only(tmp_path, load_model, dtype):
    """In another type it would be another network, and cannot be converted."""
    small_network().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"dtype: .*float16: a quantized network is exact in float32"):
        load_model.from_pretrained(tmp_path, dtype=dtype)
    assert load_model.from_pretrained(tmp_path, dtype="auto").dtype == torch.float32


@pytest.mark.parametrize("load_model", [AutoModelForSequenceClassification, ProgramForSequenceClassification])
def test_options_are_honoured_or_refused(folder, load_model):
    harmless = {"dtype": torch.float32, "device_map": "auto", "num_labels": 2, "trust_remote_code": True}
    model = load_model.from_pretrained(folder, id2label={0: "no", 1: "yes"}, **harmless, local_files_only=True)
    assert model.config.id2label == {0: "no", 1: "yes"} and model.config.label2id == {"no": 0, "yes": 1}
    for options, message in [
        ({"num_labels": 5}, "num_labels: 5 labels for a program with 2"),
        ({"id2label": {0: "no"}}, "id2label.*give 2 different names"),
        ({"id2label": {0: "no", 1: "no"}}, "id2label.*give 2 different names"),
        ({"label2id": {"no": 0, "yes": 1}}, "label2id.*give id2label"),
        ({"dtype": torch.float16}, "dtype.*float32"),
        ({"torch_dtype": "bfloat16"}, "dtype.*float32"),
        ({"device_map": "cuda"}, "device_map.*runs on the CPU"),
        ({"deadzone": 3}, "deadzone: no such option"),
        ({"dead_zone": 3}, "dead_zone: fixed by conversion"),
        ({"output_attentions": True}, "output_attentions: no such option"),
        ({"attn_implementation": "sdpa"}, "attn_implementation: no such option"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: no such option"),
    ]:
        with pytest.raises(InputError, match=message) as error:
            load_model.from_pretrained(folder, **options)
        assert "\n" not in str(error.value)


def test_a_general_encoder_is_no_classifier(program):
    with pytest.raises(InputError, match="a general encoder, not a classifier"):
        ProgramForSequenceClassification.of(replace(program, task="general"))


def test_another_programs_config_is_refused(folder, program):
    other = ProgramConfig.of(small_program(k=1))
    with pytest.raises(InputError, match="of another program"):
        ProgramForSequenceClassification.from_pretrained(folder, config=other)


@pytest.mark.parametrize("cast", ["half", "double", "bfloat16"])
def test_a_program_is_not_cast(program, cast):
    model = ProgramForSequenceClassification.of(program)
    with pytest.raises(InputError, match="a program gives float32"):
        getattr(model, cast)()
    assert model.float() is model and model.dtype == torch.float32


class Elsewhere(torch.Tensor):
    """Numbers that say they lie on another device."""

    device = torch.device("meta")


def test_it_stays_on_the_processor_and_says_so_once(program):
    model, batch = ProgramForSequenceClassification.of(program), small_batch()
    with pytest.warns(UserWarning, match="stays on the CPU") as said:
        model.to("meta")
        model.to("meta")
    assert len(said) == 1 and model.device.type == "cpu"
    here = model(**batch).logits
    there = model(**{name: values.as_subclass(Elsewhere) for name, values in batch.items()})
    assert here.device.type == "cpu" and there.logits.device.type == "meta"  # where the question came from


def test_padding_may_stand_before_the_text(program):
    model, batch = ProgramForSequenceClassification.of(program), small_batch()
    left = {name: rows.clone() for name, rows in batch.items()}
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        for rows in left.values():
            rows[row] = rows[row].roll(len(rows[row]) - length)
    assert left["attention_mask"][:, 0].min() == 0
    assert torch.equal(model(**left).logits, model(**batch).logits)
    with pytest.raises(InputError, match="a row begins with padding"):
        small_network()(**left)


def test_a_tokenizer_without_token_types_will_do(folder, program):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_input_names=["input_ids", "attention_mask"])
    assert "token_type_ids" not in tokenizer("a b")
    model = ProgramForSequenceClassification.of(program)
    answer = pipeline("text-classification", model=model, tokenizer=tokenizer)("a b")[0]
    right = Engine(program).classify("a b")[0]
    assert answer["score"] == pytest.approx(right.probabilities[answer["label"]], abs=1e-6)


def test_pipelines_give_all_labels_and_take_pairs(folder, program):
    classify = pipeline("text-classification", model=str(folder))
    assert {answer["label"] for answer in classify("a b c", top_k=None)} == {"down", "up"}
    right = Engine(program).classify([("a b", "c")])[0]
    assert classify({"text": "a b", "text_pair": "c"})["label"] == right.label
    with pytest.raises(InputError, match=r"82 tokens.*at most 64"):
        classify("a " * 80)
    assert classify("a " * 80, truncation=True)


def test_tokens_beyond_the_tables_are_refused(program):
    for model in (ProgramForSequenceClassification.of(program), small_network()):
        with pytest.raises(InputError, match="input_ids: a number outside a table of 200 rows"):
            model(torch.tensor([[2, 200, 3]]))
        with pytest.raises(InputError, match="token_type_ids: a number outside a table of 2 rows"):
            model(torch.tensor([[2, 7, 3]]), token_type_ids=torch.tensor([[0, 2, 0]]))
        with pytest.raises(InputError, match="65 tokens; give at most 64"):
            model(torch.ones(1, 65, dtype=torch.int64))


def test_what_a_program_does_not_have_cannot_be_asked_for(program):
    model = ProgramForSequenceClassification.of(program)
    assert isinstance(model(**small_batch(), return_dict=False, output_attentions=False), tuple)
    with pytest.raises(InputError, match="output_attentions"):
        model(**small_batch(), output_attentions=True)
    with pytest.raises(InputError, match="inputs_embeds: a program has no such input"):
        model(inputs_embeds=torch.zeros(1, 3, 32))
    with pytest.raises(InputError, match="input_ids: missing"):
        model()


def test_weights_of_others_are_refused(program):
    model = ProgramForSequenceClassification.of(program)
    with pytest.raises(InputError, match="state_dict: 41 tensors, a program has none"):
        model.load_state_dict(small_bert().state_dict())
    assert model.load_state_dict(model.state_dict()).missing_keys == []


def test_a_step_of_training_is_refused_in_one_line(program):
    model, labels = ProgramForSequenceClassification.of(program), torch.zeros(6, dtype=torch.int64)
    model.train()
    with pytest.raises(InputError, match="labels: a program cannot be trained; distill the quantized network"):
        model(**small_batch(), labels=labels)
    with torch.no_grad():
        training = model(**small_batch(), labels=labels).loss
    model.eval()
    assert torch.equal(model(**small_batch(), labels=labels).loss, training)


def test_parameters_are_those_of_the_network_it_was_made_of(program):
    model, teacher = ProgramForSequenceClassification.of(program), small_bert()
    assert model.num_parameters() == teacher.num_parameters()
    assert model.num_parameters(exclude_embeddings=True) == teacher.num_parameters(exclude_embeddings=True)
    assert model.num_parameters(only_trainable=True) == 0 < model.get_memory_footprint()


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
