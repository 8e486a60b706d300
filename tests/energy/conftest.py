from __future__ import annotations

import pytest

from matterhorn.energy import SHAPES, lay
from matterhorn.program.trace import Trace

from . import synthetic


@pytest.fixture(scope="session")
def small() -> Trace:
    return synthetic.build()


@pytest.fixture(scope="session")
def minilm() -> Trace:
    return synthetic.minilm()


@pytest.fixture(scope="session")
def base(minilm: Trace) -> Trace:
    return lay(minilm, SHAPES["bert-base"], 128)
