"""The one way in for files: what is odd is one line that names the file, whatever it is."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import time
import tracemalloc
import unicodedata
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import matterhorn
from matterhorn.errors import InputError, in_markdown, visible
from matterhorn.reading import (
    parse_npz,
    read_arrays,
    read_bytes,
    read_json,
    read_mapping,
    read_npy,
    read_packed_json,
    read_text,
    read_yaml,
)


def npy(values: np.ndarray) -> bytes:
    """The content of a file of numpy.save."""
    np.save(file := io.BytesIO(), values)
    return file.getvalue()


READERS = (
    lambda path: parse_npz(path.read_bytes(), path),
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
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('{"a": {"b": [NaN]}}', "NaN is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
        ("[" * 10**6, "nested too deeply"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        ("[]", "not a mapping"),
        ('{"a": 1', "not JSON"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON"),
        ("[" + "{}," * 2**20 + "1]", "too many values"),
        ("[" + "1," * 2**23 + "1]", "too many values"),
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
        ("a: 1\nb: 2\na: 3\n", "duplicate key 'a'"),
        ("1: 2\n", "put it in quotes"),
        ("a: .nan\n", "out of range"),
        ("a: 1e400\n", "out of range"),
        ("a: [" + "[]," * 100_000 + "]", "too large"),
        ("a: 99999999999999999999\n", "out of range"),
        ("a: 2001-02-30\n", "cannot be read"),
        ("a: !!python/object/apply:os.system [id]\n", "not YAML"),
        ("- a\n", "not a mapping"),
        ("a: " + "x" * 2**20, "at most"),
    ],
)  # fmt: skip
def test_yaml_is_bounded_and_plain(file, text, said):
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_yaml(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30", "1:30"), ("1:30.5", "1:30.5"), ("010", "010"), ("0x10", "0x10"), ("1_000", "1_000"), ("1e", "1e"),
     ("0", 0), ("-12", -12), ("+3", 3), ("1e-4", 1e-4), ("1.5E+3", 1500.0), (".5", 0.5), ("2.", 2.0), ("true", True)],
)  # fmt: skip
def test_yaml_numbers_are_those_of_yaml_1_2(file, text, value):
    file.write_text(f"a: {text}\n")
    found = read_yaml(file)["a"]
    assert found == value and type(found) is type(value)


def test_what_is_packed_is_unpacked_to_a_bound(file):
    file.write_bytes(gzip.compress(b" " * 10**7, 9) * 40)
    with pytest.raises(InputError, match="bytes when unpacked"):
        read_packed_json(file, "")
    file.write_bytes(gzip.compress(b'{"a": ') + gzip.compress(b"1}"))
    assert read_packed_json(file, "") == {"a": 1}
    file.write_bytes(gzip.compress(b"") * 20_000 + gzip.compress(b'{"a": 1}'))
    assert read_packed_json(file, "") == {"a": 1}
    file.write_bytes(gzip.compress(b'{"a": 1}')[:-3])
    with pytest.raises(InputError, match="truncated"):
        read_packed_json(file, "")


def test_small_files_take_little_time(file):
    """Each of them once took ten seconds and more, as the square of its length."""
    begun = time.process_time()
    file.write_text("{" + ",".join(f'"{number}":1' for number in range(60_000)) + ',"59999":2}')
    with pytest.raises(InputError, match="duplicate key '59999'"):
        read_json(file)
    file.write_text("a: " + "1:" * 90_000 + "1\n")
    assert len(read_yaml(file)["a"]) == 180_001
    assert time.process_time() - begun < 5


DIRECT = re.compile(
    r"\.read_(text|bytes)\(|json\.loads?\(|yaml\.\w*load|(gzip|zlib)\.(open|decompress|GzipFile)"
    r"|load_file\(|np\.load\(|ZipFile\(|from_file\(|[^\w.]open\(|\.open\("
)
ALLOWED = {
    "bench/clock.py": "what Linux says of its processor",
    "bench/processes.py": "what Linux says of a process, and what one of ours answers",
    "distill/state.py": "tensors of training, in torch's own types",
    "energy/derive/neurosim_22nm.py": "what a process of ours answers",
    "kernels/compile.py": "source of the package",
    "models/derive/base.py": "tensors of networks that are known by their hash",
    "program/hub.py": "what the library of tokenizers writes",
    "models/general.py": "written, not read",
    "storage/claim.py": "a copy in memory; who holds a lock",
    "storage/locks.py": "opened to be locked, not read",
    "storage/manifest.py": "hashes of files of any size",
    "storage/output.py": "the mark at a file's ends",
    "storage/settling.py": "files on their way to the disk",
    "study/journal.py": "a copy in memory",
    "tasks/answer_files.py": "written, not read, and shards of answers that are put together",
    "tasks/sources.py": "members of an archive that is known by its hash",
    "tasks/submit.py": "written, not read",
    "tasks/tables.py": "rows of files of any size, one by one",
}
"""Modules that read or write otherwise than by the reader, and why."""


def test_files_are_read_by_the_reader_alone():
    package = Path(matterhorn.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if DIRECT.search(path.read_text(encoding="utf-8"))
    }
    assert {path for path in found if not path.startswith("reading/")} == {*ALLOWED}


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


def test_arrays_of_numpy_are_read_as_they_were_written(file):
    wide = np.arange(6, dtype=">i4").reshape(2, 3)
    columns = np.asfortranarray(wide.astype(np.float16))
    arrays = {"a": wide, "by columns": columns, "none": np.zeros((0, 3)), "one": np.array(7)}
    for save in (np.savez, np.savez_compressed):
        with file.open("wb") as written:
            save(written, **arrays)
        found = parse_npz(file.read_bytes(), file)
        assert found.keys() == arrays.keys()
        for name, values in arrays.items():
            assert np.array_equal(found[name], values) and found[name].dtype == values.dtype.newbyteorder("=")
    file.write_bytes(npy(wide))
    assert np.array_equal(read_npy(file), wide)


LARGE = np.zeros(2**25, np.uint8)
ODD_MEMBERS = {
    "a bomb": ([LARGE], "its arrays are too large for its size"),
    "twice": ([np.zeros(3), np.zeros(3)], "a: two arrays of this name"),
    "no number": ([np.array([1, np.nan])], "a: NaN or infinity"),
    "words": ([np.array(["a"])], "not an array of numbers"),
    "objects": ([np.array([{}])], "not an array of numbers"),
    "cut": ([npy(np.zeros(3))[:-8]], "cannot be read"),
    "text": ([b"text"], "cannot be read"),
    "another packing": ([np.zeros(3)], "a: a compression that NumPy does not use"),
}


@pytest.mark.parametrize("odd", ODD_MEMBERS)
def test_an_npz_holds_arrays_of_numbers_that_its_size_answers_for(file, odd):
    members, said = ODD_MEMBERS[odd]
    method = zipfile.ZIP_BZIP2 if odd == "another packing" else zipfile.ZIP_DEFLATED
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as packed:
        warnings.simplefilter("ignore")  # of a name that comes twice
        for one in members:
            packed.writestr("a.npy", one if isinstance(one, bytes) else npy(one))
    tracemalloc.start()
    with pytest.raises(InputError, match=said):
        parse_npz(file.read_bytes(), file)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_an_npz_whose_directory_understates_a_member_is_unpacked_no_further(file):
    """Python's library would unpack all of it, and drop what is too much."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", npy(LARGE))
    content = file.read_bytes().replace((2**25 + 128).to_bytes(4, "little"), (200).to_bytes(4, "little"))
    tracemalloc.start()
    with pytest.raises(InputError, match="cannot be read"):
        parse_npz(content, file)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_pipe_in_the_place_of_an_array_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InputError, match="not a regular file"):
        read_npy(tmp_path / "pipe.npy")


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
    assert visible("a\u061cb") == r"a\u061cb" and in_markdown("*a* _b_ c_d ~~e~~") == r"\*a\* \_b\_ c_d \~\~e\~\~"
    assert visible("µ é 中 😀 [/good]") == "µ é 中 😀 [/good]"
    assert one_line(str(InputError(text, file=text, cure=text)))
