from __future__ import annotations

import json
from pathlib import Path

import pytest

import matterhorn.energy.derive as derive
from matterhorn.energy import load, shipped
from matterhorn.energy.library import with_value
from matterhorn.errors import InputError
from matterhorn.units import engineering, si_factor

from .synthetic import near

GOOD = "inherits: rram-22nm\nnoc:\n  hop:\n    energy: {value: 2, unit: pJ, source: my measurement}\n"


def test_all_shipped_chips_are_valid_and_every_number_has_a_source():
    assert {"nus-22nm", "rram-22nm", "loihi", "horowitz-45nm"} <= set(shipped())
    for name in shipped():
        chip = load(name)
        assert all(len(quantity.source) >= 3 for _, quantity in chip.quantities())
        assert set(chip.non_commercial) <= {key for key, _ in chip.quantities()}
        assert bool(chip.non_commercial) == ("neurosim" in name)


def test_a_chip_inherits_from_a_file_in_another_folder(tmp_path):
    """Given from its own folder, wherever it is read from."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "base.yaml").write_text(GOOD)
    (tmp_path / "lab" / "part.yaml").write_text("inherits: ../base.yaml\n")
    (tmp_path / "whole.yaml").write_text("inherits: lab/part.yaml\n")
    for name in ("lab/part.yaml", "whole.yaml"):
        assert load(str(tmp_path / name)).noc.hop.energy.si == near(2e-12)
    (tmp_path / "lab" / "part.yaml").write_text("inherits: ../nowhere.yaml\n")
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such"):
        load(str(tmp_path / "whole.yaml"))


def test_inheritance_and_override(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    chip = load(str(tmp_path / "mine.yaml"))
    assert chip.name == "mine"
    assert chip.noc.hop.energy.si == near(2e-12)
    assert chip.logic == load("rram-22nm").logic
    assert load("nus-22nm", ["noc.hop.energy=1 pJ"]).noc.hop.energy.si == near(1e-12)
    assert load("nus-22nm", ["noc.route=counted"]).noc.route == "counted"
    assert with_value(chip, "noc.hop.energy", 5e-12).noc.hop.energy.si == near(5e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("pJ", "V"), r"noc\.hop\.energy.*unit 'V'"),
        (GOOD.replace("value: 2", "value: -2"), r"noc\.hop\.energy.*-2 pJ is outside the allowed range 0 … "),
        (GOOD.replace(", source: my measurement", ""), r"noc\.hop\.energy\.source.*every number needs"),
        (GOOD.replace("energy:", "enrgy:"), r"noc\.hop\.enrgy: unknown key"),
        (GOOD.replace("pJ", "pX"), r"unknown unit 'pX'"),
        ("inherits: rram-22nm\ncore:\n  area: {value: 2000, unit: mm2, source: mine}\n",
         r"core\.area: 2000 mm2 is larger than the chip, allowed range 0 … 858 mm2"),
        ("inherits: rram-22nm\nmsu:\n  rows: {value: 0, unit: '1', source: mine}\n", r"msu\.rows.*allowed range 1 …"),
        ("inherits: rram-22nm\nmsu:\n  supply: {value: 0.1, unit: V, source: mine}\n",
         r"msu\.supply: 0.1 V is below msu\.voltage"),
        ("inherits: rram-22nm\nmsu:\n  capacitor: {value: 7, unit: pF, source: mine}\n",
         r"msu\.area: 0.23322 mm2 is less than its capacitors take, 1.79 mm2"),
        (GOOD.replace("source", "low: 3, source"), r"noc\.hop\.energy: its low, 3, is above its value, 2"),
        (GOOD.replace("source", "high: 1, source"), r"noc\.hop\.energy: its high, 1, is below its value, 2"),
        (GOOD.replace("source", "low: -1, source"), r"noc\.hop\.energy: -1 pJ is outside the allowed range 0 … "),
        (GOOD.replace("value: 2", "value: true"), r"noc\.hop\.energy\.value: true is not a number"),
        (GOOD.replace("source", "high: true, source"), r"noc\.hop\.energy\.high.*: true is not a number"),
        ("inherits: nowhere\n", "no chip 'nowhere'"),
        ("inherits: mine.yaml\n", "inherits itself"),
        ("- 1\n", "not a mapping"),
        ("a: [\n", "not YAML"),
    ],
)  # fmt: skip
def test_bad_files_name_the_file_the_key_and_the_range(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        load(str(path))
    assert "mine.yaml" in str(caught.value) or "nowhere" in text


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("msu.g_on=0.1 uS", r"msu\.g_off: 0\.1 µS is not below msu\.g_on, 0\.1 uS"),
        ("msu.voltage=0 V", r"msu\.voltage: 0 V is outside the allowed range 0\.001 … 10 V"),
        ("msu.swing=0 V", r"msu\.swing: 0 V is outside the allowed range 0\.001 … 10 V"),
        ("msu.swing=0.9 V", r"msu\.swing: 0\.9 V is above msu\.supply, 0\.8 V"),
        ("kv.size=0 bit", r"kv\.size: 0 bit is outside the allowed range 1 … "),
        ("core.rows=64.5", r"core\.rows: 64\.5 is no whole number"),
        ("core.rows=0", r"core\.rows: 0 is outside the allowed range 1 … 1e\+06;"),
    ],
)
def test_units_that_hold_no_charge_are_refused(override, says):
    """Each would end in a division by zero, or in a bill of a circuit that cannot be."""
    with pytest.raises(InputError, match=says):
        load("rram-22nm", [override])


@pytest.mark.parametrize("override", ["noc.hop=1 pJ", "nothing", "noc.nothing=1 pJ", "noc.hop.energy=much",
                                      "noc.hop.energy=1 V", "noc.hop.energy=-1 pJ", "noc.route=scenic"])  # fmt: skip
def test_bad_overrides(override):
    with pytest.raises(InputError, match=r"^--set"):
        load("rram-22nm", [override])


def test_a_file_at_fault_is_named_beside_an_override(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("value: 2", "value: -2"))
    with pytest.raises(InputError, match=r"mine\.yaml: noc\.hop\.energy: -2 pJ"):
        load(str(path), ["noc.route=counted"])
    assert load(str(path), ["noc.hop.energy=2 pJ"]).noc.hop.energy.value == 2


def test_rram_values_are_those_that_were_derived():
    figures = json.loads((Path(derive.__file__).parent / "rram_22nm.json").read_text())["figures"]
    chip = dict(load("rram-22nm").quantities())
    pairs = {
        "core.area": "core_area_m2", "core.leakage": "core_leakage_w", "weights.read": "sram_8kB_read_j_per_bit",
        "state.read": "sram_4kB_read_j_per_bit", "state.write": "sram_4kB_write_j_per_bit",
        "kv.read": "sram_8kB_read_j_per_bit", "kv.write": "sram_8kB_write_j_per_bit",
        "noc.hop.bit": "router_j_per_bit", "noc.dense": "router_j_per_bit", "noc.wire": "wire_j_per_bit_and_m",
        "logic.add": "add_16b_j", "logic.multiply": "multiply_16b_j", "msu.row_driver": "row_driver_j",
        "msu.integrator": "integrator_j", "msu.comparator": "comparator_j",
        "msu.control": "control_j", "msu.area": "msu_area_m2", "msu.leakage": "msu_leakage_w",
        "embedding.read": "lpddr4_read_j_per_bit",
    }  # fmt: skip
    for key, name in pairs.items():
        assert chip[key].si == pytest.approx(figures[name], rel=1e-3, abs=0), key


def test_the_derivation_gives_the_committed_figures():
    reason = "needs the extra chips (Python >= 3.12) and a CACTI binary that starts"
    pytest.importorskip("hwcomponents_cacti", reason=reason)
    from matterhorn.energy.derive import rram_22nm

    committed = json.loads(Path(rram_22nm.__file__).with_suffix(".json").read_text())
    assert rram_22nm.derive()["figures"] == pytest.approx(committed["figures"], rel=1e-6, abs=0)


def test_a_dense_access_of_the_macro_chip_costs_what_the_macro_was_measured_to():
    """21.6 TOPS/W at 8 by 8 bit, two operations a product, a sixteenth for 4 by 1 bit; mean level 7.5."""
    unit = load("reram-macro-22nm").msu
    rows, columns = unit.rows.si, unit.columns.si
    slot = unit.voltage.si * unit.supply.si * (unit.g_on.si + unit.g_off.si) * unit.slot.si
    column = (
        unit.integrator.si + unit.comparator.si + unit.readout.si + unit.capacitor.si * unit.swing.si * unit.supply.si
    )
    access = rows * columns * 7.5 * slot + columns * column + unit.control.si + rows * unit.row_driver.si
    assert access / (rows * columns) == pytest.approx(2 / 21.6e12 / 16, rel=0.01)


def test_units():
    assert si_factor("pJ/bit/mm") == (near(1e-9), "J/bit/m")
    assert si_factor("mm2") == (pytest.approx(1e-6), "m2")
    assert si_factor("µS") == (1e-6, "S")
    assert engineering(3.2e-5) == "32.0 µJ"
    assert engineering(0.0) == "0 J"
    assert (
        engineering(0.9999) == "1.00 J"
        and engineering(-9.996e-10, "s") == "-1.00 ns"
        and engineering(5e-20) == "0.0500 aJ"
    )
