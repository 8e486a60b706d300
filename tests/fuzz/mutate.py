"""How inputs are spoiled: bytes of any file; fields of a sound document, which stays one that a parser reads."""

from __future__ import annotations

import copy
import gzip
import json
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import load, save

TEXTS = (
    "", " ", "\x00", "\x1b[31mred\x1b]0;title\x07", "[/good]", "[bold", "<script>PLANTED</script>", "<!--<script>",
    "a\nb",
    "a\r\n.include /etc/passwd", "| a | b |", "µ é 中 \U0001f600", "\u202eabc", "x" * 100_000, "../../..",
    "/dev/null", "nan",
    "1e999", "-0", "%s{0}{}", "LABEL_0", "a\tb\tc\td", "'\"`$(id)", "\ufeff", "film", "positive", "int1", "0" * 64,
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 0.5, -0.5, 1e-9, 1e9, 1e300, 10**12, 10**15, 2**31, 2**63, 2**64, 10**400, 255, float("nan"),
    float("inf"), float("-inf"), 128, 512, 4096, 16, 100, 1e-320,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"a": 1}, {"": {}}, ["x"] * 50)

ARRAYS: dict[str, Callable[[Random, np.ndarray[Any, Any]], Any]] = {
    "nan": lambda draw, x: _with(x, draw, float("nan")),
    "inf": lambda draw, x: _with(x, draw, float("inf")),
    "large": lambda draw, x: _with(x, draw, 1e30),
    "shorter": lambda draw, x: x[:-1] if x.ndim else x,
    "flat": lambda draw, x: x.reshape(-1),
    "longer": lambda draw, x: np.concatenate([x, x]) if x.ndim else x,
    "zero": lambda draw, x: np.zeros_like(x),
    "type": lambda draw, x: x.astype(draw.choice(["float64", "float16", "int64", "uint8", "bool"])),
    "noise": lambda draw, x: np.frombuffer(draw.randbytes(x.nbytes), x.dtype).reshape(x.shape),
    "empty": lambda draw, x: x[:0] if x.ndim else x,
}


def _with(x: Any, draw: Random, value: float) -> Any:
    x = x.copy()
    if x.size:
        x.reshape(-1)[draw.randrange(x.size)] = value if x.dtype.kind == "f" else np.iinfo(x.dtype).max
    return x


def spoil_bytes(data: bytes, draw: Random) -> bytes:
    """Some bytes other than they were: flipped, cut, doubled, put in, or all replaced."""
    kind, n = draw.randrange(9), max(1, len(data))
    place, width = draw.randrange(n), draw.choice([1, 2, 4, 16, 256])
    if kind < 3:
        own = bytearray(data or b"\0")
        for _ in range(draw.choice([1, 1, 1, 3, 20])):
            own[draw.randrange(len(own))] ^= 1 << draw.randrange(8)
        return bytes(own)
    if kind == 3:
        return data[:place]
    if kind == 4:
        return data[:place] + data[place + width :]
    if kind == 5:
        return data[:place] + draw.randbytes(width) + data[place:]
    if kind == 6:
        return data[:place] + data[place : place + width] * 50 + data[place + width :]
    if kind == 7:
        return draw.choice(
            [b"", b"\0" * 100, b"\xff\xfe" + data[:50], data + data, data + b"\n\0", b"PK\3\4", b"\x80\4."]
        )
    junk = (b"\xef\xbb\xbf", b"\x1b[2J", b"\xc3\x28", b"\r", b"\0", b'"', b"\xed\xa0\x80", b"," * 50)
    return data[:place] + draw.choice(junk) + data[place:]


