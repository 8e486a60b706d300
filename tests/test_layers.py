"""A room imports only from lower ones, and the base install knows no torch: the contracts in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_contracts_hold():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_modules_can_be_read_in_a_sitting():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "matterhorn").rglob("*.py")}
    assert not {str(path): n for path, n in lengths.items() if n > 300}
