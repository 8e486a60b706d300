"""General distillation, and unlabelled texts beside a task's own rows."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from matterhorn.distill.course import check_course
from matterhorn.distill.encoder import write_encoder
from matterhorn.distill.provenance import about_run
from matterhorn.distill.recipe import Distilling, Recipe, load_recipe, shipped_recipes
from matterhorn.distill.run import train
from matterhorn.distill.start import (
    begun_phases,
    find_start,
    finished_phases,
)
from matterhorn.distill.teacher import backbone_tokenizer
from matterhorn.distill.texts import (
    LEFT_OUT,
    distillation_rows,
    evaluation_sentences,
    general_rows,
    join,
    load_texts,
    special_tokens,
    vocabulary,
)
from matterhorn.errors import InputError
from matterhorn.models import QuantizedForSequenceClassification
from matterhorn.models.restore import lift
from matterhorn.tasks.rows import Examples, hold_out, load_examples
from matterhorn.tasks.sources import FOLDER, Source, prepare
from matterhorn.tasks.task import get_task
from matterhorn.tasks.tokens import Tokens

from ..tiny import DENSITIES, GOOD, lay_apart, lay_backbone, lay_out, lay_pairs, recipe

PHASE = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 10}
ROWS = Tokens([[2, 5 + i, 9, 3] for i in range(32)], [[0] * 4] * 32, [0.0] * 32)


def general(folder, **changes) -> Recipe:
    phase = PHASE | {"dead_zone": 2, "logit_weight": 0, "silent_share": 0.8, "densities": DENSITIES}
    plain = {"backbone": str(folder / "backbone"), "texts": ["wnli"], "selection_rows": 40, "max_length": 32}
    return Recipe(**plain | {"phases": [phase]} | changes)


def of_task(folder, **changes) -> Recipe:
    return Recipe(**recipe(folder, **changes))


@pytest.fixture(scope="module")
def laid(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("general")
    lay_backbone(folder / "backbone")
    lay_apart(folder / "glue")
    return folder


def tokenizer_in(folder):
    return backbone_tokenizer(str(folder / "backbone")).backend_tokenizer


def test_an_encoder_is_distilled_and_a_task_starts_from_it(laid):
    train(general(laid), laid / "runs" / "general", laid / "glue")
    state = json.loads((laid / "runs" / "general" / "phase-0-k2" / "last" / "state.json").read_text())
    assert state["done"] and state["history"][-1]["hidden_error"] < 0.98 * state["history"][0]["hidden_error"]
    assert state["history"][-1]["silent"] == pytest.approx(0.8, abs=0.05)
    assert 0 < state["history"][0]["cosine"] < state["history"][-1]["cosine"] <= 1

    short = PHASE | {"epochs": 0.1, "learning_rate": 1e-6, "dead_zone": 2}
    own = of_task(laid, start="minilm/general", texts=["rte"], texts_each=20, phases=[short])
    train(own, laid / "runs" / "task", laid / "glue")
    network, source = (
        QuantizedForSequenceClassification.from_pretrained(laid / "runs" / place / "phase-0-k2" / "best")
        for place in ("task", "general")
    )
    for site, population in network.populations().items():
        assert torch.equal(population.silent, source.populations()[site].silent)
    weights = [one.layers()[0].connection("query").weight for one in (network, lift(source))]
    head = load_file(laid / "runs" / "task" / "teacher" / "best" / "model.safetensors")["classifier.weight"]
    assert torch.allclose(*weights, atol=1e-4)
    assert torch.allclose(network.classifier.weight, head, atol=1e-4)  # of another task: the own teacher's


def test_texts_are_drawn_with_the_seed_and_have_no_labels(laid):
    tokenizer, own = tokenizer_in(laid), general(laid, texts_each=30)
    once, again = (load_texts(own, tokenizer, laid / "glue")[0] for _ in range(2))
    other = load_texts(own.model_copy(update={"seed": 2}), tokenizer, laid / "glue")[0]
    assert len(once) == 30 and once.ids == again.ids != other.ids and "labels" not in once.batch([0, 1])
    both = join([Tokens([[2, 5, 3]], [[0, 0, 0]], [1.0]), once])
    assert len(both) == 31 and both.ids[0] == [2, 5, 3] and "labels" not in both.batch([0, 30])


def test_pairs_are_read_one_by_one_for_a_task_with_single_sentences(laid):
    tokenizer, own = tokenizer_in(laid), general(laid, texts_each=1000)
    end = tokenizer.token_to_id("[SEP]")
    (pairs,), (alone,) = (load_texts(own, tokenizer, laid / "glue", alone=alone) for alone in (False, True))
    assert all(row.count(end) == 2 for row in pairs.ids)
    assert all(row.count(end) == 1 and not any(kinds) for row, kinds in zip(alone.ids, alone.types, strict=True))
    given = load_examples(get_task("wnli"), "train", laid / "glue")
    assert len(alone) == 2 * len(pairs) == 2 * (len(given) - len(given) // 5)
    for task, parts in (("sst2", 1), ("wnli", 2)):  # a run reads them as its task has them
        run = of_task(laid, task=task, texts=["rte"])
        learned = distillation_rows(run, Tokens([], [], []), tokenizer, laid / "glue")
        assert {row.count(end) for row in learned.ids} == {parts}


def test_a_run_learns_on_rows_made_of_its_own(laid):
    own = of_task(laid, rematched=5, edited=7, reworded=6)
    rows = Tokens([[2, 5 + i, 3, 12 + i, 3] for i in range(4)], [[0, 0, 0, 1, 1]] * 4, [1.0] * 4)
    learned = distillation_rows(own, rows, tokenizer_in(laid), laid / "glue")
    assert len(learned) == 4 + 7 + 5 + 6 and "labels" not in learned.batch([0, 4]) and learned.ids[:4] == rows.ids
    assert all(row not in rows.ids for row in learned.ids[11:16])
    excluded_rows = {tuple(row) for row in learned.ids[11:13]}
    left = distillation_rows(own, rows, tokenizer_in(laid), laid / "glue", excluded_rows=excluded_rows)
    assert (
        excluded_rows.isdisjoint(map(tuple, left.ids)) and left.ids[:4] == rows.ids and len(left) >= 4 + 5 + 3 + 6 - 2
    )


def test_sources_are_read_beside_texts_and_crossed(laid, monkeypatch):
    rows = [(f"a fine film {word}", f"{word} and warm") for word in GOOD] + [("a film", "dull")]
    (laid / "text").mkdir(exist_ok=True)
    monkeypatch.setenv(FOLDER, str(laid / "text"))
    (laid / "pairs.tsv").write_text("\n".join("\t".join(row) for row in [("a", "b"), *rows]))
    hashes = {"pairs.tsv": hashlib.sha256((laid / "pairs.tsv").read_bytes()).hexdigest()}
    about = {"about": "ours", "license": "ours", "version": "1", "url": "file:///{file}", "reader": "table"}
    source = Source(**about, columns=["a", "b"], files=hashes)
    prepare("ours", source, laid, laid / "text")
    use = {"name": "ours", "version": "1", "sha256": source.sha256}
    tokenizer, none = tokenizer_in(laid), Tokens([], [], [])
    learned = distillation_rows(of_task(laid, sources=[use | {"crossed": 4}]), none, tokenizer, laid / "glue")
    assert len(rows) < len(learned) <= len(rows) + 4 and all(any(types) for types in learned.types)
    alone = distillation_rows(of_task(laid, task="sst2", sources=[use]), none, tokenizer, laid / "glue")
    assert len(alone) == len({sentence for row in rows for sentence in row})
    read, held = general_rows(general(laid, texts=[], sources=[use | {"rows": 5}]), tokenizer, laid / "glue")
    assert len(read) + len(held) == 5
    assert about_run(of_task(laid, sources=[use]), None, laid / "glue")["sources"].keys() == {"ours"}
    with pytest.raises(ValueError, match="snli: not the version that is known; give version 7b585a3"):
        of_task(laid, sources=[use | {"name": "snli"}])
    prepare("ours", source.model_copy(update={"columns": ["a"]}), laid, laid / "text")
    with pytest.raises(InputError, match=r"sources\.ours: single sentences; leave it out: wnli compares two"):
        distillation_rows(of_task(laid, sources=[use]), none, tokenizer, laid / "glue")


def test_vocabulary_has_words_and_nothing_that_frames_a_row(laid):
    tokenizer, other = tokenizer_in(laid), backbone_tokenizer(str(laid / "backbone"))
    assert special_tokens(tokenizer) == {*other.all_special_ids}
    words = {tokenizer.id_to_token(number) for number in vocabulary(tokenizer)}
    assert words and not {"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"} & words


def test_a_backbone_that_is_nowhere_is_named():
    with pytest.raises(InputError, match=r"nowhere/at-all: cannot be read .*give a folder"):
        backbone_tokenizer("nowhere/at-all")


def test_the_shipped_general_recipe_is_one(tmp_path):
    assert load_recipe("general").task is None
    with pytest.raises(InputError, match="texts, and no rows"):
        load_recipe(lay_out(tmp_path, task=None, texts=["wnli"], reworded=5))


def test_no_sentence_that_a_student_is_judged_by_is_learned_from(laid):
    """Not through the texts of another task either, which has some of the same."""
    tokenizer, own = tokenizer_in(laid), of_task(laid, texts=["rte"])
    task = get_task("wnli")
    _, chosen = hold_out(load_examples(task, "train", laid / "glue"), own.selection_rows, own.seed)
    kept = evaluation_sentences(task, chosen, laid / "glue")
    assert {sentence for row in chosen.texts for sentence in row} < kept  # dev rows are among them
    given = load_examples(get_task("rte"), "train", laid / "glue")
    rows, _ = hold_out(given, LEFT_OUT, own.seed)
    (all_of,) = load_texts(own, tokenizer, laid / "glue")
    (left,) = load_texts(own, tokenizer, laid / "glue", excluded={row[1] for row in rows.texts[:40]})
    assert len(all_of) == len(rows) and len(all_of) - len(left) == 40
    every = {sentence for row in given.texts for sentence in row}
    assert len(distillation_rows(own, Tokens([], [], []), tokenizer, laid / "glue", excluded=every)) == 0


def test_no_run_learns_what_a_later_one_of_another_task_is_judged_by(laid, tmp_path):
    """Its dev rows, and those that its recipe holds out with the same seed: neither as they are, nor a sentence of them
    in another task's rows. SST-2's pieces of sentences go with them.
    """
    tokenizer = tokenizer_in(laid)
    glue = lay_apart(tmp_path)
    rte = get_task("rte")
    _, held = hold_out(load_examples(rte, "train", glue), 30, seed=1)
    judged = evaluation_sentences(rte, held, glue)
    with (glue / "WNLI" / "train.tsv").open("a") as file:
        file.writelines(f"\na film\t{sentence}\t0" for sentence in sorted(judged))
    own = general(laid, texts=["wnli", "rte"], seed=1)
    rows = join(list(general_rows(own, tokenizer, glue)))
    code = {tuple(tokenizer.encode(sentence).ids[1:-1]) for sentence in judged}
    end = tokenizer.token_to_id("[SEP]")
    seams = [ids.index(end) for ids in rows.ids]
    learned = {
        tuple(part) for ids, seam in zip(rows.ids, seams, strict=True) for part in (ids[1:seam], ids[seam + 1 : -1])
    }
    assert len(rows) == 2 * (300 - 60) and code.isdisjoint(learned)
    before = about_run(own, None, glue)
    (glue / "RTE" / "dev.tsv").write_text((glue / "RTE" / "dev.tsv").read_text().replace("a film", "the film"))
    after = about_run(own, None, glue)
    assert before["dev"].keys() == {"wnli", "rte"} and before["dev"] != after["dev"]  # so a run does not go on
    assert before | {"dev": None} == after | {"dev": None}


def test_recipes_hold_out_no_more_than_others_leave_out():
    """Where a recipe starts from others, which may have learned texts of its task."""
    chained = [recipe for recipe in map(load_recipe, shipped_recipes()) if recipe.start is not None]
    assert len(chained) > 20 and max(recipe.selection_rows for recipe in chained) <= LEFT_OUT
    assert {recipe.seed for recipe in map(load_recipe, shipped_recipes())} == {1}


def test_hardware_is_part_of_a_run_by_its_numbers(laid, tmp_path):
    """A chip's file may have changed under its name."""
    shipped = Path(str(resources.files("matterhorn.energy").joinpath("chips", "rram-22nm.yaml")))
    chip, told = tmp_path / "chip.yaml", shipped.read_text(encoding="utf-8")
    chip.write_text(told)
    priced = PHASE | {"dead_zone": 2, "quiet_share": 0.8, "price": str(chip), "device_deviation": 0.1}
    own = of_task(laid, phases=[PHASE, priced])
    before = about_run(own, None, laid / "glue")
    assert before["hardware"].keys() == {str(chip), "ideal"}
    chip.write_text(re.sub(r"value: ([1-9])", r"value: 1\1", told, count=1))
    after = about_run(own, None, laid / "glue")
    assert {name for name in before if before[name] != after[name]} == {"hardware"}
    assert about_run(of_task(laid), None, laid / "glue")["hardware"] == {}


