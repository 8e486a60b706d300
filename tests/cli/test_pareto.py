"""``matterhorn pareto``."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from matterhorn.cli.app import app


def test_models_of_one_task():
    done = CliRunner().invoke(app, ["pareto", "--model", "sst2", "--json"])
    told = json.loads(done.stdout)
    assert told["task"] == "sst2" and {point["kind"] for point in told["points"]} == {"spiking", "dense", "rival"}
    assert {point["name"] for point in told["points"] if point["value"] is None} == {
        "sst2, dense W4A4",
        "sst2, dense int8",
    }
    assert [point["trained"] for point in told["points"] if point["kind"] == "rival"].count(True) == 0
