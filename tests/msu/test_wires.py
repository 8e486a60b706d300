"""Wires against other solvers: dense nodal analysis written in these tests, and badcrossbar where it is installed."""

import numpy as np
import pytest

from matterhorn.msu import ArrayBank, WireCache, load_circuit, load_device, only, resized
from matterhorn.msu.nodal import Surroundings, column_currents
from matterhorn.msu.wires import effective_conductance

from .drawn import quantity
from .oracle import column_currents as kirchhoff

WIRES = load_circuit("array-128").wires


def drawn_cells(rows, columns, seed=0):
    return 40e-6 * np.random.default_rng(seed).random((rows, columns))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 6), (7, 1), (9, 14), (16, 8)])
@pytest.mark.parametrize(("word", "bit"), [(1.0, 1.0), (3.0, 0.5), (200.0, 700.0)])
def test_effective_conductance_is_kirchhoffs_law(rows, columns, word, bit):
    cells = drawn_cells(rows, columns)
    volts = np.random.default_rng(1).normal(size=rows)
    expected = kirchhoff(cells, volts, word, bit)
    assert np.allclose(volts @ effective_conductance(cells, word, bit), expected, rtol=1e-11, atol=0)


def test_badcrossbar_agrees_at_128_by_128():
    badcrossbar = pytest.importorskip("badcrossbar", reason="pip install badcrossbar (needs Debian's libcairo2-dev)")
    cells = drawn_cells(128, 128)
    volts = np.random.default_rng(2).uniform(-0.3, 0.3, size=(128, 3))
    theirs = badcrossbar.compute(volts, 1 / cells, 1.0, node_voltages=False, all_currents=False).currents.output
    mine = volts.T @ effective_conductance(cells, 1.0, 1.0)
    assert np.abs(mine - theirs).max() / np.abs(theirs).max() < 1e-9


def test_sparse_nodal_analysis_agrees_at_128_by_128():
    cells = drawn_cells(128, 128)
    signs = np.random.default_rng(3).integers(-1, 2, 128)
    expected = column_currents(cells, Surroundings(WIRES, 0.3), signs)
    found = 0.3 * signs @ effective_conductance(cells, 1.0, 1.0)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-9


def test_wires_cost_more_the_further_away():
    effective = effective_conductance(np.full((64, 64), 20e-6), 1.0, 1.0)
    assert effective[-1, 0] == effective.max()
    assert effective[0, -1] == effective.min()
    assert (np.diff(effective, axis=0) > 0).all() and (np.diff(effective, axis=1) < 0).all()


def test_unformed_cells_carry_nothing():
    cells = drawn_cells(6, 8)
    cells[:2], cells[:, -2:] = 0, 0
    effective = effective_conductance(cells, 1.0, 1.0)
    assert not effective[:2].any() and not effective[:, -2:].any()
    assert np.allclose(effective[2:, :-2], effective_conductance(cells[2:, :-2], 1.0, 1.0), rtol=1e-12, atol=0)


def test_floating_rows_are_solved_pattern_by_pattern():
    cells = drawn_cells(8, 6)
    floating = WIRES.model_copy(update={"undriven": "float"})
    signs = np.array([1, 0, -1, 0, 0, 1, 1, 0])
    expected = kirchhoff(cells, 0.3 * signs, 1.0, 1.0, driven=signs != 0)
    assert np.allclose(column_currents(cells, Surroundings(floating, 0.3), signs), expected, rtol=1e-9, atol=0)
    assert not np.allclose(column_currents(cells, Surroundings(WIRES, 0.3), signs), expected, rtol=1e-6, atol=0)


def test_nonlinear_cells_without_wire_loss_change_nothing():
    """Conductance is meant at the read voltage, so only what wires take away is bent."""
    cells = drawn_cells(8, 6)
    thin = WIRES.model_copy(update={"word_line": ohms(1e-3), "bit_line": ohms(1e-3)})
    signs = np.array([1, 0, -1, 0, 0, 1, 1, 0])
    linear = column_currents(cells, Surroundings(thin, 0.3), signs)
    assert np.allclose(column_currents(cells, Surroundings(thin, 0.3, alpha=3.0), signs), linear, rtol=1e-5)


