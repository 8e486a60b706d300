"""Everything in the README runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

import matterhorn as mh
from tests.networks import small_bert, small_network
from tests.pages import ROOT, anchors, blocks, shell_lines

README = ROOT / "README.md"
LINES = shell_lines(README)

ELSEWHERE = {"spike", "train", "publish", "bench", "study"}
"""Commands that take minutes or need a finished run. That they exist with these options ``tests/test_docs.py`` checks;
what they do, tests of their own."""

TEXTS = ["a fine film .", "a dull , empty mess .", "a quiet , patient film .", "nothing here is new ."] * 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder that has what the README takes for granted: a BERT, GLUE rows, a run."""
    place = tmp_path_factory.mktemp("reader")
    words = mh.load("sst2").tokenizer
    small_bert(vocabulary=words.get_vocab_size()).save_pretrained(place / "my-bert")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(place / "my-bert")
    rows = place / "glue" / "SST-2" / "dev.tsv"
    rows.parent.mkdir(parents=True)
    lines = [f"{text}\t{label}" for text, label in zip(TEXTS[:6], (1, 0) * 3, strict=True)]
    rows.write_text("\n".join(["sentence\tlabel", *lines, ""]), encoding="utf-8")
    small_network(3).save_pretrained(place / "runs/sst2/phase-1-k3/best")
    return place


@pytest.mark.filterwarnings("default")  # those of torch and transformers are not ours
def test_the_blocks_of_python_run_in_order(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"texts": TEXTS}
    for block in blocks(README, "python"):
        exec(compile("\n" * block.line + block.text, str(README), "exec"), names)
    program = names["program"]
    assert "µJ" in capsys.readouterr().out
    assert program.config.dead_zone == 3 and program.labels and program.tokenizer is not None
    assert mh.load("my-snn").hash == program.hash
    assert mh.load("my-renamed-snn").labels == ("dull", "fine")
    assert (
        names["classify"].model(**{k: names["rows"][0][k] for k in ("input_ids", "attention_mask")}).logits.shape[-1]
        == 2
    )


def test_links_work_away_from_the_repository_and_lead_somewhere():
    """On the package index a relative link leads nowhere; absolute ones into our own places have to be there."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    site, repository = urls["Documentation"], urls["Repository"]
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    targets = re.findall(r"\]\(([^)\s]+)\)", README.read_text(encoding="utf-8"))
    assert all(target.startswith("https://") for target in targets), targets
    for target in targets:
        path, _, anchor = target.partition("#")
        if path.startswith(site):
            page = ROOT / "docs" / (path.removeprefix(site).rstrip("/") or "index")
            assert page.with_suffix(".md").is_file() or page.with_suffix(".ipynb").is_file(), target
            assert not anchor or anchor in anchors(page.with_suffix(".md")), target
        for prefix in (raw, f"{repository}/blob/main/", f"{repository}/tree/main/"):
            assert not path.startswith(prefix) or (ROOT / path.removeprefix(prefix)).exists(), target
    pictures = [ROOT / target.removeprefix(raw) for target in targets if target.startswith(raw)]
    assert len(pictures) == 2 and all(picture.stat().st_size < 150_000 for picture in pictures)


def quick() -> list[list[str]]:
    return [words for words in LINES if words[0] == "matterhorn" and not ELSEWHERE & set(words[1:3])]


def marked(words: list[str]) -> Any:
    """``msu check`` takes twenty seconds; smaller arrays are checked each time (``tests/cli/test_msu.py``)."""
    return pytest.param(words, marks=[pytest.mark.slow] if words[1:3] == ["msu", "check"] else [], id=" ".join(words))


@pytest.mark.parametrize("words", [marked(words) for words in quick()])
def test_commands_run(folder, words):
    if words[1:3] == ["msu", "check"] and shutil.which("ngspice") is None:
        pytest.skip("no ngspice")
    own = {
        "MATTERHORN_GLUE_DIR": str(folder / "glue"),
        "PYTHONPATH": str(ROOT),
        "MATTERHORN_MODELS": str(ROOT / "models"),
    }
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_list_is_run_here_or_elsewhere():
    assert {words[0] for words in LINES} == {"make", "pip", "matterhorn"}
    assert len(quick()) >= 8


def test_make_knows_its_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in LINES:
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words


def test_installs_name_the_package_and_its_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    installs = [words[2] for words in LINES if words[0] == "pip"]
    assert installs[0] == project["name"]
    for text in installs:
        name, _, named = text.rstrip("]").partition("[")
        assert name == project["name"] and set(filter(None, named.split(","))) <= extras


def test_the_first_lines_say_how_to_run_and_test_it():
    first = blocks(README, "sh")[0]
    assert first.line <= 4 and [words[1] for words in LINES[:3]] == ["run", "test", "test-all"]
