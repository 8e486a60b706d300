"""How all kernels are compiled, and how long the compiled code is cached."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys
from numba.core.sigutils import normalize_signature


@cache
def sources() -> str:
    """Hash of all sources of this room: kernels call each other across files, and some are generated."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def announce() -> None:
    """Say, once in a process, why the first call of a kernel takes long."""
    text = "matterhorn: compiling kernels, once on this machine: about a minute (matterhorn warm does it beforehand)"
    print(text, file=sys.stderr, flush=True)


class _Cache(FunctionCache):
    """Numba's cache on disk, whose key also holds :func:`sources`: numba itself looks at one file only."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept; where nothing is, or it is damaged, numba compiles next.

        Numba first loads all that its compiler knows (half a second); kept code needs its runtime alone.
        """
        rtsys.initialize(target_context)
        try:
            found = self._load_overload(sig, target_context)
            if found is not None and tuple(found.signature.args) != tuple(normalize_signature(sig)[0]):
                raise ValueError("code of other types, as two processes may leave it that compile at once")
        except Exception:  # whatever unpickling makes of a damaged file
            with suppress(OSError):
                self.flush()
            found = None
        if found is None:
            announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, if there is a place that can be written to."""
        with suppress(OSError):
            super().save_overload(sig, data)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if hasattr(dispatcher, "_cache"):  # it has not where compiling is switched off
        with suppress(RuntimeError):  # no folder for it: compiled in every process
            dispatcher._cache = _Cache(function)
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator: compiled on first use, kept on disk, without the interpreter's lock, with IEEE arithmetic.

    A kernel makes no arrays, so nobody counts references to those it is given: counting them, at each call with a tuple
    of arrays, would take a tenth of a sentence's time.
    """
    return _compiled(function, _nrt=False)


def part(function: Callable[..., Any]) -> Any:
    """As :func:`kernel`, compiled into its caller: handing over a tuple of arrays copies each word of it."""
    return _compiled(function, _nrt=False, forceinline=True)


def contracted_kernel(function: Callable[..., Any]) -> Any:
    """As :func:`kernel`, but it may make arrays, and a · b + c may be rounded once (for physics, where no bits are
    promised)."""
    return _compiled(function, fastmath={"contract"})


def compiled(function: Any, *arguments: Any) -> Any:
    """A kernel's code for arguments of these types, without the look at their types that each call begins with: for
    nested tuples that takes longer than a short sentence's block. It must be given no others."""
    if not hasattr(function, "overloads"):  # compiling is switched off
        return function
    kinds = tuple(map(numba.typeof, arguments))
    function.compile(kinds)
    return function.overloads[kinds].entry_point
