"""The list of faults fits today's code, and what was measured of it is of this list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
HERE = REPO / "tests" / "mutations"
FAULTS = yaml.safe_load((HERE / "mutations.yaml").read_text(encoding="utf-8"))["faults"]


@pytest.mark.parametrize("fault", [f for f in FAULTS if "now" in f], ids=lambda f: f["id"])
def test_a_fault_stands_once_in_todays_code(fault):
    text = (REPO / fault["now"]["file"]).read_text(encoding="utf-8")
    assert text.count(fault["now"]["old"]) == 1
    assert fault["now"]["new"] != fault["now"]["old"]


@pytest.mark.parametrize("place", ["start", "now"])
def test_results_are_of_the_faults_in_the_list(place):
    found = json.loads((HERE / f"{place}.json").read_text(encoding="utf-8"))
    assert found["format"] == 1
    missing = {f["id"] for f in FAULTS if place in f} ^ found["faults"].keys()
    assert missing == ({"packed-values-wide-heads"} if place == "start" else set())  # never measured, and gone
    caught = sum(row["caught"] for row in found["faults"].values())
    assert found["totals"]["all"] == {"caught": caught, "of": len(found["faults"])}


def test_who_caught_a_fault_still_stands_there():
    found = json.loads((HERE / "now.json").read_text(encoding="utf-8"))["faults"]
    for file, _, name in (row["by"].partition("::") for row in found.values() if row["by"] not in (None, "crash")):
        assert f"def {name.partition('[')[0]}(" in (REPO / file).read_text(encoding="utf-8"), name


def test_what_stands_nowhere_any_more_says_why():
    assert all(("now" in fault) != ("gone" in fault) for fault in FAULTS)
    assert len({fault["id"] for fault in FAULTS}) == len(FAULTS)
