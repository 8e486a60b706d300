"""Killed at any moment and on a full disk: nothing is lost, nothing is half written, and what goes on ends the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ..tiny import environment

COUNT, SEED = 50, 0


@pytest.mark.slow
@pytest.mark.parametrize("command", ["convert", "publish", "export", "training", "study"])
def test_killed_again_and_again(command, tmp_path):
    arguments = [sys.executable, "-m", "tests.kills", command, str(tmp_path), str(COUNT), str(SEED)]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert sum(many for name, many in found.items() if name.startswith("killed")) >= COUNT, found
