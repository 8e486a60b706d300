"""A bare wheel install: no torch, no transformers, no checkout; the README's main commands run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("install")  # one environment, not one for each worker
ROOT = Path(__file__).parents[1]
ABSENT = ("torch", "transformers", "datasets", "accelerate", "scipy", "sklearn", "matplotlib")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of a fresh environment that has the wheel and what it depends on."""
    place = tmp_path_factory.mktemp("bare")
    wheels = place / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, ROOT], check=True
    )
    subprocess.run([sys.executable, "-m", "venv", place / "env"], check=True)
    found = place / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([found, "-m", "pip", "install", "--quiet", *wheels.glob("*.whl")], check=True)
    return found


def run(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MATTERHORN_MODELS")}
    return subprocess.run([python, *arguments], capture_output=True, text=True, cwd=folder, env=clean, timeout=300)


def answer(python: Path, *arguments: str, folder: Path) -> dict:
    done = run(python, "-m", "matterhorn", *arguments, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told_by(python: Path, lines: list[str], folder: Path) -> list[str]:
    """What each line of Python raises, with its kinds, in one process."""
    code = (
        f"for line in {lines!r}:\n"
        "    try:\n"
        "        print('nothing', exec(line))\n"
        "    except Exception as error:\n"
        "        print([kind.__name__ for kind in type(error).__mro__], error)\n"
    )
    return run(python, "-c", code, folder=folder).stdout.splitlines()


@pytest.fixture
def rows(tmp_path) -> Path:
    """Six sentences in GLUE's layout."""
    place = tmp_path / "glue" / "SST-2"
    place.mkdir(parents=True)
    lines = [f"{text}\t{label}" for text, label in zip(("a fine film", "a dull , empty mess"), (1, 0), strict=True)] * 3
    (place / "dev.tsv").write_text("\n".join(["sentence\tlabel", *lines, ""]), encoding="utf-8")
    return tmp_path / "glue"


def test_nothing_of_the_extras_is_installed(python, tmp_path):
    told = told_by(python, [f"import {package}" for package in ABSENT], tmp_path)
    assert len(told) == len(ABSENT) and all("ModuleNotFoundError" in line for line in told), told


def test_the_base_install_is_small(python):
    place = next((python.parents[1] / "lib").glob("python*/site-packages"), python.parents[1] / "Lib" / "site-packages")
    ours = [path for path in place.rglob("*") if path.is_file() and "pip" not in path.relative_to(place).parts[0]]
    assert sum(path.stat().st_size for path in ours) < 450e6


def test_a_sentence_is_classified(python, tmp_path):
    found = answer(python, "run", "A quiet, patient film.", folder=tmp_path)
    assert found["texts"][0]["label"] == "positive" and 0 < found["quiet_share"] < 1
    done = run(python, "-m", "matterhorn", "run", folder=tmp_path)
    assert done.returncode == 0 and "silent share" in done.stdout


@pytest.mark.slow
def test_programs_are_described_verified_evaluated_and_billed(python, tmp_path, rows):
    assert [model["name"] for model in answer(python, "info", folder=tmp_path)["models"]] == ["sst2"]
    data = ("--task", "sst2", "--glue-dir", str(rows))
    verified = answer(python, "verify", *data, folder=tmp_path)
    assert verified["n"] == 6 and verified["levels_different"] == verified["logits_different"] == 0
    evaluated = answer(python, "evaluate", *data, "--trace", "ran.json.gz", folder=tmp_path)
    assert evaluated["n"] == 6 and evaluated["value"] >= 0.5
    bill = answer(python, "energy", "--trace", "ran.json.gz", folder=tmp_path)
    assert bill["total_j"] > 0
    analog = answer(python, "evaluate", *data, "--backend", "analog", folder=tmp_path)
    assert analog["value"] == evaluated["value"]
    assert answer(python, "msu", "devices", folder=tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [("train", "--recipe", "minilm/sst2"), ("convert", "a", "b"), ("publish", "a", "b")],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_the_extra_says_so_in_one_line(python, tmp_path, arguments):
    done = run(python, "-m", "matterhorn", *arguments, folder=tmp_path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert 'pip install "matterhorn-snn[train]"' in done.stderr


def test_verbs_and_rooms_that_need_the_extra_say_so(python, tmp_path):
    verbs = ("quantize", "calibrate", "convert", "distill")
    rooms = ("nn", "models", "models.config", "hf", "distill", "spiking")
    lines = [
        *(f"import matterhorn; matterhorn.{verb}" for verb in verbs),
        *(f"import matterhorn.{room}" for room in rooms),
    ]
    for line, said in zip(lines, told_by(python, lines, tmp_path), strict=True):
        assert "InputError" in said and 'pip install "matterhorn-snn[train]"' in said, line


def test_ten_lines_of_python(python, tmp_path):
    lines = """
import matterhorn as mh
program = mh.load("sst2")
engine = mh.Engine(program, backend="events", threads=1)
print(engine.classify(["A quiet, patient film."])[0].label)
out = engine(**program.encode(["A fine film.", "A dull one."]), trace=True)
print(out.logits.shape, mh.bill(out.trace, chip="rram-22nm").total > 0)
print(mh.verify(program, ["A fine film."]).identical)
"""
    done = run(python, "-c", lines, folder=tmp_path)
    assert done.stdout.split("\n")[:3] == ["positive", "(2, 2) True", "True"], done.stderr