def test_nonlinear_cells_balance_at_every_node():
    """Each cell replaced by the resistor it acts as at its own voltage: the linear network agrees."""
    cells = drawn_cells(5, 4)
    around = Surroundings(WIRES.model_copy(update={"word_line": ohms(800)}), 0.3, alpha=4.0)
    signs = np.array([1, -1, 1, 1, 0])
    secant = cells.copy()
    for _ in range(60):
        across = cell_voltages(secant, 0.3 * signs, 800.0, 1.0)
        safe = np.where(np.abs(across) < 1e-9, 1e-9, across)
        secant = cells * 0.3 * np.sinh(4 * safe) / np.sinh(4 * 0.3) / safe
    expected = kirchhoff(secant, 0.3 * signs, 800.0, 1.0)
    assert np.allclose(column_currents(cells, around, signs), expected, rtol=1e-7)


def cell_voltages(cells, volts, word, bit):
    """From currents at perturbed cells would be cumbersome: solve the nodes with the tests' own matrix."""
    rows, columns = cells.shape
    nodes = rows * columns
    laplacian, right = np.zeros((2 * nodes, 2 * nodes)), np.zeros(2 * nodes)
    edges = [(i * columns + j, nodes + i * columns + j, cells[i, j]) for i in range(rows) for j in range(columns)]
    edges += [(i * columns + j, i * columns + j + 1, 1 / word) for i in range(rows) for j in range(columns - 1)]
    edges += [(nodes + k, nodes + k + columns, 1 / bit) for k in range(nodes - columns)]
    for a, b, g in edges:
        laplacian[[a, b], [a, b]] += g
        laplacian[[a, b], [b, a]] -= g
    for i in range(rows):
        laplacian[i * columns, i * columns] += 1 / word
        right[i * columns] = volts[i] / word
    for j in range(2 * nodes - columns, 2 * nodes):
        laplacian[j, j] += 1 / bit
    solved = np.linalg.solve(laplacian, right)
    return (solved[:nodes] - solved[nodes:]).reshape(rows, columns)


def ohms(value):
    return quantity(value, "ohm")


def connection_with(undriven="ground", alpha=None, **extra):
    wires = WIRES.model_copy(update={"undriven": undriven})
    circuit = resized(only(load_circuit("array-128")), 6, 4).model_copy(update={"wires": wires, **extra})
    device = only(load_device("rram-wan"), "programming")
    if alpha is not None:
        device = device.model_copy(update={"nonlinearity": quantity(alpha, "1/V")})
    weights = np.array([[1, -1, 1, 1, -1, 1, -1, 1], [-1, -1, 1, -1, 1, 1, 1, -1], [1] * 8], np.int8)
    return ArrayBank(device, circuit, 2).program(weights, full_scale=3.0 if "saturation" in extra else None)


KAPPA = np.array([[3, -2, 0, 5, 0, 1, 0, -4], [0, 0, 2, 2, -7, 0, 15, 0]])


@pytest.mark.parametrize("part", ["leak", "saturation", "mismatch", None])
def test_patterns_and_one_matrix_agree_where_both_hold(part, monkeypatch):
    """Linear cells and held rows solved pattern by pattern give what the effective matrix gives."""
    extra = {part: getattr(load_circuit("array-128"), part)} if part else {}
    connection = connection_with(**extra)
    expected = connection.integrate(KAPPA)
    assert (np.abs(expected) > 5.99).any() or part != "saturation"
    monkeypatch.setattr(type(connection), "needs_patterns", True)
    again = connection_with(**extra)
    assert np.allclose(again.integrate(KAPPA), expected, rtol=1e-6, atol=1e-5)
    assert again.integrate(KAPPA).dtype == np.float64 and expected.dtype == np.float32  # another reader


def test_silence_drives_no_pattern():
    assert (connection_with("float").integrate(0 * KAPPA) == 0).all()


def test_floating_rows_and_nonlinear_cells_are_noticed():
    reference = connection_with().integrate(KAPPA)
    assert not np.allclose(connection_with("float").integrate(KAPPA), reference, rtol=1e-6, atol=0)
    assert not np.allclose(connection_with(alpha=5.0).integrate(KAPPA), reference, rtol=1e-6, atol=0)


