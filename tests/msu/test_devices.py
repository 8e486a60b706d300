"""Device and circuit files: every number with unit and source, bad ones refused, noise as published."""

import numpy as np
import pytest
import yaml

from matterhorn.errors import InputError
from matterhorn.msu import (
    ArrayBank,
    circuit_names,
    deviating,
    device_names,
    load_circuit,
    load_device,
    only,
    weight_deviation,
)
from matterhorn.msu.files import HERE
from matterhorn.units import Quantity, engineering


def numbers(node, path=""):
    """Every quantity and every polynomial of a data file."""
    if isinstance(node, dict):
        if {"value", "coefficients", "slope"} & node.keys():
            yield path, node
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}")


def test_the_devices_of_the_docs_are_there():
    assert {"ideal", "rram-wan", "rram-milo", "rram-ye-28nm", "pcm"} <= set(device_names())
    assert {"ideal-128", "array-128"} <= set(circuit_names())


@pytest.mark.parametrize("file", sorted(HERE.glob("*s/*.yaml")), ids=lambda path: path.stem)
def test_every_number_has_a_unit_and_a_source(file):
    plain = yaml.safe_load(file.read_text())
    (load_device if file.parent.name == "devices" else load_circuit)(file)
    found = list(numbers(plain))
    assert len(found) >= 2
    assert all(entry["source"] for _, entry in found)
    assert not [key for key, value in plain.items() if isinstance(value, int | float)]


def device_file(tmp_path, **changes):
    plain = yaml.safe_load((HERE / "devices" / "rram-wan.yaml").read_text()) | changes
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def conductance(value, unit="uS"):
    return {"value": value, "unit": unit, "source": "a test"}


def test_a_file_of_ones_own_is_read(tmp_path):
    path = device_file(tmp_path, name="mine", conductance_high=conductance(0.02, "mS"))
    assert load_device(path).high == pytest.approx(20e-6)
    assert load_device(path).high / load_device(path).low == pytest.approx(20)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"conductance_hgih": conductance(3)}, "conductance_hgih"),
        ({"conductance_high": conductance(0.5, "S")}, "conductance_high"),
        ({"conductance_high": conductance(40, "V")}, "conductance_high"),
        ({"conductance_high": conductance(40, "uSiemens")}, "conductance_high"),
        ({"conductance_high": 40}, "conductance_high"),
        ({"conductance_high": {"value": 40, "unit": "uS"}}, "conductance_high.source"),
        ({"conductance_low": conductance(50)}, "conductance_low"),
        ({"levels": {"value": 2.5, "unit": "1", "source": "a test"}}, "levels"),
        ({"levels": {"value": 1, "unit": "1", "source": "a test"}}, "levels"),
        ({"stuck": {"low": conductance(70, "%"), "high": conductance(60, "%")}}, "stuck"),
        ({"programming": {"spread": {"coefficients": [], "argument": "uS", "unit": "uS", "source": "x y"}}}, "spread"),
    ],
)
def test_bad_device_files_are_refused_with_the_field(tmp_path, changes, field):
    path = device_file(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        load_device(path)
    assert "mine.yaml" in str(caught.value)
    assert field in str(caught.value)


def changed(part, name, value):
    """A shipped file with one value, by its path, in place of another."""
    plain = yaml.safe_load((HERE / part / f"{name[0]}.yaml").read_text())
    node = plain
    for key in name[1:-1]:
        node = node[key]
    node[name[-1]] = value
    return plain


SPREAD = ("rram-wan", "programming", "spread", "coefficients")


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (SPREAD, [True, False], "programming.spread.coefficients.0: true is not a number"),
        (SPREAD, ["1.5"], "programming.spread.coefficients.0: the text '1.5' is not a number"),
        (SPREAD, [1e12], "programming.spread.coefficients: its largest value"),
        (SPREAD, [-5.0], "programming.spread.coefficients: its largest value"),
        (("rram-wan", "drift", "exponent", "slope"), True, "drift.exponent.slope: true is not a number"),
        (("rram-wan", "drift", "exponent", "low"), 0.5, "drift.exponent: its low, 0.5, is above its high, 0.03"),
        (("pcm", "read", "flicker", "coefficient"), True, "read.flicker.coefficient: true is not a number"),
        (("pcm", "read", "flicker", "exponent"), "0.65", "read.flicker.exponent: the text '0.65' is not a number"),
        (("rram-wan", "conductance_low", "source"), "   ", "conductance_low.source"),
        ((*SPREAD[:-1], "source"), "   ", "programming.spread.source"),
        (("rram-wan", "conductance_high", "value"), "40", "conductance_high.value: the text '40' is not a number"),
    ],
)
def test_what_is_no_number_or_makes_none_is_refused(tmp_path, place, value, problem):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed("devices", place, value)))
    with pytest.raises(InputError) as caught:
        load_device(path)
    said = str(caught.value)
    assert "mine.yaml" in said and problem in said and "correct the value" in said and "\n" not in said


