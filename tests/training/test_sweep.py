from __future__ import annotations

import pytest
import torch

from matterhorn.engines import get_engine
from matterhorn.models.convert import convert
from matterhorn.training.data import Tokens
from matterhorn.training.evaluate import evaluate_spiking
from matterhorn.training.sweep import sweep_silence
from matterhorn.training.tasks import get_task

from ..conftest import small_network


@pytest.fixture(scope="module")
def rows() -> Tokens:
    draw = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, 40, (6,), generator=draw).tolist() for _ in range(40)]
    return Tokens(ids, [[0] * 6 for _ in ids], [i % 2 for i in range(40)], 0, is_regression=False)


def swept(rows: Tokens, dead_zones: list[int]) -> list[dict[str, object]]:
    return list(sweep_silence(small_network(k=1).eval(), get_task("sst2"), rows, rows, dead_zones=dead_zones))


def test_a_setting_does_not_depend_on_those_before_it(rows):
    assert swept(rows, [0, 2, 1])[-2:] == swept(rows, [1])


def test_wider_dead_zones_are_more_silent_and_levels_per_neuron_too(rows):
    shares = {(row["dead_zone"], row["silence_per"]): row["silent_share"] for row in swept(rows, [0, 3])}
    assert shares[3, "tensor"] > shares[0, "tensor"] and shares[3, "neuron"] > shares[0, "neuron"]
    assert shares[0, "neuron"] >= shares[0, "tensor"]


def test_a_network_whose_silence_is_read_as_a_mean_can_be_swept_to_narrower_zones(rows):
    model = small_network(k=3, mean=True).eval()
    narrow, *_ = sweep_silence(model, get_task("sst2"), rows, rows, dead_zones=[0])
    assert narrow["dead_zone"] == 0 and narrow["silent_share"] < 0.9


def test_the_setting_of_training_keeps_the_silent_levels_of_training(rows):
    model, task = small_network(k=2).eval(), get_task("sst2")
    population = model.populations()["block.0.input"]
    population.silent.fill_(3)  # not what counting would choose
    population.reads.fill_(24)
    direct = evaluate_spiking(convert(model), rows, task, get_engine("exact")).trace.silent_share
    tensor, neuron = (row["silent_share"] for row in sweep_silence(model, task, rows, rows, dead_zones=[2]))
    assert neuron == direct != tensor
