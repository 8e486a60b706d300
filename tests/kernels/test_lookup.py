"""Look-ups give the same sums on every kind of processor: what each compiles is run here, or compiled for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import hashlib
from matterhorn.runtime.events import EventsBackend
from tests.kernels.arrays import array, code_and_slots, connection, population
digest = hashlib.sha256()
for kind, bits, mean in (("int1", 4, True), ("int4", 4, False), ("ternary", 6, True)):
    for fan_in, fan_out in ((100, 200), (384, 448)):
        code, slots = code_and_slots(bits, 1, 3, fan_in, mean=mean)
        out = EventsBackend().integrate(slots, array(connection(kind, fan_in, fan_out)), population(code, fan_in))
        digest.update(out[:, :fan_out].tobytes())
print(digest.hexdigest())
"""


def digest_on(folder, features: str | None) -> str:
    """What a process gives whose kernels are compiled for a processor with these features (None: this one)."""
    known = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    if features is not None:
        known |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=known, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_every_processor_gives_the_same_sums(tmp_path):
    kinds = [None, "", "+ssse3", "+avx,+avx2,+ssse3"] if os.uname().machine == "x86_64" else [None, ""]
    assert len({digest_on(tmp_path / str(i), kind) for i, kind in enumerate(kinds)}) == 1
