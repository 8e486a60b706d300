"""Read arrays from safetensors, npy and npz files: numbers only, no pickles, all finite.

An array is no larger than its file, or, in a compressed npz, than a small multiple of it. What a header claims is
checked before any memory is taken.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from ..errors import InputError
from .documents import read_bytes, whole

LARGEST_ARRAYS = 2**34
"""Maximum size of a file of arrays, in bytes."""

EXPANSION, SPARE = 16, 2**20
"""Arrays of an npz file may take EXPANSION times its bytes plus SPARE bytes. Those of our encoders take 1.3 times."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods that NumPy uses. With others, the unpacked size could not be bounded."""

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path, cure: str = "restore the file") -> Arrays:
    """Read the arrays of a safetensors file. All numbers must be finite.

    Raises:
        InputError: the file is not valid, or an array has NaN or infinity.
    """
    return parse_arrays(read_bytes(path, most=LARGEST_ARRAYS, cure=cure), path, cure)


def parse_arrays(data: bytes, path: Path, cure: str = "restore the file") -> Arrays:
    """As :func:`read_arrays`, for the content of ``path``."""
    with whole(path, cure):
        return _finite(load(data), path, cure)


def read_npy(path: Path, cure: str = "write it with numpy.save") -> NDArray[Any]:
    """Read the array of an npy file.

    Raises:
        InputError: the file is not valid, is shorter than its header says, or holds something other than numbers.
    """
    content = read_bytes(path, most=LARGEST_ARRAYS, cure=cure)
    with whole(path, cure):
        return _parse_npy(content)


def parse_npz(data: bytes, path: Path, cure: str = "restore the file") -> Arrays:
    """Read the arrays of an npz file, given its content. All numbers must be finite.

    Raises:
        InputError: the file is not valid, its arrays would take too much memory (:data:`EXPANSION`), two have one name,
            or one holds something other than numbers, NaN or infinity.
    """
    arrays: Arrays = {}
    with whole(path, cure), zipfile.ZipFile(io.BytesIO(data)) as file:
        members = file.infolist()
        if sum(one.file_size for one in members) > EXPANSION * len(data) + SPARE:
            raise InputError("its arrays are too large for its size", file=path, cure=cure)
        for one in members:
            name = one.filename.removesuffix(".npy")
            if name in arrays or one.compress_type not in METHODS:
                problem = "two arrays of this name" if name in arrays else "a compression that NumPy does not use"
                raise InputError(problem, file=path, field=name, cure=cure)
            with file.open(one) as member:
                arrays[name] = _parse_npy(member.read(one.file_size))
    return _finite(arrays, path, cure)


def _parse_npy(content: bytes) -> NDArray[Any]:
    """Parse the content of an npy file."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(file)
    if kind.kind not in "biuf" or min(shape, default=0) < 0:
        raise ValueError(f"{kind} of shape {list(shape)}, not an array of numbers")
    values = np.frombuffer(content, kind, math.prod(shape), file.tell())
    return values.reshape(shape, order="F" if by_columns else "C").astype(kind.newbyteorder("="))


def _finite(arrays: Arrays, path: Path, cure: str) -> Arrays:
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError("NaN or infinity", file=path, field=name, cure=cure)
    return arrays
