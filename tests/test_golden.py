"""What must not change: logits of every shipped model on 64 rows, by every backend, to the bit, and what they cost.

Most of ``golden/logits.json`` was written at commit c0a6838, before programs were frozen arrays. Its traces and joules
are of networks whose last block computes every token, as it did then.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from matterhorn import Engine, Program, bill, load
from matterhorn.msu import ArrayBank
from matterhorn.program import find, shipped
from matterhorn.program.text import Encoded
from matterhorn.storage import read_manifest
from matterhorn.tasks import get_task, load_examples
from matterhorn.tasks.tokens import sorted_batches, tokens_for

GOLDEN = json.loads((Path(__file__).parent / "golden" / "logits.json").read_text())["models"]
QUICK = ("sst2", "stsb-lean")

pytestmark = pytest.mark.glue


def digest(array: np.ndarray, kind: str) -> str:
    return hashlib.sha256(np.ascontiguousarray(array.astype(kind)).tobytes()).hexdigest()


def rows_of(program: Program, name: str, glue_dir: Path) -> Encoded:
    task = get_task(GOLDEN[name]["task"])
    examples = load_examples(task, "dev", glue_dir).subset(list(range(GOLDEN[name]["rows"])))
    return tokens_for(program, examples, 128, task=task).encoded(list(range(len(examples))))


def every_token(program: Program) -> Program:
    config = dataclasses.replace(program.config, first_only=False)
    return Program.from_arrays(config, program.arrays(), labels=program.labels)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in GOLDEN])
def test_logits_events_and_joules_are_those_of_the_start(name, glue_dir):
    golden, program = GOLDEN[name], load(name)
    batch = rows_of(program, name, glue_dir)
    assert digest(batch["input_ids"], "<i8") == golden["tokens"]
    for backend, expected in golden["logits"].items():
        chip = ArrayBank.of("ideal", "ideal-128") if backend == "analog" else None
        logits = Engine(program, backend, threads=1, chip=chip)(**batch).logits
        assert digest(logits, "<f4") == expected, backend
    ran = Engine(every_token(program), "events", threads=1)(**batch, trace=True)
    assert digest(ran.logits, "<f4") == golden["logits"]["events"]
    assert (ran.trace.windows, ran.trace.events) == (golden["windows"], golden["events"])
    assert bill(ran.trace, "horowitz-45nm").total == pytest.approx(golden["joules"], rel=1e-12)


def test_every_shipped_model_is_here_as_it_ships():
    """A model that was replaced wants a new entry, which only the slow tests would miss."""
    told = {name: read_manifest(find(name)).about["program"] for name in shipped()}
    assert {name: entry["program"] for name, entry in GOLDEN.items()} == told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sst2", "stsb", "rte"])
def test_backends_equal_the_quantized_network_on_whole_development_sets(name, glue_dir):
    from matterhorn import verify
    from matterhorn.models.restore import restore

    program = load(name)
    task = get_task(name)
    tokens = tokens_for(program, load_examples(task, "dev", glue_dir), 128, task=task)
    batches = [tokens.encoded(rows) for rows in sorted_batches(tokens, 32)]
    report = verify(program, batches, against=restore(program))
    assert report.identical, report.first_difference
    assert report.n == len(tokens)
