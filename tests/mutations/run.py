"""Measure how strong the tests are: put one fault at a time into a copy of the package, and see which test fails.

Results are JSON: for every fault the test that caught it, or none, and totals by area. Run from anywhere, e.g.
``python tests/mutations/run.py now.json --check``; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}

import numba
import pytest
import torch  # noqa: F401
import transformers
import yaml

HERE, LOG = Path(__file__).resolve().parent, "log.txt"
FORMAT = 1
COPIED = (
    *("matterhorn", "tests", "docs", "models", "pyproject.toml", "LICENSE"),
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
)
_ = transformers.BertForSequenceClassification  # loads on first use


def copy(repo: Path, target: Path) -> None:
    """A fresh copy of what tests need. Dates are kept, as numba trusts a cache only where a source has its date."""
    shutil.rmtree(target, ignore_errors=True)
    for path in (repo / name for name in COPIED):
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif path.is_file():
            shutil.copy2(path, target / path.name)


def put(place: dict[str, str], root: Path) -> None:
    """Replace a text that stands once in its file."""
    path = root / place["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(place["old"]) != 1:
        raise SystemExit(f"{path}: {place['old']!r} stands there {text.count(place['old'])} times, not once")
    path.write_text(text.replace(place["old"], place["new"]), encoding="utf-8")


def run_tests(root: Path, tests: list[str], cache: Path, timeout: float) -> str | None:
    """Run tests of a copy until one fails: its name, ``timeout`` or ``crash``; None where all pass.

    They run in a fork of this process, which has the large libraries loaded already but nothing of the package.
    """
    process = multiprocessing.get_context("fork").Process(target=_pytest, args=(root, tests, cache))
    process.start()
    process.join(timeout)
    if process.is_alive():
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return "timeout"
    text, status = (root / LOG).read_text(encoding="utf-8", errors="replace"), process.exitcode or 0
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", text, re.MULTILINE)
    if failed or status < 0:
        return failed[1] if failed else "crash"
    if status:
        raise SystemExit(f"pytest could not run:\n{text[-3000:]}")
    return None


def _pytest(root: Path, tests: list[str], cache: Path) -> None:
    os.setsid()
    log = os.open(root / LOG, os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    numba.config.CACHE_DIR = str(cache / "numba")
    os.environ |= {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": numba.config.CACHE_DIR}
    os.environ["XDG_CACHE_HOME"] = str(cache / "user")
    loaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported here already
    status = pytest.main(["-x", "-q", "-rfE", "-p", "no:cacheprovider", "--hypothesis-seed=0", *loaded, *tests])
    found = getattr(sys.modules.get("matterhorn"), "__file__", None) or ""
    os._exit(int(status) if found.startswith(str(root)) else 70)


def save(path: Path, results: dict[str, dict[str, Any]]) -> None:
    """Write results and their totals by area."""
    kinds = {"caught": Counter[str](), "of": Counter[str]()}
    for row in results.values():
        for area in (row["area"], "all"):
            kinds["of"][area] += 1
            kinds["caught"][area] += row["caught"]
    totals = {area: {kind: count[area] for kind, count in kinds.items()} for area in kinds["of"]}
    document = {"format": FORMAT, "totals": totals, "faults": results}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def known(path: Path) -> dict[str, dict[str, Any]]:
    """Results of an earlier run; none where there was no run."""
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"format": FORMAT, "faults": {}}
    if document.get("format") != FORMAT:
        raise SystemExit(f"{path}: not results of format {FORMAT}")
    return dict(document["faults"])


def main() -> None:
    """Go through the list, from where an earlier run stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="JSON file; faults that are in it are not run again")
    parser.add_argument("--list", type=Path, default=HERE / "mutations.yaml")
    parser.add_argument("--repo", type=Path, default=HERE.parents[1])
    parser.add_argument("--place", default="now", help="which of a fault's places, and which tests")
    parser.add_argument("--tests", nargs="+", help="run these instead")
    parser.add_argument("--only", nargs="+", help="ids or areas")
    parser.add_argument("--check", action="store_true", help="first see that the tests pass without a fault")
    parser.add_argument("--timeout", type=float, default=300, help="seconds; a fault that takes longer is caught")
    args = parser.parse_args()

    listed = yaml.safe_load(args.list.read_text(encoding="utf-8"))
    tests = listed["tests"][args.place] if not args.tests else {f["area"]: args.tests for f in listed["faults"]}
    faults = [f for f in listed["faults"] if args.place in f]
    faults = [f for f in faults if not args.only or {f["id"], f["area"]} & set(args.only)]
    results = known(args.results)
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder, "copy"), Path(folder, "cache")
        if args.check:
            for chosen in {tuple(tests[f["area"]]) for f in faults}:
                copy(args.repo, root)
                if failed := run_tests(root, list(chosen), cache, 3 * args.timeout):
                    raise SystemExit(f"without any fault: {failed}")
                print("all pass without a fault:", *chosen, flush=True)
        for fault in (f for f in faults if f["id"] not in results):
            copy(args.repo, root)
            put(fault[args.place], root)
            own = Path(folder, "own")  # a fault in one kernel compiles all anew: not into the cache of the sound ones
            shutil.rmtree(own, ignore_errors=True)
            begin = time.monotonic()
            kept = own if "kernels" in fault[args.place]["file"] else cache
            by = run_tests(root, tests[fault["area"]], kept, args.timeout)
            seconds = round(time.monotonic() - begin)
            results[fault["id"]] = {"area": fault["area"], "caught": by is not None, "by": by, "seconds": seconds}
            save(args.results, results)
            print(f"{fault['id']:32} {'caught by ' + by if by else 'SURVIVED'} ({seconds} s)", flush=True)


if __name__ == "__main__":
    main()
