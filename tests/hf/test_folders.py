"""What is saved is all there: loaded in a fresh process, under the names it was given, sent whole to the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from matterhorn.errors import InputError
from matterhorn.hf import ProgramForSequenceClassification
from matterhorn.models import convert
from matterhorn.program import find, load
from matterhorn.program.saving import save
from matterhorn.runtime import Engine

from ..networks import small_batch, small_network, small_program, small_tokenizer

FILES = {
    *("README.md", "config.json", "embeddings.safetensors", "manifest.json", "model.safetensors"),
    *("modeling_matterhorn.py", "tokenizer.json", "tokenizer_config.json"),
}  # fmt: skip


@pytest.fixture(scope="module")
def program():
    return convert(small_network(k=2), labels=["down", "up"], task="sst2", tokenizer=small_tokenizer())


@pytest.fixture
def model(program):
    return ProgramForSequenceClassification.of(program)


def test_a_fresh_process_runs_folders_by_their_own_code(program, tmp_path):
    """Neither is ``matterhorn.hf`` imported there nor are other folders in reach."""
    program.save(tmp_path / "program")
    network = small_network()
    network.save_pretrained(tmp_path / "network")
    code = (
        "import sys, json\n"
        "from transformers import AutoModelForSequenceClassification, pipeline\n"
        "program, network = sys.argv[1:]\n"
        "said = pipeline('text-classification', model=program, trust_remote_code=True)('a b c')\n"
        "other = AutoModelForSequenceClassification.from_pretrained(network, trust_remote_code=True)\n"
        "other.save_pretrained(network + '-again')\n"
        "print(json.dumps([said, type(other).__name__]))\n"
    )
    names = [str(tmp_path / name) for name in ("program", "network")]
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *names], env=environment, capture_output=True, text=True, check=True
    )
    (answer,), kind = json.loads(done.stdout)
    right = Engine(program).classify("a b c")[0]
    assert answer["label"] == right.label
    assert answer["score"] == pytest.approx(right.probabilities[right.label], abs=1e-6)
    assert kind == "QuantizedForSequenceClassification"
    written = [{path.name for path in (tmp_path / name).iterdir()} for name in ("network", "network-again")]
    assert written[0] == written[1] == {"config.json", "manifest.json", "model.safetensors", "modeling_matterhorn.py"}


def test_what_is_saved_needs_no_other_folder(program, model, tmp_path):
    model.save_pretrained(tmp_path / "p")
    assert {path.name for path in (tmp_path / "p").iterdir()} == FILES
    assert load(tmp_path / "p").hash == program.hash
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "p")
    assert (tokenizer.model_max_length, tokenizer.padding_side, tokenizer.pad_token) == (64, "right", "[PAD]")
    assert (tokenizer.cls_token, tokenizer.unk_token) == ("[CLS]", "[UNK]")
    own = program.encode(["abc x", ("a", "b")])
    theirs = tokenizer([["abc x", None], ["a", "b"]][1:], padding=True)
    assert theirs["input_ids"][0] == own["input_ids"][1][own["attention_mask"][1] > 0].tolist()
    assert theirs["token_type_ids"][0] == own["token_type_ids"][1][own["attention_mask"][1] > 0].tolist()
    card = ModelCard.load(tmp_path / "p" / "README.md")
    assert card.data.library_name == "matterhorn-snn" and "down, up" in card.text


def test_a_shipped_folder_works_alone(tmp_path):
    """Its embeddings are another folder's: they are found by name and hash."""
    shutil.copytree(find("sst2"), tmp_path / "alone")
    classify = pipeline("text-classification", model=str(tmp_path / "alone"))
    assert classify("A quiet, patient film.")[0]["label"] == "positive"