def places(plain: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    for key in plain if isinstance(plain, dict) else range(len(plain)) if isinstance(plain, list) else ():
        yield plain, key
        yield from places(plain[key], depth + 1)


def strange(draw: Random, old: Any) -> Any:
    """Something else of the same kind, most of the time."""
    if isinstance(old, bool) or draw.random() < 0.25:
        return copy.deepcopy(draw.choice([*TEXTS, *NUMBERS, *OTHERS]))
    if isinstance(old, (int, float)):
        near = (old + 1, old - 1, -old, 2 * old, old // 2)
        return draw.choice([*NUMBERS, *near])
    if isinstance(old, str):
        own = (old[:-1], old + "x", old.upper(), old + draw.choice(TEXTS), draw.choice(TEXTS) + old)
        return draw.choice([*TEXTS, *own])
    if isinstance(old, list) and old:
        return draw.choice([old[:-1], old + old, old[::-1], old * 100, [old], old[0]])
    return copy.deepcopy(draw.choice([*TEXTS, *NUMBERS, *OTHERS]))


def spoil_fields(plain: Any, draw: Random, times: int | None = None) -> Any:
    """One field or two of a document replaced, removed, added, renamed."""
    plain = copy.deepcopy(plain)
    for _ in range(times or draw.choice([1, 1, 1, 2])):
        everywhere = list(places(plain))
        if not everywhere:
            return strange(draw, plain)
        by_depth = draw.sample(everywhere, min(4, len(everywhere)))
        inside, key = draw.choice(by_depth)
        kind = draw.randrange(10)
        if kind < 7:
            inside[key] = strange(draw, inside[key])
        elif kind == 7:
            del inside[key]
        elif isinstance(inside, dict):
            inside[draw.choice([*TEXTS[:12], "extra", 5, None]) if kind == 8 else f"{key}x"] = inside[key]
        else:
            inside.append(strange(draw, inside[key]))
    return plain


def as_json(plain: Any, draw: Random) -> bytes:
    """JSON, at times with what parsers stumble over: a key twice, depth, a byte-order mark, another encoding."""
    text, kind = json.dumps(plain, default=str, skipkeys=True), draw.randrange(24)
    if kind == 0 and text.startswith("{"):
        return b'{"format": 1, ' + text[1:].encode()
    if kind == 1:
        return ("[" * 100_000 + text + "]" * 100_000).encode()
    if kind == 2 and text.startswith("{"):
        return (text[:-1] + ', "deep": ' + '{"a":' * 3000 + "1" + "}" * 3001).encode()
    if kind == 3:
        return text.encode(draw.choice(["utf-16", "utf-8-sig", "latin-1"]), "replace")
    return text.encode()


LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


def as_yaml(plain: Any, draw: Random) -> bytes:
    """YAML, at times with what parsers stumble over: anchors that multiply, tags, a key twice, depth."""
    text, kind = yaml.safe_dump(plain, allow_unicode=True), draw.randrange(24)
    if kind == 0:
        return (text + LAUGHS + "\n").encode("utf-8", "replace")
    if kind == 1:
        return ("x: " + "[" * 5000 + "]" * 5000 + "\n" + text).encode("utf-8", "replace")
    if kind == 2:
        return (text + text).encode("utf-8", "replace")
    if kind == 3:
        tagged = ("a: !!python/object/apply:os.system [id]", "a: 2001-02-30", "a: !!binary xx", "? [1]\n: 2", "<<: 5")
        return (text + draw.choice(tagged) + "\n").encode("utf-8", "replace")
    if kind == 4:
        return text.encode(draw.choice(["utf-16", "latin-1"]), "replace")
    if kind == 5 and isinstance(plain, dict) and plain:
        name = draw.choice(list(map(str, plain)))
        return f"{text}{name}: &own\n  again: *own\n".encode("utf-8", "replace")
    return text.encode("utf-8", "replace")


def spoil_json(data: bytes, draw: Random) -> bytes:
    """Fields of a JSON document."""
    return as_json(spoil_fields(json.loads(data), draw), draw)


def spoil_yaml(data: bytes, draw: Random) -> bytes:
    """Fields of a YAML document."""
    return as_yaml(spoil_fields(yaml.safe_load(data), draw), draw)


def spoil_lines(data: bytes, draw: Random) -> bytes:
    """Cells of rows, or rows."""
    rows = [line.split(b"\t" if b"\t" in data else b",") for line in data.split(b"\n")]
    mark = b"\t" if b"\t" in data else b","
    for _ in range(draw.choice([1, 1, 2, 5])):
        row = draw.choice(rows)
        place = draw.randrange(len(row))
        row[place] = str(strange(draw, row[place].decode("utf-8", "replace"))).encode("utf-8", "replace")
        if draw.random() < 0.1:
            rows.insert(draw.randrange(len(rows)), draw.choice([[b""], row, row + row, [b'"open']]))
    return b"\n".join(mark.join(row) for row in rows)


def spoil_trace(data: bytes, draw: Random) -> bytes:
    """Fields of a gzipped JSON document; at times much that was pressed to little."""
    if draw.random() < 0.03:
        return gzip.compress(b"[" + b"0," * 5_000_000) * draw.choice([1, 60])
    return gzip.compress(spoil_json(gzip.decompress(data), draw), 1, mtime=0)


def spoil_arrays(data: bytes, draw: Random) -> bytes:
    """Arrays of a safetensors file: others, fewer, of other shapes and types."""
    arrays = load(data)
    for _ in range(draw.choice([1, 1, 2])):
        name = draw.choice(sorted(arrays))
        kind = draw.choice([*ARRAYS, "gone", "renamed", "header"])
        if kind == "header":
            return struct.pack("<Q", draw.choice([0, 2**40, 2**63, 10**8])) + data[8:]
        if kind == "gone":
            del arrays[name]
        elif kind == "renamed":
            arrays[name + "x"] = arrays.pop(name)
        else:
            with np.errstate(all="ignore"):
                arrays[name] = np.ascontiguousarray(ARRAYS[kind](draw, arrays[name]))
        if not arrays:
            break
    return save(arrays, metadata={"format": "pt"})


def spoil_npy(data: bytes, draw: Random) -> bytes:
    """The header of an npy file, or its numbers."""
    shape = draw.choice([(), (0,), (10**12,), (8, 1), (-1,), (2**62, 4), (1,) * 40, (8,)])
    kind = draw.choice(["<i8", "<f8", "|O", "|V8", "<U5", "<i2", ">u4"])
    header = str({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + draw.randbytes(64)


FIELDS: dict[str, Callable[[bytes, Random], bytes]] = {
    ".json": spoil_json,
    ".part": spoil_json,
    ".jsonl": spoil_lines,
    ".yaml": spoil_yaml,
    ".csv": spoil_lines,
    ".tsv": spoil_lines,
    ".txt": spoil_lines,
    ".gz": spoil_trace,
    ".safetensors": spoil_arrays,
    ".npy": spoil_npy,
}
"""By the end of a file's name."""
