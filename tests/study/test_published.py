"""The study in the documentation is of the network that ships, and the page quotes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matterhorn.program import find
from matterhorn.storage import read_manifest

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {
    "deviation": "programming noise",
    "read": "read noise of each cell",
    "drift": "time since programming",
    "stuck": "stuck cells",
    "on_off": "on/off ratio",
    "offset": "comparator offset",
    "jitter": "jitter of pulses",
    "wires": "wires, Ω",
}


def test_the_published_study_is_of_the_shipped_network_and_quoted_as_it_is():
    told = json.loads((DOCS / "study-sst2.json").read_text(encoding="utf-8"))
    manifest = read_manifest(find("sst2"))
    assert manifest is not None and told["program"] == manifest.about["program"]
    page = (DOCS / "msu.md").read_text(encoding="utf-8")
    assert f"accuracy at the values tried ({told['clean']:.4f} without a chip)" in page
    assert told["studies"].keys() == ROWS.keys()
    for name, study in told["studies"].items():
        points = [point for point in study["points"] if point["value"]]
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {ROWS[name]}"))
        assert row.split(" | ")[1] == ", ".join(f"{one['value']:g} {one['mean']:.4f}" for one in points), name
        assert all(len(one["scores"]) == (1 if name == "wires" else told["chips"]) for one in points)
        needed = study["needed"]
        assert (name == "offset") == (needed["how"] == "interpolated") and ("harshest tried" in row) == (
            name != "offset"
        )
    assert f"at most {told['studies']['offset']['needed']['value']:.1f} mV" in page
    wires = {one["value"]: one["mean"] for one in told["studies"]["wires"]["points"]}
    assert wires[5] > told["clean"] - told["allowed_loss"]
    offsets = {one["value"]: one for one in told["studies"]["offset"]["points"]}
    assert offsets[20]["worst"] == pytest.approx(0.644, abs=1e-3) and offsets[10]["yield"] == 0.4
    assert told["clean"] - offsets[20]["mean"] == pytest.approx(0.07, abs=0.005)
