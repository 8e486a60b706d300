"""A program is frozen: no array can be written to, no torch object is in it, its hash says what it is."""

from __future__ import annotations

import dataclasses
import pickle
import tracemalloc
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.program import Config, Program, load
from matterhorn.program.text import batches_of

from ..networks import small_arrays, small_batch, small_program


@pytest.fixture(scope="module")
def program():
    return small_program(k=2, mean=True)


def parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Everything that can be reached from a value."""
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if isinstance(value, Mapping):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set)):
        inside = list(value)
    else:
        inside = list(getattr(value, "__dict__", {}).values())
    for one in inside:
        yield from parts(one, seen)


@pytest.mark.parametrize("way", ["made", "pickled", "loaded"])
def test_no_array_can_be_written_to_and_no_torch_is_reachable(program, way, tmp_path):
    program.save(tmp_path / "saved")
    own = {"made": lambda: program, "pickled": lambda: pickle.loads(pickle.dumps(program)),
           "loaded": lambda: load(tmp_path / "saved")}[way]()  # fmt: skip
    found = list(parts(own, set()))
    arrays = [part for part in found if isinstance(part, np.ndarray)]
    assert len(arrays) > 200
    for array in arrays:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        while isinstance(array, np.ndarray):
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                array.flags.writeable = True
            array = array.base
    assert not [part for part in found if isinstance(part, (torch.Tensor, torch.nn.Module))]


def test_fields_cannot_be_set(program):
    for part in (program, program.config, program.blocks[0], program.blocks[0].populations["input"]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.anything = 1
    with pytest.raises(TypeError):
        program.config.dead_zones["input"] = 0


def test_parts_cannot_be_put_in_others_places(program):
    block = pickle.loads(pickle.dumps(program.blocks[0]))
    for own in (program.blocks[0], block):
        for named in (program.arrays(), own.connections, own.populations, own.arrays):
            name, part = next(iter(named.items()))
            with pytest.raises(TypeError):
                named[name] = part
    assert [*block.connections] == [*program.blocks[0].connections]
    assert np.array_equal(block.arrays["ffn1"].rows, program.blocks[0].arrays["ffn1"].rows)


def test_changing_what_it_was_made_of_changes_nothing(program):
    arrays = {name: value.copy() for name, value in program.arrays().items()}
    own = Program.from_arrays(program.config, arrays, labels=program.labels)
    for value in arrays.values():
        value[...] = 0
    assert own.hash == program.hash


def test_changing_what_it_sees_through_a_read_only_view_changes_nothing(program):
    name, right = "blocks.0.query.weights", program.arrays()["blocks.0.query.weights"]
    for owner in (right.copy(), bytearray(right.tobytes())):
        view = np.frombuffer(owner, right.dtype).reshape(right.shape).view()
        view.flags.writeable = False
        own = Program.from_arrays(program.config, program.arrays() | {name: view}, labels=program.labels)
        np.frombuffer(owner, right.dtype)[...] = -right.ravel()
        assert np.array_equal(own.arrays()[name], right)
        assert np.array_equal(own.blocks[0].connections["query"].weights, right)
    again = Program.from_arrays(program.config, program.arrays(), labels=program.labels)
    assert np.shares_memory(again.arrays()[name], right)  # what nobody can change is not copied


def test_the_hash_knows_every_array_the_config_and_the_labels(program):
    seen = {program.hash}
    for name, value in program.arrays().items():
        changed = value.copy()
        if name.endswith(("silent", "silent_value")):
            continue  # (bound to each other: the next test)
        flat = changed.reshape(-1)
        if name.startswith("blocks.") and name.endswith("weights"):
            flat[0] *= -1  # one bit
        elif name.endswith(".table"):
            flat[flat > 0] -= 1  # still falling
        else:
            flat[-1 if name.endswith("thresholds") else 0] += 1  # still rising
        seen.add(Program.from_arrays(program.config, program.arrays() | {name: changed}, labels=program.labels).hash)
    config = dataclasses.replace(program.config, layer_norm_eps=1e-5)
    seen.add(Program.from_arrays(config, program.arrays(), labels=program.labels).hash)
    seen.add(Program.from_arrays(program.config, program.arrays(), labels=("a", "b")).hash)
    assert len(seen) == 3 + len([n for n in program.arrays() if not n.endswith(("silent", "silent_value"))])


def test_missing_and_misshapen_arrays_are_named(program):
    arrays = dict(program.arrays())
    del arrays["blocks.1.output.weights"]
    with pytest.raises(InputError, match=r"blocks\.1\.output\.weights: missing"):
        Program.from_arrays(program.config, arrays, labels=program.labels)
    arrays = program.arrays() | {"blocks.1.output.weights": np.zeros((3, 3), np.int8)}
    with pytest.raises(InputError, match=r"blocks\.1\.output\.weights: shape \[3, 3\]"):
        Program.from_arrays(program.config, arrays, labels=program.labels)


SCALE = "embeddings.position_scale"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (SCALE, lambda values: np.where(np.arange(len(values)) == 3, np.nan, values), "NaN or infinity"),
        (SCALE, lambda values: np.full(len(values), 1e300), "NaN or infinity"),
        (SCALE, lambda _: None, "a NoneType, not an array"),
        (SCALE, lambda values: values.tolist(), "a list, not an array"),
        (SCALE, lambda values: values.astype(object), "object instead of float32"),
        ("pooler.weights", lambda values: np.full(values.shape, 300), "values out of the range of int8"),
        ("junk", lambda _: np.zeros(3), "not an array of such a program"),
        ("blocks.0.probabilities.scale", lambda values: -values, "-.*, not above 0"),
        ("blocks.0.input.scale", lambda values: 0 * values, "0, not above 0"),
        ("blocks.1.keys.scale", lambda values: -values, "-.*, not above 0"),
        ("blocks.0.table", lambda values: values[:0], "not integers that fall"),
        ("blocks.0.table", lambda values: values[::-1].copy(), "not integers that fall"),
        ("blocks.0.table", lambda values: values[:1], "not integers that fall"),
        ("blocks.0.table", lambda values: 2 * values, "not integers that fall"),
        ("blocks.0.table", lambda values: np.append(values[:1] - 1, values), "not integers that fall"),
        (
            "blocks.0.intermediate.thresholds",
            lambda values: np.vstack([values[:1, ::-1], values[1:]]),
            "thresholds that fall",
        ),
        ("blocks.0.values.thresholds", lambda values: values + np.int32(2**25), "not all from -16777215 to 16777216"),
        ("blocks.0.query.weights", lambda values: np.vstack([0 * values[:1], values[1:]]), "zeros, which 1-bit"),
        ("blocks.0.query.weights", lambda values: 2 * values, "not all from -1 to 1"),
        ("blocks.0.query.offset", lambda values: values + np.int32(2**24), "potentials up to .*, over 16777215"),
        ("blocks.1.ffn2.offset", lambda values: np.full_like(values, -(2**31)), "potentials up to .*, over 16777215"),
    ],
)
def test_arrays_that_no_folder_may_hold_are_named(program, name, change, said):
    arrays = program.arrays() | {name: change(program.arrays().get(name))}
    with pytest.raises(InputError, match=f"^{name}: {said}"):
        Program.from_arrays(program.config, arrays, labels=program.labels)


@pytest.mark.parametrize(
    "about",
    [{"labels": (1, 2)}, {"labels": ("a", "a")}, {"labels": ("a", " ")}, {"labels": None}, {"labels": "np"},
     {"labels": ()}, {"task": 3}, {"tokenizer": 3}, {"config": None}, {"arrays": 3}],
    ids=str,
)  # fmt: skip
def test_what_is_said_of_a_program_is_checked_where_it_is_made(program, about):
    own = {"config": program.config, "arrays": program.arrays(), "labels": program.labels}
    with pytest.raises(InputError, match=f"^{next(iter(about))}"):
        Program.from_arrays(**own | about)


def test_texts_of_megabytes_are_refused_before_they_are_read(program):
    with pytest.raises(InputError, match=r"text 2: 10000000 characters, at most 1048576 .*split it"):
        program.encode(["fine", "a " * 5_000_000], max_length=8)
    with pytest.raises(InputError, match="text 1: 1200000 characters"):
        program.encode([("a " * 300_000, "b " * 300_000)], max_length=8)


def test_potentials_beyond_float32_are_refused(program):
    wide = np.full(program.arrays()["blocks.0.query.weights"].shape, 127, np.int8)
    config = dataclasses.replace(program.config, activation_bits=6)
    with pytest.raises(InputError):
        Program.from_arrays(config, program.arrays() | {"blocks.0.query.weights": wide}, labels=program.labels)


def test_attention_over_more_keys_than_an_integer_can_add_up_is_refused(program):
    config = dataclasses.replace(program.config, max_position_embeddings=150_000)
    tables = {f"embeddings.{name}": program.arrays()[f"embeddings.{name}"] for name in ("position", "position_scale")}
    longer = {name: np.resize(table, (150_000, *table.shape[1:])) for name, table in tables.items()}
    eighths = {"blocks.0.probabilities.silent_value": 8 * program.arrays()["blocks.0.probabilities.silent"] + 1}
    arrays = program.arrays() | longer | eighths
    assert Program.from_arrays(config, arrays, labels=program.labels)  # probabilities sum to 1, so few levels are high
    arrays["blocks.0.probabilities.scale"] = np.float32(1e-9)
    problem = r"^blocks\.0\.pv: potentials up to 19350000, over 16777215; use fewer .* or fewer positions"
    with pytest.raises(InputError, match=problem):
        Program.from_arrays(config, arrays, labels=program.labels)


def test_attention_of_heads_that_are_too_wide_is_refused():
    small = small_program(activation_bits=6, kv_bits=6)
    config = dataclasses.replace(small.config, hidden_size=66 * 32, num_attention_heads=1)
    arrays = dict(small.arrays())
    for name, values in arrays.items():
        for axis in (axis for axis, size in enumerate(values.shape) if size == 32):
            arrays[name] = np.repeat(arrays[name], 66, axis)
        if name.endswith(".thresholds"):
            arrays[name] = np.arange(arrays[name].size, dtype=np.int32).reshape(arrays[name].shape)
    arrays["blocks.0.queries.silent_value"] = 8 * arrays["blocks.0.queries.silent"] + 1
    with pytest.raises(InputError, match=r"^blocks\.0\.qk: potentials up to 17301504, over .* or kv bits"):
        Program.from_arrays(config, arrays, labels=small.labels)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": "1"},
        {"activation_bits": 0},
        {"activation_bits": 10**12},
        {"kv_bits": 9},
        {"dead_zone": 8},
        {"silence_per": "head"},
        {"digital": "fast"},
        {"dead_zones": {"probabilities": 9}},
        {"dead_zones": {"nothing": 1}},
        {"dead_zones": {"input": -1}},
        {"hidden_size": 385},
        {"layer_norm_eps": 0},
        {"layer_norm_eps": float("nan")},
    ],
)
def test_impossible_configs_name_their_field(wrong):
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}"):
        Config(**wrong)


def test_zones_are_never_wider_than_the_networks():
    config = Config(dead_zone=2, dead_zones={"probabilities": 1, "input": 3})
    assert [config.zone(name) for name in ("probabilities", "input", "hidden")] == [1, 2, 2]


def test_texts_become_padded_arrays(program):
    one, two = program.encode(["abc", ("ab", "c")])["input_ids"].tolist()
    assert len(one) == len(two) == 6 and one[-1] == 0 and two[-1] == 3
    cut = program.encode(["abcdefgh", ("abcdef", "gh")], max_length=6)
    assert cut["input_ids"].shape == (2, 6) and cut["token_type_ids"][1].tolist() == [0, 0, 0, 0, 1, 1]
    for texts, message in (
        ([], "no texts"),
        ([" "], "empty text"),
        (["ok", ("a", "")], "text 2"),
        ("a " * 99, "too long"),
        ([1], "text 1: not a text"),
        ([("a", "b", "c")], "text 1: not a text"),
        ([("a",)], "text 1: not a text"),
        ([("a", 2)], "text 1: not a text"),
    ):
        with pytest.raises(InputError, match=message):
            program.encode(texts)


def test_a_batch_alone_and_one_of_lists_are_batches_and_labels_are_left_out():
    arrays, batch = small_arrays(), small_batch()
    lists = {name: values.tolist() for name, values in arrays.items()}
    more = [[arrays | {"labels": [0] * 6}], iter([batch | {"text": None}])]
    for given in (arrays, batch, lists, UserDict(lists), *more):
        (found,) = batches_of(given)
        assert list(found) == list(arrays)
        assert all(np.array_equal(values, arrays[name]) for name, values in found.items())
    assert batches_of([batch, arrays])[0]["input_ids"] is batch["input_ids"] and batches_of([]) == []
    assert list(batches_of({"input_ids": [[2, 3]], "attention_mask": None})[0]) == ["input_ids"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a text", "batches: not batches"),
        (3, "batches: not batches"),
        (["a text"], "batch 1: a str; give mappings with input_ids"),
        ({"text": ["a"]}, "batch 1: no input_ids"),
        ([{"input_ids": [[2, 3]]}, {"labels": [1]}], "batch 2: no input_ids"),
        ({"input_ids": [2, 3]}, r"batch 1: shapes \[2\]"),
        ({"input_ids": [[2, 3]], "attention_mask": [[1]]}, r"batch 1: shapes \[1, 2\], \[1, 1\]"),
        ({"input_ids": [[2, 3], [2]]}, "batch 1: rows of different lengths; pad"),
    ],
)
def test_what_is_no_batch_is_named(given, message):
    with pytest.raises(InputError, match=message):
        batches_of(given)


def test_texts_in_batches_are_named_by_their_number_among_all(program):
    texts = ["abc", ("ab", "c"), "a", "a b c d", "b"]
    found = program.batches(iter(texts), 2)
    assert [batch["input_ids"].shape for batch in found] == [(2, 6), (2, 6), (1, 3)]
    right = program.encode(texts)["input_ids"]
    assert np.array_equal(found[2]["input_ids"], right[4:, :3])
    for wrong, problem in ((" ", "empty text"), ("a " * 99, "too long"), ("\ud800", "not Unicode")):
        with pytest.raises(InputError, match=f"text 6: .*{problem}"):
            program.batches([*texts, wrong], 2)
    with pytest.raises(InputError, match="size: batches of 0"):
        program.batches(texts, 0)


def test_a_length_that_leaves_nothing_of_a_text_is_refused(program):
    assert program.encode(["abc"], max_length=3)["input_ids"].shape == (1, 3)
    assert program.encode([("abc", "abc")], max_length=5)["input_ids"].shape == (1, 5)
    for text, longest in (("abc", 2), ("abc", 0), ("abc", -3), ("abc", 3.5), (("abc", "abc"), 4)):
        with pytest.raises(InputError, match=f"max_length: {longest} tokens"):
            program.encode([text], max_length=longest)


def test_thresholds_on_a_line_take_two_words_and_others_one_each():
    from matterhorn import load
    from matterhorn.program.packing import threshold_words

    levels = np.arange(1, 16) - 0.5
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(3, 4000, (200, 1)), rng.uniform(-1e4, 1e4, (200, 1))
    even = np.ceil(levels * scale + shift).astype(np.int32)
    assert threshold_words(even) == threshold_words(None) == threshold_words(even[:, :1]) == 2
    even[7, 3] += 2
    assert threshold_words(even) == 15
    assert {p.thresholds is None or threshold_words(p.thresholds) for b in load("sst2").blocks
            for p in b.populations.values()} == {True, 2}  # fmt: skip


def test_lines_of_many_levels_are_looked_for_in_little_memory():
    from matterhorn.program.packing import on_lines

    draw = np.random.default_rng(0)
    bent = np.sort(draw.integers(-(2**20), 2**20, (400, 63)), axis=1)
    straight = np.floor(draw.uniform(1, 9, (40, 1)) * np.arange(63) + draw.uniform(0, 99, (40, 1))).astype(np.int64)
    tracemalloc.start()
    assert on_lines(straight) and not on_lines(bent) and not on_lines(np.concatenate([straight, bent]))
    assert tracemalloc.get_traced_memory()[1] < 3e8
    tracemalloc.stop()


def test_a_single_threshold_that_float32_cannot_tell_from_its_neighbors_is_on_no_line():
    """As 1-bit keys have of a large fan-in: it is compared as it is."""
    from matterhorn.program.packing import as_lines

    near, far = np.array([[5], [-7]], np.int32), np.array([[5], [-12942910]], np.int32)
    assert as_lines(far) is None and as_lines(near) is not None
