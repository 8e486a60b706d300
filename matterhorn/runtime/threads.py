"""How many threads an engine runs on."""

from __future__ import annotations

import os

import numpy as np

from ..errors import InputError


def threads_of(given: int | None) -> int:
    """Return the number of threads: ``given``, else ``OMP_NUM_THREADS``, else that of the processors that may be used.

    Raises:
        InputError: ``given`` is not 1 or more.
    """
    if given is None:
        named = os.environ.get("OMP_NUM_THREADS", "")
        return int(named) if named.isdecimal() and int(named) > 0 else processors()
    if not isinstance(given, (int, np.integer)) or given < 1:
        raise InputError(f"{given!r} threads", field="threads", cure="give 1 or more")
    return int(given)


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def too_many(threads: int, error: RuntimeError) -> InputError:
    """Return the error for threads that the system does not start."""
    return InputError(f"{threads} threads cannot be started ({error})", field="threads", cure="give fewer")