def test_edited_names_are_saved(program, model, tmp_path):
    model.config.id2label = {0: "no", 1: "yes"}
    model.save_pretrained(tmp_path / "p")
    assert load(tmp_path / "p").labels == ("no", "yes") and program.labels == ("down", "up")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "p")
    assert again.config.label2id == {"no": 0, "yes": 1}
    again.config.id2label = {0: "never", 1: "ever"}
    again.save_pretrained(tmp_path / "q")
    assert load(tmp_path / "q").labels == ("never", "ever")
    (tmp_path / "p" / "results.json").write_text("{}")
    again.save_pretrained(tmp_path / "other")  # with other names it is another program, whose figures are not known
    assert not (tmp_path / "other" / "results.json").exists()
    again.config.id2label = {0: "no"}
    with pytest.raises(InputError, match="id2label"):
        again.save_pretrained(tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_renamed_program_has_a_card_of_its_own(program, model, tmp_path):
    """Names may have been swapped: neither words nor figures of the card it came with hold."""
    save(program, tmp_path / "old", beside={"README.md": "Labels: down, up.", "results.json": "{}", "recipe.yaml": ""})
    model = ProgramForSequenceClassification.from_pretrained(tmp_path / "old")
    model.save_pretrained(tmp_path / "same")
    assert (tmp_path / "same" / "README.md").read_text() == "Labels: down, up."
    model.config.id2label = {0: "dull", 1: "fine"}
    for name in ("new", "same", "old"):
        model.save_pretrained(tmp_path / name)
        card = (tmp_path / name / "README.md").read_text()
        assert f"# {name}: " in card and "Labels: dull, fine." in card and "down" not in card
        assert not (tmp_path / name / "results.json").exists() and (tmp_path / name / "recipe.yaml").exists()


def test_a_program_does_not_take_over_what_lay_with_another(program, model, tmp_path):
    save(program, tmp_path / "p", beside={"README.md": "card", "results.json": "{}", "recipe.yaml": "theirs"})
    (tmp_path / "p" / "README.md").write_text("edited")
    other = ProgramForSequenceClassification.of(small_program(k=1))
    other.save_pretrained(tmp_path / "p")
    assert {path.name for path in (tmp_path / "p").iterdir()} == FILES
    assert (tmp_path / "p" / "README.md").read_text() == "edited"


def test_the_problem_is_saved(model, tmp_path):
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path / "p")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "p")
    labels = torch.ones(6, 2)
    given = again(**small_batch(), labels=labels)
    assert torch.allclose(given.loss, torch.nn.functional.binary_cross_entropy_with_logits(given.logits, labels))


def test_a_card_and_figures_go_along_and_nothing_of_ones_own_is_lost(model, tmp_path):
    model.save_pretrained(tmp_path / "p")
    (tmp_path / "p" / "README.md").write_text("mine")
    (tmp_path / "p" / "results.json").write_text("{}")
    (tmp_path / "p" / "notes").write_text("mine")
    model.save_pretrained(tmp_path / "p")
    assert (tmp_path / "p" / "README.md").read_text() == (tmp_path / "p" / "notes").read_text() == "mine"
    again = ProgramForSequenceClassification.from_pretrained(tmp_path / "p")
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "vocab.txt").write_text("a tokenizer's")
    again.save_pretrained(tmp_path / "q")
    assert {path.name for path in (tmp_path / "q").iterdir()} == FILES | {"results.json", "vocab.txt"}
    assert (tmp_path / "q" / "README.md").read_text() == "mine"


def test_all_of_it_is_sent_to_the_hub(monkeypatch, program, model, tmp_path):
    sent = {}

    class Hub:
        def __init__(self, token=None):
            assert token == "secret"

        def create_repo(self, repo_id, private, exist_ok):
            assert private and exist_ok
            return SimpleNamespace(repo_id=f"me/{repo_id}")

        def upload_folder(self, *, repo_id, folder_path, revision, **_):
            for path in folder_path.iterdir():
                (tmp_path / path.name).write_bytes(path.read_bytes())
            sent[repo_id] = revision
            return SimpleNamespace(commit_url=f"https://hub/{repo_id}")

    monkeypatch.setattr("matterhorn.hf.modeling.HfApi", Hub)
    address = model.push_to_hub("mine", private=True, token="secret", revision="v1")
    assert address == "https://hub/me/mine" and sent == {"me/mine": "v1"}
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert load(tmp_path).hash == program.hash
    assert 'model="mine"' in (tmp_path / "README.md").read_text()


def test_a_hub_name_is_fetched(monkeypatch, program, tmp_path):
    asked = []

    def fetch(name, **options):
        asked.append((name, options["revision"], options["token"]))
        assert "*.bin" not in options["allow_patterns"] and "*.safetensors" in options["allow_patterns"]
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    program.save(tmp_path / "inner")
    found = ProgramForSequenceClassification.from_pretrained(
        "someone/something", revision="v1", token="secret", subfolder="inner"
    )
    assert asked == [("someone/something", "v1", "secret")] and found.program.hash == program.hash
    ProgramForSequenceClassification.from_pretrained("someone/something@v2", subfolder="inner")
    assert asked[1:] == [("someone/something", "v2", None)]


@pytest.mark.parametrize("name", ["me/my--model", "me/my-snn@main", "me/none"])
def test_a_name_that_is_not_there_is_one_line(name):
    with pytest.raises(InputError, match=f"no model '{name}': n(either|ot) a folder"):
        ProgramForSequenceClassification.from_pretrained(name)


def test_a_folder_comes_before_a_shipped_name(program, tmp_path, monkeypatch):
    """As everywhere in Hugging Face: config, tokenizer and program are all the folder's."""
    monkeypatch.chdir(tmp_path)
    program.save("sst2")
    assert pipeline("text-classification", model="sst2").model.program.hash == program.hash
    model = ProgramForSequenceClassification.from_pretrained("sst2")
    assert model.program.hash == program.hash and model.config.labels == ["down", "up"]
