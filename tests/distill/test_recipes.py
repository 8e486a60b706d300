"""Recipes: the shipped ones lead from a backbone to every model, and what cannot be run is refused with its field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from matterhorn.distill.course import check_course, load_course
from matterhorn.distill.recipe import (
    Frozen,
    Recipe,
    as_yaml,
    full_name,
    load_recipe,
    read_recipe,
    shelf,
    shipped_recipes,
)
from matterhorn.distill.start import pinned_file
from matterhorn.errors import InputError
from matterhorn.models import MatterhornConfig
from matterhorn.program import find
from matterhorn.storage import sha256
from matterhorn.tasks.sources import sources
from matterhorn.tasks.task import tasks

from ..tiny import PHASE, recipe

BIT_EPOCHS = {"cola": 50, "mnli": 6, "mrpc": 20, "sst2": 10, "stsb": 20, "qqp": 6, "qnli": 10, "rte": 20}
"""arXiv 2205.13016."""


def test_recipes_lie_in_families_and_nowhere_deeper():
    families = {"minilm", "bert-base", "base", "mini"}
    assert {path.relative_to(shelf()).parts[0] for path in shelf().rglob("*.yaml")} == families
    assert len(shipped_recipes()) == len(list(shelf().rglob("*"))) - len(families)
    assert {f"minilm/{task}" for task in tasks() if task != "wnli"} | {"minilm/general"} <= {*shipped_recipes()}
    assert {f"bert-base/{task}" for task in tasks()} <= {*shipped_recipes()}


def test_every_recipe_starts_from_a_backbone_or_from_another_and_no_chain_comes_back():
    starts = {name: load_recipe(name).start for name in shipped_recipes()}
    for name in starts:
        seen, place = [name], starts[name]
        while place is not None:
            if isinstance(place, Frozen):
                assert sha256(pinned_file(place)) == place.sha256
                break
            assert place in starts, f"{seen[-1]} starts from {place}, which is not there"
            assert place not in seen, f"a cycle: {[*seen, place]}"
            seen.append(place)
            place = starts[place]


@pytest.mark.parametrize("family", ["base", "mini"])
@pytest.mark.parametrize("task", ["sst2", "cola", "mnli", "qnli", "qqp", "rte", "mrpc", "stsb"])
def test_one_command_leads_from_a_backbone_to_every_task_at_both_shares(family, task, tmp_path):
    course = load_course(f"{family}/{task}")
    check_course(course, tmp_path)  # every start is there, and before it is needed
    *_, last = course.values()
    assert last.task == task and next(iter(course.values())).start is None
    for own in course.values():
        phase = own.phases[-1]
        assert phase.silent_share >= 0.91 and phase.quiet_share >= 0.90 and phase.tokens and phase.minutes is None
        assert own.network["weights"] == last.network["weights"]  # of all that it starts from
        assert not own.rematched or family == "mini"  # MPNet tells sentences apart by no type
        assert all(sources()[use.name].version == use.version for use in own.sources)


def test_densities_follow_from_a_price_wherever_a_dead_zone_is_new():
    """Those of ``minilm`` are by hand: what is shipped was trained with them."""
    for name in shipped_recipes():
        own = load_recipe(name)
        held = [phase for phase in own.phases if phase.can_be_priced]
        if name.split("/")[0] != "minilm":
            assert held and not any(phase.densities for phase in held), name
            assert all(phase.silent_share and phase.quiet_share for phase in held), name
            assert own.start is not None or held[0].price == "rram-22nm", name


def test_widths_are_compared_at_equal_training():
    """All but the weights is the same in docs/widths.yaml."""
    course = load_course(Path(__file__).parents[2] / "docs" / "widths.yaml")
    for task in ("sst2", "stsb"):
        own = [recipe for recipe in course.values() if recipe.task == task]
        assert [recipe.network["weights"] for recipe in own] == ["int1", "ternary", "int2", "int4"]
        alike = [recipe.model_copy(update={"network": recipe.network | {"weights": ""}}) for recipe in own]
        assert all(recipe == alike[0] for recipe in alike)


def test_a_start_is_of_the_same_backbone_and_shape():
    for name in shipped_recipes():
        own = load_recipe(name)
        MatterhornConfig(**own.network)
        if isinstance(own.start, str):
            assert load_recipe(own.start).backbone == own.backbone and own.start.split("/")[0] == name.split("/")[0]


@pytest.mark.parametrize("task", tasks())
def test_bert_base_is_trained_as_bit_was(task):
    own = load_recipe(f"bert-base/{task}")
    assert own.task == task and own.backbone.endswith("bert-base-uncased")
    first, last = own.phases
    assert (first.dead_zone, last.dead_zone) == (0, 3) and first.epochs == BIT_EPOCHS.get(task, 20)
    assert 1e-4 <= first.learning_rate <= 5e-4 and 8 <= first.batch_size <= 32 and first.evaluate_every == 100


def test_a_recipe_is_the_same_from_the_file_it_is_written_to(tmp_path):
    for name in ("minilm/cola", "minilm/general", "bert-base/rte"):
        (tmp_path / "recipe.yaml").write_text(as_yaml(load_recipe(name)))
        assert read_recipe(tmp_path / "recipe.yaml") == load_recipe(name)


def test_a_task_alone_names_the_recipe_of_the_small_family():
    assert load_recipe("sst2") == load_recipe("minilm/sst2") and full_name("sst2") == "minilm/sst2"
    assert full_name("bert-base/sst2") == "bert-base/sst2"
    with pytest.raises(InputError, match=r"no such recipe; give a \.yaml file or one of .*minilm/sst2"):
        load_recipe("bert-base/squad")


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"task": "imdb"}, "task", "unknown task"),
        ({"epochs": 3}, "epochs", "unknown key"),
        ({"teacher": PHASE | {"epochs": -1}}, "teacher.epochs", "greater than 0"),
        ({"teacher": None}, None, "needs a teacher"),
        ({"task": None}, None, "texts, and no rows"),
        ({"phases": []}, "phases", "at least 1"),
        ({"phases": [PHASE | {"densities": {"input": 1.0}, "silent_share": 0.9}]}, "phases.0.densities", "for each of"),
        ({"phases": [PHASE | {"silent_share": 1.5}]}, "phases.0.silent_share", "less than 1"),
        ({"phases": [PHASE | {"hold_steps": True}]}, "phases.0.hold_steps", "unknown key"),
        ({"start": {"file": "sst2/model.safetensors", "sha256": "12"}}, "start.Frozen.sha256", "pattern"),
    ],
)
def test_bad_settings_are_named(tmp_path, change, field, problem):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe(tmp_path, **change)))
    with pytest.raises(InputError, match=problem) as caught:
        load_recipe(path)
    assert caught.value.file == path and caught.value.field == field


LATE = [
    ({"network": {"wieghts": "int1"}}, "network", "did you mean weights"),
    ({"network": {"kv_bits": 99}}, "network", "kv_bits: 99"),
    ({"network": {"activation_bits": 10**12}}, "network", "activation_bits"),
    ({"phases": [PHASE, PHASE | {"dead_zone": 99}]}, "phases.1.dead_zone", "99 is not possible"),
    ({"phases": [PHASE | {"device": "none"}]}, "phases.0.device", "no device"),
    ({"phases": [PHASE | {"learning_rate": float("nan")}]}, None, "out of range"),
    ({"texts": ["nothing"]}, "texts", "unknown task"),
    ({"recombined": 10**15}, "recombined", "less than or equal"),
    ({"seed": -1}, "seed", "greater than or equal"),
    ({"seed": True}, "seed", "valid integer"),
    ({"selection_rows": "60"}, "selection_rows", "valid integer"),
    ({"backbone": ""}, "backbone", "'' is not a name"),
    ({"backbone": "a\x1b[31m"}, "backbone", "is not a name"),
    ({"start": " "}, "start.function-after[_name(), str]", "is not a name"),
    ({"phases": [PHASE] * 101}, "phases", "at most 100"),
    ({"phases": [PHASE | {"dead_zone": 2.0}]}, "phases.0.dead_zone", "valid integer"),
    ({"phases": [PHASE | {"matched": 1}]}, "phases.0.matched", "valid boolean"),
    ({"phases": [PHASE | {"dead_zone": 2}, PHASE | {"dead_zone": 1}]}, "phases.1.dead_zone", "1 after 2"),
    ({"texts": ["sst2", "SST-2"]}, "texts", "sst2 twice"),
    ({"texts": ["wnli"]}, "texts", "wnli's own rows are learned from anyway"),
    ({"phases": [PHASE, PHASE | {"matched": True}]}, "phases.1.matched", "only for a first phase without a start"),
    ({"start": "mnli", "phases": [PHASE | {"matched": True}]}, "phases.0.matched", "only for a first phase without"),
    ({"sources": 2 * [{"name": "mine", "version": "1", "sha256": "0" * 64}]}, "sources", "mine twice"),
]


@pytest.mark.parametrize(("change", "field", "problem"), LATE)
def test_what_would_fail_after_hours_is_refused_before_the_first_second(tmp_path, change, field, problem):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe(tmp_path, **change)))
    with pytest.raises(InputError, match=problem) as caught:
        load_recipe(path)
    assert caught.value.file == path and caught.value.field == field


@pytest.mark.parametrize("setting", ["selection_rows: 1:00", "recombined: 010"])
def test_numbers_are_written_plainly(tmp_path, setting):
    path, name = tmp_path / "r.yaml", setting.split(":")[0]
    plain = {key: value for key, value in recipe(tmp_path).items() if key != name}
    path.write_text(yaml.safe_dump(plain) + setting + "\n")
    with pytest.raises(InputError, match=f"{name}: Input should be a valid integer"):
        load_recipe(path)


@pytest.mark.parametrize("text", ["- a\n", "task: [", "sst2"])
def test_a_file_that_is_no_recipe_is_named(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r\.yaml: not (a mapping|YAML)"):
        load_recipe(path)


def test_every_shipped_model_says_what_it_was_made_by():
    for folder in find("sst2").parent.glob("*/recipe.yaml"):
        plain = yaml.safe_load(folder.read_text())
        assert plain["backbone"] == "minilm-l6" and plain["seed"] == 1 and plain["phases"]
        if not {"tutor", "place_steps", "intermediate_size"} & {*plain, *plain["phases"][0], *plain.get("network", {})}:
            Recipe(**plain)


def test_every_shipped_model_says_once_whether_its_history_can_be_replayed():
    cards = [folder.with_name("README.md") for folder in find("sst2").parent.glob("*/manifest.json")]
    assert {"sst2-base", "general-mini", "pairs-mini", "sst2-quiet", "sst2-lean"} <= {
        card.parent.name for card in cards
    }
    for card in cards:
        assert card.read_text().count("cannot be replayed") == 1, card
