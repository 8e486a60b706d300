"""Teachers as people have them: grown tables, half precision, adapters, padding and tokenizers of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from matterhorn.errors import InputError
from matterhorn.models import calibrate, convert, quantize
from matterhorn.runtime import Engine, verify
from matterhorn.tasks import get_task
from matterhorn.tasks.rows import Examples
from matterhorn.tasks.tokens import tokens_for

from ..networks import small_teacher
from .teachers import batch_for, without_quantizers


def test_resized_tables_and_added_tokens():
    teacher = small_teacher("Roberta", type_vocab_size=1)
    teacher.resize_token_embeddings(210)
    batch = batch_for(teacher)
    batch["input_ids"][0, 2] = 209
    assert quantize(teacher).config.vocab_size == 210
    assert without_quantizers(teacher, batch) < 1e-5
    network = quantize(teacher, batches=[batch]).eval()
    arrays = {key: values.numpy() for key, values in batch.items()}
    assert verify(convert(network), [arrays], against=network).identical
    with pytest.raises(InputError, match="input_ids: a number outside a table of 210 rows"):
        Engine(convert(network))([[5, 210]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_teachers_in_half_precision(dtype):
    teacher = small_teacher("MPNet").to(dtype)
    network, whole = quantize(teacher), quantize(teacher.float())
    assert all(torch.equal(value, whole.state_dict()[name]) or "scale" in name
               for name, value in network.state_dict().items())  # fmt: skip
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_a_merged_adapter_is_plain_weights_and_another_is_refused():
    plain, merged = small_teacher("Bert"), small_teacher("Bert")
    draw = torch.Generator().manual_seed(1)
    down, up = (torch.randn(shape, generator=draw) for shape in ((4, 32), (32, 4)))
    name = "bert.encoder.layer.0.attention.self.query"
    merged.load_state_dict(plain.state_dict() | {f"{name}.weight": plain.state_dict()[f"{name}.weight"] + up @ down})
    batch = batch_for(merged)
    assert without_quantizers(merged, batch) < 1e-5
    assert not torch.equal(merged(**batch).logits, plain(**batch).logits)
    plain.get_submodule(name).register_parameter("lora_A", torch.nn.Parameter(down))
    with pytest.raises(InputError, match=r"block\.0\.query: a Linear with weight, bias, lora_A;.*merge_and_unload"):
        quantize(plain)


def test_tokenizers_of_other_encoders_fill_up_with_their_own_padding():
    letters = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *"abcdefgh"])}
    words = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    teacher = small_teacher("MPNet")
    program = convert(quantize(teacher, batches=[batch_for(teacher)]), tokenizer=words)
    texts = [("a b", "c d e"), ("h", "a")]
    encoded = program.encode(texts)
    assert encoded["input_ids"][1].tolist() == [0, 11, 2, 2, 4, 2, 1, 1, 1]
    tokens = tokens_for(program, Examples(texts, []), 32, task=get_task("mrpc"))
    assert np.array_equal(tokens.encoded([0, 1])["input_ids"], encoded["input_ids"])
    logits = Engine(program)(**encoded).logits
    assert np.array_equal(Engine(program)(encoded["input_ids"], encoded["attention_mask"]).logits, logits)
    assert len(Engine(program).classify(texts)) == 2


def test_token_types_are_ignored_where_there_are_none():
    teacher = small_teacher("DistilBert")
    batch = batch_for(teacher)
    network = quantize(teacher, batches=[batch]).eval()
    program = convert(network)
    plain = Engine(program)(batch["input_ids"], batch["attention_mask"]).logits
    typed = Engine(program)(batch["input_ids"], batch["attention_mask"], torch.ones_like(batch["input_ids"])).logits
    assert np.array_equal(plain, typed)
    ones = torch.ones_like(batch["input_ids"])
    assert torch.equal(network(batch["input_ids"], batch["attention_mask"], ones).logits, network(**batch).logits)
    with pytest.raises(InputError, match="token_type_ids: a number outside a table of 1 rows"):
        roberta = small_teacher("Roberta", type_vocab_size=1)
        Engine(convert(quantize(roberta, batches=[batch_for(roberta)])))([[5, 6]], token_type_ids=[[0, 1]])


@pytest.mark.parametrize("name", ["Bert", "MPNet"])
def test_padding_before_a_text_and_texts_that_are_too_long_are_refused(name):
    teacher = small_teacher(name)
    batch = batch_for(teacher)
    network = quantize(teacher, batches=[batch]).eval()
    left = {key: values.flip(1) for key, values in batch.items()}
    for use in (network, Engine(convert(network)), lambda **given: calibrate(network, [given])):
        with pytest.raises(InputError, match="attention_mask: a row begins with padding; pad behind the text"):
            use(**left)
    longest = network.config.max_position_embeddings
    assert longest == (66 if name == "Bert" else 64), "a table of 66 rows, two of them before the first token"
    for use in (network, Engine(convert(network))):
        with pytest.raises(InputError, match=f"{longest + 1} tokens; give at most {longest}"):
            use(torch.full((1, longest + 1), 5))
