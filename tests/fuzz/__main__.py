"""``python -m tests.fuzz --inputs 1000000``: a campaign. Prints causes of failure, most frequent first."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

WALL = 600
"""Seconds without a word from a worker: it hangs where no signal reaches it."""


def bench(folder: Path) -> Path:
    """Lay the bench in a process of its own, so that nobody carries its libraries on."""
    subprocess.run([sys.executable, "-m", "tests.fuzz.lay", str(folder)], check=True, stderr=subprocess.DEVNULL)
    return folder


class Worker:
    """A process over every ``step``-th number; started anew behind an input that ended it."""

    def __init__(self, whole: Path, seed: int, first: int, last: int, step: int, names: list[str]):
        self.whole, self.seed, self.next, self.last, self.step, self.names = whole, seed, first, last, step, names
        self.place = whole.with_name(f"{whole.name}-{first}")
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """From the next number on, in a fresh copy of the bench."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.whole, self.place)
        numbers = map(str, (self.seed, self.next, self.last, self.step))
        command = [sys.executable, "-m", "tests.fuzz.worker", str(self.place), *numbers, *self.names]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.heard = time.monotonic()

    @property
    def output(self) -> IO[str]:
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout

    def stop(self) -> int | None:
        """End the process; how it ended."""
        assert self.process is not None
        self.process.kill()
        self.output.close()
        return self.process.wait()


def campaign(
    whole: Path, inputs: int, seed: int = 0, processes: int = 2, names: list[str] | None = None, first: int = 0
) -> Iterator[dict[str, Any]]:
    """What came of every input."""
    last = first + inputs
    workers = [Worker(whole, seed, first + i, last, processes, names or []) for i in range(processes)]
    try:
        while workers:
            chosen = selectors.DefaultSelector()
            for worker in workers:
                chosen.register(worker.output, selectors.EVENT_READ, worker)
            ready = [key.data for key, _ in chosen.select(timeout=5)]
            chosen.close()
            for worker in list(workers):
                line = worker.output.readline() if worker in ready else ""
                if line:
                    worker.heard = time.monotonic()
                    found = json.loads(line)
                    if "end" in found:
                        worker.next = found["end"] + worker.step
                        yield found
                elif worker in ready or time.monotonic() - worker.heard > WALL:
                    code, number = worker.stop(), worker.next
                    worker.next += worker.step
                    if number < last:
                        about = {"end": number, "subject": "?", "kind": "failed", "parses": True}
                        yield about | {"cause": "ended the process" if worker in ready else "hang", "code": code}
                    if worker.next < last:
                        worker.start()
                    else:
                        workers.remove(worker)
    finally:
        for worker in workers:
            worker.stop()


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, and every cause of failure with how often and an input of it."""
    causes = Counter(one["cause"] for one in found if one["kind"] == "failed")
    examples = {one["cause"]: one for one in reversed(found) if one["kind"] == "failed"}
    return {
        "inputs": len(found),
        "parses": sum(one["parses"] for one in found),
        "kinds": dict(Counter(one["kind"] for one in found)),
        "subjects": dict(Counter(one["subject"] for one in found)),
        "peak_mb": max((one.get("mb", 0) for one in found), default=0),
        "causes": [{"times": n, **examples[cause]} for cause, n in causes.most_common()],
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Number of the first input.")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--subject", action="append", help="Only this kind of input; may be given several times.")
    parser.add_argument("--bench", type=Path, help="Keep the sound files here.")
    parser.add_argument("--output", type=Path, help="Write the summary here (.json).")
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = given.bench or Path(place) / "bench"
        whole = folder if folder.exists() else bench(folder)
        begun, found = time.monotonic(), []
        for one in campaign(whole.resolve(), given.inputs, given.seed, given.processes, given.subject, given.first):
            found.append(one)
            if one["kind"] == "failed":
                print(f"{one['end']}: {one['cause']}", file=sys.stderr, flush=True)
            if len(found) % 100 == 0:
                print(f"{len(found)} inputs, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
                if given.output:
                    given.output.write_text(json.dumps(summary(found), indent=1) + "\n")
        answer = summary(found) | {"seconds": round(time.monotonic() - begun)}
    if given.output:
        given.output.write_text(json.dumps(answer, indent=1) + "\n")
    for cause in answer["causes"]:
        print(
            f"{cause['times']:6} × {cause['cause']}  (e.g. --first {cause['end']} --inputs 1: {cause.get('command')})"
        )
    print({name: value for name, value in answer.items() if name != "causes"})
    sys.exit(1 if answer["causes"] else 0)


if __name__ == "__main__":
    main()
