"""The one way in for files: what is odd is one line that names the file, whatever it is."""

from __future__ import annotations

import gzip
import json
import math
import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from matterhorn.errors import InputError, in_markdown, visible
from matterhorn.reading import (
    read_arrays,
    read_bytes,
    read_json,
    read_mapping,
    read_npy,
    read_packed_json,
    read_text,
    read_yaml,
)

READERS = (
    read_json,
    read_mapping,
    read_yaml,
    read_text,
    read_arrays,
    read_npy,
    lambda path: read_packed_json(path, ""),
)

PLAIN = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    PLAIN | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def one_line(text: str) -> bool:
    """Neither controls nor ends of lines nor halves of letters."""
    return not {unicodedata.category(letter) for letter in text} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("read") / "file"


@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=200)
def test_whatever_the_bytes_are_it_is_an_answer_or_one_line(file, data):
    file.write_bytes(data)
    for read in READERS:
        try:
            read(file)
        except InputError as error:
            assert str(error).startswith(str(file)) and one_line(str(error))


@given(plain=st.dictionaries(st.text(), JSON, max_size=5))
def test_what_was_written_is_read(file, plain):
    file.write_text(json.dumps(plain))
    assert read_mapping(file) == plain
    file.write_bytes(gzip.compress(json.dumps(plain).encode()))
    assert read_packed_json(file, "") == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"a": {"b": [NaN]}}', "NaN is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ("[" * 10**6, "nested too deeply"),
        ("[]", "not a mapping"),
        ('{"a": 1', "not JSON"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON"),
    ],
)
def test_json_is_strict(file, text, said):
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_mapping(file)


LAUGHS = "a: &a [x]\n" + "".join(f"{b}: &{b} [{', '.join(9 * ['*' + a])}]\n" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "too large"),
        ("a: &a\n  b: *a\n", "nested too deeply"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("a: 1\nb: 2\na: 3\n", "'a' twice"),
        ("1: 2\n", "put it in quotes"),
        ("a: .nan\n", "beyond reason"),
        ("a: 1e400\n", None),
        ("a: 99999999999999999999\n", "beyond reason"),
        ("a: 2001-02-30\n", "cannot be read"),
        ("a: !!python/object/apply:os.system [id]\n", "not YAML"),
        ("- a\n", "not a mapping"),
        ("a: " + "x" * 2**20, "at most"),
    ],
)  # fmt: skip
def test_yaml_is_bounded_and_plain(file, text, said):
    file.write_text(text)
    if said is None:
        read_yaml(file)
        return
    with pytest.raises(InputError, match=said):
        read_yaml(file)


def test_what_is_packed_is_unpacked_to_a_bound(file):
    file.write_bytes(gzip.compress(b" " * 10**7, 9) * 40)
    with pytest.raises(InputError, match="too much is packed"):
        read_packed_json(file, "")
    file.write_bytes(gzip.compress(b'{"a": ') + gzip.compress(b"1}"))
    assert read_packed_json(file, "") == {"a": 1}
    file.write_bytes(gzip.compress(b'{"a": 1}')[:-3])
    with pytest.raises(InputError, match="cut"):
        read_packed_json(file, "")


def test_arrays_are_finite_and_as_large_as_their_file(file):
    arrays: dict[str, Any] = {"whole": np.arange(3), "real": np.ones(2, np.float32)}
    save_file(arrays, file)
    assert all(np.array_equal(read_arrays(file)[name], values) for name, values in arrays.items())
    for odd in (math.nan, math.inf):
        save_file(arrays | {"real": np.array([1, odd], np.float32)}, file)
        with pytest.raises(InputError, match="real: NaN or infinity"):
            read_arrays(file)
    header = str({"descr": "<i8", "fortran_order": False, "shape": (10**13,)}).ljust(117) + "\n"
    file.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64))
    with pytest.raises(InputError, match="cannot be read"):
        read_npy(file)


def test_only_files_are_read(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(InputError):
            read_bytes(path)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(InputError, match="11 bytes, at most 10"):
        read_bytes(tmp_path / "large", most=10)


@given(st.text())
def test_text_of_any_origin_is_one_line_that_steers_no_terminal(text):
    assert one_line(visible(text)) and one_line(in_markdown(text)) and "<" not in in_markdown(text)
    assert visible("µ é 中 😀 [/good]") == "µ é 中 😀 [/good]"
    assert one_line(str(InputError(text, file=text, cure=text)))
