"""The result file that ``spike`` leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from matterhorn.report.front import teacher_blocks
from matterhorn.spiking.writing import result_of
from matterhorn.tasks.results import Result, Verification
from matterhorn.tasks.task import get_task

from ..networks import small_program


def result(**changes: Any) -> Result:
    """Of a program that reads SST-2."""
    settings = {"seed": 0, "quiet_share": None, "blocks": None}
    answer = {
        "model": "runs/my-bert", "metrics": {"accuracy": 0.8}, "teacher_metrics": {"accuracy": 0.9}, "low": 0.7,
        "high": 0.9, "n": 20, "silent_share": 0.9, "quiet_share": 0.9, "events_per_token": 100.0, "data": None,
        "settings": settings,
    }  # fmt: skip
    told = Verification(n=8, levels_compared=8, levels_different=0, events_different=0, logits_different=0, backends=[])
    report: Any = SimpleNamespace(**told.model_dump())
    return result_of("own", small_program(), answer | changes, report, get_task("sst2"), "my-bert@0123456789ab", 6)


@pytest.mark.parametrize(("data", "split", "title"), [(None, "dev", "sst2"), ("dev.csv", "eval", "sst2 on dev.csv")])
def test_a_tasks_own_rows_are_its_dev_rows(data, split, title):
    found = result(data=data)
    assert (found.split, found.title, found.teacher_blocks) == (split, title, None)


def test_of_a_network_with_some_blocks_it_is_said_how_many_the_teacher_has():
    """On the BERT-base shape, it is billed in proportion."""
    found = result(settings={"seed": 0, "quiet_share": None, "blocks": [0, 2, 5]})
    assert (found.blocks, teacher_blocks(found)) == ((0, 2, 5), 6)
    with pytest.raises(ValidationError, match="teacher_blocks: 5"):
        Result.model_validate(found.model_dump() | {"teacher_blocks": 5})
