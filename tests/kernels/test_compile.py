from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from matterhorn.kernels import compile as compiling

KERNELS = """
from matterhorn.kernels.compile import kernel

@kernel
def add(a, b):
    return a + b

@kernel
def subtract(a, b):
    return a - b
"""


def test_the_first_use_says_once_that_kernels_compile(tmp_path):
    (tmp_path / "some_kernels.py").write_text(KERNELS)
    code = "from some_kernels import add, subtract; print(add(1, 2), subtract(1, 2), add(1.0, 2.0))"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    clean = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean, check=True)
        for _ in range(2)
    )
    assert first.stdout == second.stdout == "3 -1 3.0\n"
    assert first.stderr.count("compiling kernels") == 1 and "matterhorn warm" in first.stderr
    assert second.stderr == ""


def test_what_is_kept_depends_on_all_rooms_that_kernels_take_constants_from():
    text = "\n".join(path.read_text(encoding="utf-8") for path in Path(compiling.__file__).parent.glob("*.py"))
    assert {*re.findall(r"^from \.\.(\w*)", text, re.M), "kernels"} == {*compiling.ROOMS}


def test_what_is_kept_needs_no_compiler(tmp_path):
    (tmp_path / "some_kernels.py").write_text(KERNELS)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    own = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}
    code = "import sys; from some_kernels import add; print(add(1, 2))\nprint('numba.np.linalg' in sys.modules)"
    found = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own) for _ in range(2)]
    assert [one.stdout for one in found] == ["3\nTrue\n", "3\nFalse\n"]


def test_what_is_damaged_is_compiled_anew(tmp_path):
    (tmp_path / "some_kernels.py").write_text(KERNELS)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    own = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}

    def ran() -> str:
        code = "from some_kernels import add; print(add(1, 2))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, check=True).stdout

    assert ran() == "3\n"
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    whole = [path.read_bytes() for path in (tmp_path / "cache").rglob("*.nbc")]
    assert subprocess.run(
        [sys.executable, "-c", "from some_kernels import add; print(add(1.0, 2.0))"], capture_output=True, env=own
    ).stdout
    for path in (tmp_path / "cache").rglob("*.nbc"):  # as two processes may leave it that compile at once
        path.write_bytes(whole[0])
    other = "from some_kernels import add; print(add(1.0, 2.5))"
    done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, env=own)
    assert done.stdout == "3.5\n" and ran() == "3\n" and index.exists()
    generic = own | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path / "other")}
    assert subprocess.run([sys.executable, "-c", other], capture_output=True, env=generic).stdout == b"3.5\n"
    (strange,) = (path.read_bytes() for path in (tmp_path / "other").rglob("*.nbc"))
    for path in (tmp_path / "cache").rglob("*.nbc"):  # code of the right types, for another processor
        path.write_bytes(strange)
    for says in (1, 0):
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, env=own)
        assert done.stdout == "3.5\n" and done.stderr.count("compiling kernels") == says
    for end, data in (("nbi", b""), ("nbi", b"0.0\njunk"), ("nbc", b"\x80\x04junk"), ("nbc", b"")):
        for path in (tmp_path / "cache").rglob(f"*.{end}"):
            path.write_bytes(data)
        assert ran() == "3\n"
