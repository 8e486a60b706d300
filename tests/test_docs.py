"""The pages of documentation: links lead somewhere, commands exist, examples run, words are those of the glossary."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

from matterhorn.tasks import tasks
from tests.pages import PAGES, ROOT, anchors, blocks, commands, links

CARDS = sorted((ROOT / "models").glob("*/README.md"))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", *CARDS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert place.suffix == ".md" and anchor in anchors(place), target


def test_levels_that_pages_count_are_those_of_the_result_files():
    files = [path for path in (ROOT / "models").glob("*/results.json") if path.parent.name in tasks()]
    checks = [run["verify"] for path in files for run in json.loads(path.read_text(encoding="utf-8"))["spiking"]]
    assert len(checks) == 8 and not any(check["levels_different"] for check in checks)
    total = f"{sum(check['levels_compared'] for check in checks):,} levels"
    for page in (ROOT / "README.md", ROOT / "docs" / "results.md"):
        assert total in page.read_text(encoding="utf-8"), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    for name in set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml))`", without_the_table(page))):
        assert (ROOT / name).exists() or (ROOT / "matterhorn" / name).exists(), name


NAMED = sorted({tuple(words) for page in PAGES for words in commands(page)})


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_commands_exist_with_their_options(words):
    from typer.main import get_command

    from matterhorn.cli.app import app

    command, context, rest = get_command(app), None, [word for word in words if word != "…"]
    while hasattr(command, "commands"):
        context = command.make_context(rest[0], [], parent=context, resilient_parsing=True)
        found = command.get_command(context, rest[0])
        assert found is not None, rest
        command, rest = found, rest[1:]
        if not rest and hasattr(command, "commands"):  # "matterhorn glue": a group by name
            return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert given <= known | {"--help"}


def test_examples_of_the_energy_page_run(capsys):
    for block in blocks(ROOT / "docs" / "energy.md", "python"):
        exec(block.text, {})
    assert "{" in capsys.readouterr().out


def test_examples_of_the_synapse_unit_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rng = np.random.Generator(np.random.PCG64(0))
    names = {
        "rng": rng,
        "weights": rng.integers(0, 2, (8, 20)).astype(np.int8) * 2 - 1,
        "kappa": rng.integers(-8, 8, (3, 20)).astype(np.int8),
        "sample": rng.integers(-8, 8, (30, 20)).astype(np.int8),
    }
    for block in blocks(ROOT / "docs" / "msu.md", "python"):
        exec(block.text, names)
    assert names["potentials"].shape == (3, 8)
    assert names["answers"][0].label in ("negative", "positive")


# Words. What is removed may be named in the table of what was removed, in the changelog, and where old files are read.

GONE = {
    "British spelling": r"\w*(quanti|equali|normali|initiali|optimi|tokeni|factori|seriali|minimi|maximi)"
    r"s(e|ed|er|ers|es|ing|ation)\b",
    "British spelling, too": r"(colour|neighbour|behaviour|favour|licence|\bcentre(d|s)?\b|\bdistils?\b)",
    "κ": r"\bkernel_(sum|top|unit)\b|\bper_kernel\b|\bREAD_UNIT\b|\bread_level\b",
    "settings": r"\b(stored_bits|silent_target|hold_shares|hold_steps|place_steps|event_price|label_weight)\b"
    r"|\b(remember_teacher|mean_of|latent_rate)\b|[\"'`](narrower|start_from|rounds)[\"'`]",
    "names": r"\b(nearness|beside_teacher|bytes_of|ffn_neurons|least_cost|get_engine|weights_of|silence_reads)\b",
    "populations and connections": r"[\"'`](mixed|middle|reads)[\"'`]|block\.\w+\.(mixed|middle|scores)\b|\.reads\b",
    "rooms": r"matterhorn[./](engines|training|zoo|quantity|trace)\b|--engine\b",
}

NO_NAMES = {"said", "told"}
"""What nothing in the package is called: they do not say what it is."""

REFUSED = {"settings", "populations and connections"}
"""What tests may name, to see that it is refused."""

OWN_PLACES = r"(?<![\w.~])/(work|root|home|mnt|opt|Users)/|pythonhosted|pypi\.org"
"""Places of one machine or network."""

EXEMPT = {"mutations.yaml", "upgrade.py", "test_upgrade.py", "test_docs.py"}


def written() -> list[Path]:
    """What people read: pages and code."""
    kinds = {".py", ".md", ".yaml", ".yml", ".js", ".html", ".css", ".toml"}
    rooms = [path for room in ("matterhorn", "tests") for path in sorted((ROOT / room).rglob("*"))]
    tools = [ROOT / "pyproject.toml", *sorted((ROOT / ".github").rglob("*")), *sorted(ROOT.glob(".pre-commit*"))]
    return [path for path in [*PAGES, *rooms, *tools] if path.suffix in kinds and path.name not in EXEMPT]


def without_the_table(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text.partition("## What was removed")[0] if path.name == "architecture.md" else text


@pytest.mark.parametrize("kind", [*GONE])
def test_words_that_are_gone_are_not_used(kind):
    word, found = re.compile(GONE[kind]), []
    for path in written():
        if kind in REFUSED and "tests" in path.relative_to(ROOT).parts:
            continue
        for number, line in enumerate(without_the_table(path).splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}: {match[0]}" for match in word.finditer(line)]
    assert not found, "\n".join(found)


def test_names_say_what_a_thing_is():
    found = []
    for path in sorted((ROOT / "matterhorn").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {getattr(node, field, None) for field in ("id", "arg", "attr", "name")}
            found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in names if name in NO_NAMES]
    assert not found, "\n".join(found)


def test_nothing_speaks_of_one_machine():
    place, found = re.compile(OWN_PLACES), []
    for path in written():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}: {match[0]}" for match in place.finditer(line)]
    assert not found, "\n".join(found)


def test_the_glossary_has_every_population_and_connection():
    from matterhorn.topology import CONNECTIONS, POPULATIONS

    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for part in (*POPULATIONS, *CONNECTIONS):
        assert f"`{part.name}`" in text


def test_rooms_of_the_page_are_those_of_the_contract():
    import tomllib

    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [set(re.findall(r"\w+", line)) for line in contract["contracts"][0]["layers"]]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    text = page.partition("## Rooms")[2].partition("\n## ")[0]
    rows = [set(re.findall(r"`(\w+)`", line.split("|")[1])) for line in text.splitlines() if line.startswith("| `")]
    assert rows == [layer - {"exchange"} for layer in layers]


def test_the_table_of_results_is_the_one_that_the_command_prints():
    from matterhorn.program import find, shipped
    from matterhorn.report import glue_table
    from matterhorn.tasks.results import read_results

    printed = glue_table.markdown(
        read_results([find(name) for name in shipped() if name in {*tasks(), "sst2-quiet", "sst2-lean"}])
    )
    ours, _, rest = printed.partition("Means over")
    means = rest.partition("Published beside")[0]
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in (ours + means).splitlines() if line.startswith("|") and not line.startswith("| wnli")]
    assert [line for line in wanted if line not in page] == []