def test_dev_rows_are_part_of_a_run_that_leaves_rows_out_by_them(laid):
    asked = [{}, {"reworded": 5}, {"texts": ["rte"]}]
    found = [about_run(of_task(laid, **changes), None, laid / "glue")["dev"].keys() for changes in asked]
    assert found == [set(), {"wnli"}, {"wnli", "rte"}]


def test_a_row_that_is_there_twice_is_not_learned_and_held_out():
    rows = Examples([(f"row {i % 10}",) for i in range(50)], [0] * 50)
    learn, chosen = hold_out(rows, 3, 1)
    assert len(chosen) == 3 and {*learn.texts}.isdisjoint(chosen.texts) and len(learn) >= 35


def test_a_start_that_was_killed_is_none(laid, tmp_path, monkeypatch):
    """Nor is one of two phases whose first has ended."""
    own, phase = general(laid), PHASE | {"dead_zone": 2, "logit_weight": 0}
    two = own.model_copy(update={"phases": [Distilling(**phase | {"steps": 1}), Distilling(**phase | {"steps": 12})]})
    real, left = torch.optim.AdamW.step, [13]

    def stop(self, *arguments, **options):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", stop)
    with pytest.raises(KeyboardInterrupt):  # behind an evaluation, before the end
        train(two, tmp_path / "general", laid / "glue")
    assert [place.name for place in begun_phases(tmp_path / "general")] == ["phase-0-k2", "phase-1-k2"]
    assert finished_phases(tmp_path / "general") == []
    with pytest.raises(InputError, match="start: no finished run; train general to its end first"):
        find_start(tmp_path / "task", "general", 2)
    with pytest.raises(InputError, match=r"recipes\.task\.start: general is no earlier recipe"):
        check_course({"task": of_task(laid, start="general")}, tmp_path)
    with pytest.raises(InputError, match="not a finished run without a task"):
        write_encoder(tmp_path / "general", tmp_path / "encoder")
    monkeypatch.undo()
    train(two, tmp_path / "general", laid / "glue")
    assert find_start(tmp_path / "task", "general", 2).network == tmp_path / "general" / "phase-1-k2" / "best"


def test_too_few_rows_are_said_before_any_step(laid, tmp_path):
    glue = lay_pairs(tmp_path / "glue", 4)
    with pytest.raises(InputError, match="texts: 4 rows to learn from, 0 to choose by; give more, five rows at least"):
        train(of_task(laid), tmp_path / "task", glue)
    with pytest.raises(InputError, match="0 to choose by"):
        train(general(laid), tmp_path / "general", glue)
    (tmp_path / "glue" / "CoLA").mkdir()
    lines = [f"x\t1\t\t{words}" for words in ["a film and a film", *(f"a {w} film" for w in GOOD)]]
    for split in ("train", "dev"):
        (tmp_path / "glue" / "CoLA" / f"{split}.tsv").write_text(
            "\n".join(lines if split == "train" else ["x\t1\t\tfilm"])
        )
    alone = general(laid, texts=["cola"], teacher=PHASE, phases=[PHASE | {"dead_zone": 1}])
    with pytest.raises(InputError, match="texts: 0 pairs; add pairs: a teacher that compares needs two"):
        train(alone, tmp_path / "alone", tmp_path / "glue")
