from __future__ import annotations

from dataclasses import fields

import pytest

from matterhorn.errors import InputError
from matterhorn.models import MatterhornConfig
from matterhorn.program import Config

IMPOSSIBLE = [
    *(("weights", value) for value in ("int8", "1", "binary")),
    *(("activation_bits", value) for value in (0, 7)),
    *(("dead_zone", value) for value in (-1, 8)),
    ("dead_zones", {"middle": 1}),
    ("silence_per", "layer"),
    ("kv_bits", 0),
    ("digital", "fast"),
    ("hidden_size", 31),
]


@pytest.mark.parametrize(("field", "value"), IMPOSSIBLE)
def test_impossible_configs_are_refused(field, value):
    with pytest.raises(InputError, match=field):
        MatterhornConfig(**{field: value})


def test_it_has_every_field_of_a_programs_config_and_the_same_defaults():
    own, theirs = MatterhornConfig(), Config()
    for field in fields(Config):
        assert getattr(own, field.name) == getattr(theirs, field.name), field.name
    assert own.formats == theirs
    changed = MatterhornConfig(dead_zone=2, dead_zones={"context": 1}, kv_bits=3)
    assert changed.formats == Config(dead_zone=2, dead_zones={"context": 1}, kv_bits=3)


def test_it_survives_json(tmp_path):
    own = MatterhornConfig(dead_zones={"context": 1}, dead_zone=2, id2label={0: "no", 1: "yes", 2: "both"})
    own.save_pretrained(tmp_path)
    again = MatterhornConfig.from_pretrained(tmp_path)
    assert again.formats == own.formats and again.labels == ("no", "yes", "both")


def test_labels_are_in_the_order_of_the_logits():
    """Of numbers, whatever order they are given in: class 10 comes after class 2."""
    names = [f"class {number}" for number in range(12)]
    for order in (range(12), sorted(range(12), key=str), reversed(range(12))):
        assert MatterhornConfig(id2label={number: names[number] for number in order}).labels == tuple(names)


def test_what_is_set_afterwards_is_checked_too():
    own = MatterhornConfig()
    own.kv_bits = 9
    with pytest.raises(InputError, match="kv_bits"):
        _ = own.formats
