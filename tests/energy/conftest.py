from __future__ import annotations

from typing import Any

import pytest

from matterhorn.energy import SHAPES, energy_answer, lay, load
from matterhorn.energy.billing import make_bill
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


@pytest.fixture(scope="session")
def answered(minilm: Trace) -> tuple[dict[str, Any], int]:
    """What is told of a trace, which takes seconds, and how many bills were made for it."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matterhorn.energy.rivals.make_bill", lambda *given: made.append(given) or make_bill(*given))
        answer = energy_answer(minilm, load("rram-22nm"), model="a", task="b")
    return answer, len(made)