@pytest.mark.parametrize("how", [{"undriven": "float"}, {"alpha": 2.0}])
def test_gains_of_rows_that_float_are_near_those_of_grounded_ones(how):
    thick = WIRES.model_copy(update={"word_line": ohms(20), "bit_line": ohms(20)})
    weights = np.random.default_rng(0).choice([-1, 1], (8, 32)).astype(np.int8)
    kappa = np.random.default_rng(1).integers(-7, 8, (6, 32))
    exact, gains = kappa @ weights.T.astype(int), []
    for alpha, undriven in ((None, "ground"), (how.get("alpha"), how.get("undriven", "ground"))):
        wires = thick.model_copy(update={"undriven": undriven})
        circuit = resized(only(load_circuit("array-128")), 32, 16).model_copy(update={"wires": wires})
        device = only(load_device("rram-wan"))
        if alpha is not None:
            device = device.model_copy(update={"nonlinearity": quantity(alpha, "1/V")})
        connection = ArrayBank(device, circuit).program(weights)
        gains.append(connection.column_gains)
        left = (connection.integrate(kappa) * exact).sum() / (exact * exact).sum()
        assert left == pytest.approx(connection.column_gains.mean(), abs=0.04) and left < 0.9
    assert np.allclose(*gains)


@pytest.mark.parametrize("how", [{"undriven": "float"}, {"alpha": 5.0}])
def test_patterns_are_integrated_as_each_by_itself(how):
    """One pulse of each length on its own array: the currents of the network times what a leak leaves of the time."""
    connection = connection_with(**how, leak=load_circuit("array-128").leak)
    physics, rate = connection, connection.conditions.leak_rate
    kappa = np.array([[0, 0, 4, 4, 0, -4, 0, 0], [0, 0, 0, 0, -9, 0, 9, 9]])
    found = connection.integrate(kappa)
    around = Surroundings(physics.circuit.wires, 0.5, physics.device.steepness)
    for token, length in zip(range(2), (4, 9), strict=True):
        signs = np.pad(np.sign(kappa[token]), (connection.layout.spare, 0)).reshape(2, 6)
        expected = np.zeros(4)
        for tile, bank in np.ndindex(2, 2):
            currents = column_currents(connection.conductances[0, tile, bank], around, signs[tile])
            expected[2 * bank : 2 * bank + 2] += (currents[0::2] - currents[1::2]) / (0.5 * 39e-6)
        expected *= (1 - np.exp(-rate * length)) / rate
        assert np.allclose(found[token], expected[:3], rtol=1e-6)


def test_solved_arrays_are_kept_on_disk_by_content(tmp_path, monkeypatch):
    cache = WireCache(tmp_path / "cache")
    arrays = drawn_cells(3 * 6, 8).reshape(3, 6, 8)
    first = cache.effective(arrays, WIRES)
    monkeypatch.setattr("matterhorn.msu.wires.effective_conductances", None)
    assert np.array_equal(cache.effective(arrays.copy(), WIRES), first)
    with pytest.raises(TypeError):
        cache.effective(arrays + 1e-12, WIRES)
    with pytest.raises(TypeError):
        cache.effective(arrays, WIRES.model_copy(update={"bit_line": ohms(2)}))


def test_the_cache_stays_within_its_limit(tmp_path):
    WireCache(tmp_path).effective(drawn_cells(6, 8, 0), WIRES)
    (first,) = tmp_path.iterdir()
    cache = WireCache(tmp_path, limit=3 * first.stat().st_size)
    for seed in range(6):
        cache.effective(drawn_cells(6, 8, seed), WIRES)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_cache_is_solved_anew(tmp_path):
    cache, arrays = WireCache(tmp_path), drawn_cells(6, 8, 0)
    solved = cache.effective(arrays, WIRES)
    (kept,) = tmp_path.iterdir()
    sound = kept.read_bytes()
    for place in range(0, len(sound), 7):
        kept.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        assert np.array_equal(cache.effective(arrays, WIRES), solved)
    (tmp_path / "file").write_text("")
    assert np.array_equal(WireCache(tmp_path / "file" / "none").effective(arrays, WIRES), solved)


def test_a_cache_that_may_only_be_read_is_used(tmp_path, monkeypatch):
    cache, arrays = WireCache(tmp_path), drawn_cells(6, 8, 0)
    solved = cache.effective(arrays, WIRES)

    def read_only(*_, **__):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("pathlib.Path.touch", read_only)
    monkeypatch.setattr("matterhorn.msu.wires.effective_conductances", None)
    assert np.array_equal(cache.effective(arrays, WIRES), solved)


def test_connections_use_the_cache(tmp_path):
    bank = ArrayBank(only(load_device("rram-wan"), "programming"), resized(load_circuit("array-128"), 8, 6), 1)
    cached = ArrayBank(bank.device, bank.circuit, bank.seed, WireCache(tmp_path))
    weights = np.ones((3, 8), np.int8)
    expected = bank.program(weights).effective
    assert np.array_equal(cached.program(weights).effective, expected)
    assert np.array_equal(cached.program(weights).effective, expected)
    assert len(list(tmp_path.iterdir())) == 1
