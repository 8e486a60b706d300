"""A room imports only from lower ones, and the base install knows no torch: the contracts in pyproject.toml."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PLANTED = {
    "energy.billing": "matterhorn.nn.quantizers",
    "program.text": "matterhorn.nn.quantizers",
    "report.tables": "matterhorn.models.quantize",
    "study.run": "matterhorn.distill.recipe",
    "topology": "torch",
    "program.config": "datasets",
    "reading.documents": "huggingface_hub",
}
"""What must not be imported, by who does."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run([sys.executable, "-c", code, "--no-cache"], capture_output=True, text=True, cwd=folder)


def test_contracts_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


def test_contracts_break(tmp_path):
    only = shutil.ignore_patterns("__pycache__", "shipped")
    shutil.copytree(ROOT / "matterhorn", tmp_path / "matterhorn", ignore=only)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room, other in PLANTED.items():
        with (tmp_path / "matterhorn" / f"{room.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
            file.write(f"\nimport {other}\n")
    (tmp_path / "matterhorn" / "annex.py").write_text("import matterhorn.cli\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1
    for room, other in PLANTED.items():
        assert f"matterhorn.{room} -> {other}" in done.stdout
    assert "annex" in done.stdout  # a room that no contract knows


def test_modules_can_be_read_in_a_sitting():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "matterhorn").rglob("*.py")}
    assert not {str(path): n for path, n in lengths.items() if n > 300}
