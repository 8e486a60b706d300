"""Thousands of spoiled inputs: an answer, or one line. The same for a million: ``python -m tests.fuzz --help``."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from .__main__ import bench, campaign, summary
from .subjects import SUBJECTS

INPUTS, SEED, MEMORY = 3000, 1, 2048
"""How many, which (they are drawn from seed and number), and megabytes of a process."""

SEALED = find_spec("matterhorn.storage") is not None
"""Whether a manifest vouches for all that is executed; without it configs and tokenizers are taken on trust."""


@pytest.mark.slow
def test_every_input_gives_an_answer_or_one_line(tmp_path):
    found = list(campaign(bench(tmp_path / "bench"), INPUTS, SEED, processes=min(2, os.cpu_count() or 1)))
    told = summary(found)
    causes = [cause for cause in told["causes"] if SEALED or not cause["cause"].startswith("Accepted altered")]
    assert not causes, "\n".join(f"{one['cause']}: {one.get('command')} {one.get('trace', '')}" for one in causes)
    assert told["inputs"] == INPUTS and set(told["subjects"]) == set(SUBJECTS)
    assert told["parses"] >= INPUTS / 2, "too few inputs come past the parser"
    assert told["kinds"]["accepted"] >= INPUTS / 10
    assert told["peak_mb"] <= MEMORY
