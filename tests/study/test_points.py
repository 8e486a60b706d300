"""The plan of a study: each value varies its property and nothing else; bad plans are refused."""

from __future__ import annotations

import pytest

from matterhorn.errors import InputError
from matterhorn.study import load_plan, set_to

from .fakes import POINTS, plan_in


def test_every_value_of_the_shipped_plan_varies_its_property_and_nothing_else():
    plan = load_plan()
    assert len(plan.studies) == 8
    for name, study in plan.studies.items():
        for value in study.values:
            device, circuit, seconds = set_to(name, value, study, plan)
            cells = ("programming", "read", "drift", "stuck", "nonlinearity")
            parts = ("wires", "saturation", "mismatch", "leak", "comparator", "jitter", "conversion")
            there = [part for part in cells if getattr(device, part)] + [
                part for part in parts if getattr(circuit, part)
            ]
            on = {"deviation": "programming", "on_off": "programming", "offset": "comparator"}.get(name, name)
            assert set(there) <= {on, *study.keep}
            assert (on in there) == (value != 0 or name in ("deviation", "stuck"))
            assert seconds == (value if name == "drift" else 0)
    stuck = set_to("stuck", 2, plan.studies["stuck"], plan)[0].stuck
    assert (stuck.low.si, stuck.high.si) == (pytest.approx(0.01), pytest.approx(0.01))
    device, _, _ = set_to("on_off", 5, plan.studies["on_off"], plan)
    assert device.high / device.low == pytest.approx(5)
    assert set_to("wires", 2, plan.studies["wires"], plan)[1].wires.bit_line.si == 2
    assert set_to("offset", 5, plan.studies["offset"], plan)[1].comparator.offset.si == pytest.approx(5e-3)
    assert set_to("jitter", 50, plan.studies["jitter"], plan)[1].jitter.ramp.si == pytest.approx(50e-12)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("studies: {}", "device"),
        (POINTS.replace("[0, 10, 100]", "[0, 10, 5]"), "one direction"),
        (POINTS.replace("[1, 31536000]", "[0, 31536000]"), "log scale"),
        (POINTS.replace("drift:", "color:"), "color"),
        ("[", "not YAML"),
    ],
)
def test_bad_plans_are_refused(tmp_path, text, problem):
    with pytest.raises(InputError, match=problem):
        plan_in(tmp_path, text)
    with pytest.raises(InputError, match="no such file"):
        load_plan(tmp_path / "none.yaml")
