from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic

from matterhorn.energy import SHAPES, lay
from matterhorn.trace import Trace


@pytest.fixture(scope="session")
def small() -> Trace:
    return synthetic.build()


@pytest.fixture(scope="session")
def minilm() -> Trace:
    return synthetic.build(synthetic.Sizes(6, 384, 12, 1536), (12, 20), per_neuron=False, dead_zone=3)


@pytest.fixture(scope="session")
def base(minilm: Trace) -> Trace:
    return lay(minilm, SHAPES["bert-base"], 128)