def test_a_swing_beyond_the_rail_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed("circuits", ("array-128", "swing", "value"), 0.5)))
    with pytest.raises(InputError, match=r"mine\.yaml.*swing: 0\.5 V lies beyond the rail, 0\.4 V"):
        load_circuit(path)


def test_files_that_are_no_device_are_refused(tmp_path):
    with pytest.raises(InputError, match="rram-wan"):
        load_device("rram-wam")
    for text in ("[1, 2]", "{a: [", ""):
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        with pytest.raises(InputError, match=r"broken\.yaml"):
            load_device(path)


def test_odd_columns_are_refused(tmp_path):
    plain = yaml.safe_load((HERE / "circuits" / "array-128.yaml").read_text())
    plain["columns"]["value"] = 127
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(InputError, match="two bit lines"):
        load_circuit(path)


@pytest.mark.parametrize(
    ("name", "published"),
    [  # micro-siemens to micro-siemens: CrossSim's fits of Wan and Milo, aihwkit's of Wan and of phase-change memory
        ("rram-wan", lambda g: 1.536e-4 * g**3 - 1.167e-2 * g**2 + 0.2374 * g + 1.053),
        ("rram-milo", lambda g: -0.009107 * g + 4.782321),
        (
            "rram-wan-low",
            lambda g: sum(c * (g / 40) ** n for n, c in enumerate((0.348, 16.03, -43.853, 45.393, -16.815))),
        ),
        (
            "rram-wan-day",
            lambda g: sum(c * (g / 40) ** n for n, c in enumerate((0.701, 22.086, -50.773, 47.095, -16.458))),
        ),
        ("pcm", lambda g: 0.26348 + 1.965 * (g / 25) - 1.1731 * (g / 25) ** 2),
        ("rram-ye-28nm", lambda g: 0.1 * g),
    ],
)
def test_programming_noise_is_the_published_polynomial(name, published):
    device = load_device(name)
    siemens = np.linspace(device.low, device.high, 50)
    found = device.programming.spread(siemens, device.high)
    assert np.allclose(found * 1e6, published(siemens * 1e6), rtol=1e-9, atol=0)
    assert (found > 0).all()


def test_the_two_fits_of_one_device_are_as_far_apart_as_the_docs_say():
    high, low = load_device("rram-wan"), load_device("rram-wan-low")
    siemens = np.linspace(low.low, low.high, 391)
    ratio = low.programming.spread(siemens, low.high) / high.programming.spread(siemens, high.high)
    assert (high.low, high.high) == (low.low, low.high)
    assert (ratio[0], ratio[-1]) == pytest.approx((1 - 0.44, 1 - 0.35), abs=0.005)
    assert (ratio.min(), ratio.max()) == pytest.approx((1 - 0.44, 1 - 0.06), abs=0.005)
    weights = np.ones((500, 500), np.int8)
    pairs = [
        weight_deviation(weights, only(load_device(name), "programming"), np.random.default_rng(1)).std()
        for name in ("rram-wan-low", "rram-wan", "rram-wan-day")
    ]
    assert pairs[0] / pairs[1] == pytest.approx(1 - 0.36, abs=0.01)
    assert (pairs[0], pairs[2]) == pytest.approx((0.034, 0.073), abs=0.001)


def test_time_does_nothing_to_resistive_memory_but_to_stuck_cells():
    """As the docs say: the digital scale undoes a drift that all cells share."""
    weights = np.random.default_rng(0).choice([-1, 1], (64, 384)).astype(np.int8)
    circuit, left = load_circuit("ideal-128"), []
    for parts in (("drift",), ("drift", "stuck")):
        connection = ArrayBank(only(load_device("rram-wan"), *parts), circuit).program(weights).at(3e7)
        matrix = connection.effective.reshape(-1, 64) / connection.column_gains
        left.append(np.abs(matrix - weights.T).max())
    assert left[0] < 1e-5 and left[1] > 0.5
    assert load_device("rram-wan-day").drift is None


def test_asked_for_deviation_is_relative():
    device = deviating(load_device("rram-wan"), 0.12)
    siemens = np.array([1e-6, 4e-5])
    assert np.allclose(device.programming.spread(siemens, device.high), 0.12 * siemens, rtol=1e-12, atol=0)


def test_units():
    assert Quantity(value=3, unit="ns", source="a test").si == pytest.approx(3e-9)
    assert Quantity(value=5, unit="%", source="a test").si == pytest.approx(0.05)
    assert engineering(39.26e-6, "S") == "39.3 µS"
