"""How all kernels are compiled, and how compiled code is kept on disk."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

ROOMS = ("coding", "kernels")
"""Rooms that compiled code depends on: kernels call each other across files, and contain constants of ``coding``."""


@cache
def sources() -> str:
    """Return a hash of all source files that compiled code depends on."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted(Path(__file__).parent.with_name(room).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def announce() -> None:
    """Explain, once per process, why the first call of a kernel takes long."""
    text = "matterhorn: compiling kernels, once on this machine: about a minute (matterhorn warm does it beforehand)"
    print(text, file=sys.stderr, flush=True)


class _Files(IndexDataCacheFile):
    """A kernel's files of compiled code, each with a hash of its key.

    Numba numbers these files and names them in an index, which it writes first. Code for other types, for another
    processor or of another version may therefore have the number that the index names, if processes compile at the same
    time or one is interrupted.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep compiled code under a key."""
        super().save(key, (_named(key), data))

    def load(self, key: Any) -> Any:
        """Return the code that is kept under a key, or None.

        Raises:
            ValueError: the file holds the code of another key.
        """
        found = super().load(key)
        if found is None:
            return None
        name, data = found
        if name != _named(key):
            raise ValueError("code of another key")
        return data


def _named(key: Any) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


class _Cache(FunctionCache):
    """Numba's cache on disk. Its keys include :func:`sources`, while numba's own depend on a single source file."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        own = self._impl.locator
        self._cache_file = _Files(own.get_cache_path(), self._impl.filename_base, own.get_source_stamp())

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept. None: nothing is, or it is damaged, so that numba compiles.

        Numba's own method first loads everything that its compiler needs, which takes half a second. Kept code needs
        only numba's runtime.
        """
        rtsys.initialize(target_context)
        try:
            found = self._load_overload(sig, target_context)
        except Exception:  # whatever unpickling makes of a damaged file
            with suppress(OSError):
                self.flush()
            found = None
        if found is None:
            announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, if the folder can be written to."""
        with suppress(OSError):
            super().save_overload(sig, data)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if hasattr(dispatcher, "_cache"):  # not if compilation is switched off
        with suppress(RuntimeError):  # no folder can be written to: kernels are compiled in every process
            dispatcher._cache = _Cache(function)
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator of kernels. They are compiled on first use and kept on disk, release the interpreter's lock, and use
    IEEE arithmetic.

    A kernel must not make arrays, since it is compiled without reference counts. Counting the references of a tuple of
    arrays in every call would take a tenth of a short sentence's time.
    """
    return _compiled(function, _nrt=False)


def part(function: Callable[..., Any]) -> Any:
    """Decorator of parts of a kernel, which are inlined. A real call would copy each word of a tuple of arrays."""
    return _compiled(function, _nrt=False, forceinline=True)


def contracted_kernel(function: Callable[..., Any]) -> Any:
    """Decorator of kernels for physics, which promise no exact bits. They may make arrays, and round a · b + c once."""
    return _compiled(function, fastmath={"contract"})


def compiled(function: Any, *arguments: Any) -> Any:
    """Return a kernel's code for arguments of these types. It must not be called with any other types.

    A normal call begins by inspecting its arguments' types. For nested tuples, this takes longer than a block does for
    a short sentence.
    """
    if not hasattr(function, "overloads"):  # compiling is switched off
        return function
    kinds = tuple(map(numba.typeof, arguments))
    function.compile(kinds)
    return function.overloads[kinds].entry_point
