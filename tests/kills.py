"""Commands killed at random moments, or on a full disk: ``python -m tests.kills COMMAND FOLDER COUNT SEED``.

Every try is a fork of a process that has imported everything, so that moments fall into the work. After each, the
output is the old one or the new, whole, and a file of somebody else's beside it is as it was. Prints what was found.
A folder on a disk of less than 1 GiB (``mount -t tmpfs -o size=32m tmpfs FOLDER``) is filled up to a random number of
bytes; elsewhere no file may become longer than that, which fails alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from safetensors.numpy import load_file
from tqdm import tqdm
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.distill.recipe import load_recipe
from matterhorn.distill.run import train
from matterhorn.models.convert import convert_folder
from matterhorn.storage import MANIFEST_FILE, read_manifest, settle
from tests.tiny import lay_dev, lay_network, lay_out, lay_run

Work = Callable[[], object]
SMALL = 2**30
"""Bytes of a disk that is filled."""

HANGS = 600
"""Seconds after which a fork that nobody kills is said to hang."""

tqdm.monitor_interval = 0  # no thread for its bars: a fork would inherit the lock that it holds, and wait forever

PLACES = ("teacher", "phase-0-k0", "phase-1-k1")


def run(*arguments: object) -> None:
    """A command, in this process; raises where it fails."""
    code = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False).exit_code
    if code:
        raise SystemExit(code)


def fork(work: Work, seconds: float | None = None, most: int | None = None) -> bool:
    """Work in a fork, killed after so many seconds, or where no file may be longer than ``most`` bytes; whether it came
    to its end. One that hangs fails."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        tqdm.set_lock(threading.RLock())  # its own is shared with all forks: one killed while it writes never frees it
        signal.alarm(HANGS)
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    if seconds is not None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.waitpid(child, os.WNOHANG)[0]:
                return True
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code != -signal.SIGALRM, "hangs"
    return code == 0


@contextlib.contextmanager
def scarce(folder: Path, sizes: list[int], draw: random.Random) -> Iterator[int | None]:
    """A disk with too little room for files of these sizes: a small one is filled, of a large one a bound of files is
    given, for :func:`fork`."""
    disk = os.statvfs(folder)
    if disk.f_blocks * disk.f_frsize > SMALL:
        yield draw.randrange(max(sizes))
        return
    filler = folder / "filler"
    with filler.open("wb") as file:
        free = disk.f_bavail * disk.f_frsize
        os.posix_fallocate(file.fileno(), 0, max(1, free - draw.randrange(sum(sizes))))
    try:
        yield None
    finally:
        filler.unlink()


def files_in(folder: Path) -> dict[Path, int]:
    """All files in a folder, with their sizes."""
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def whole(folder: Path) -> dict[str, str]:
    """Content of a folder with a manifest, checked by it."""
    settle(folder)
    manifest = read_manifest(folder)
    assert manifest is not None, f"no manifest in {folder}"
    for name in manifest.files:
        manifest.read(folder, name)
    theirs = {path.name for path in folder.iterdir() if path.name[0] != "."} - {*manifest.files, MANIFEST_FILE}
    assert theirs == {"notes.txt"} and (folder / "notes.txt").read_text() == "mine"
    return dict(manifest.files)


def try_folder(
    command: tuple[object, ...], other: tuple[object, ...], place: Path, count: int, seed: int
) -> Counter[str]:
    """Replace what ``other`` wrote by what ``command`` writes, killed again and again, and on ever fuller disks."""
    found: Counter[str] = Counter()
    contents = {}
    for name, one in (("old", other), ("new", command)):
        shutil.rmtree(place, ignore_errors=True)
        start = time.monotonic()
        assert fork(lambda one=one: run(*one)), f"{name} fails"  # type: ignore[misc]
        seconds = time.monotonic() - start
        (place / "notes.txt").write_text("mine")
        contents[name] = whole(place)
        if name == "old":
            shutil.copytree(place, kept := place.with_name("kept"))
    vary = {"README.md", "results.json"}  # which tell when they were written
    sizes, draw = [*files_in(place).values()], random.Random(seed)
    ways, tries = Counter[str](), 0
    while ways["killed"] < count or ways["full"] < count // 2:
        tries += 1
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        if ways["killed"] < count:
            ended, how = fork(lambda: run(*command), seconds=draw.uniform(0, 1.1 * seconds)), "killed"
        else:
            with scarce(place.parent, sizes, draw) as room:
                ended, how = fork(lambda: run(*command), most=room), "full"
        how = "ended" if ended else how
        ways[how] += 1
        now = whole(place)
        same = [n for n, files in contents.items() if files.items() - now.items() <= {(v, files.get(v)) for v in vary}]
        assert len(same) == 1 and now.keys() == contents[same[0]].keys(), (tries, now, contents)
        found[f"{how}, {same[0]}"] += 1
        left = [path for path in (*place.parent.glob(".matterhorn-*"), *place.glob(".matterhorn-*"))]
        for path in left:  # the next to write sweeps them
            found["left aside"] += 1
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def convert(folder: Path, count: int, seed: int) -> Counter[str]:
    """A program replaces another."""
    one, two = (lay_network(folder / f"network-{k}", "rte", k) for k in (1, 2))
    place = folder / "out" / "program"
    ways = [("convert", network, place, "--task", "rte", "--overwrite") for network in (two, one)]
    return try_folder(ways[0], ways[1], place, count, seed)


def publish(folder: Path, count: int, seed: int) -> Counter[str]:
    """A published model replaces another."""
    rows, place = lay_dev(folder / "glue", "rte"), folder / "out" / "mine"
    ways = []
    for name in ("two", "one"):
        source = lay_run(folder / name, "rte")
        progress = {"format": 2, "best": 0, "best_step": 1, "step": 1, "history": [], "done": True}
        for phase in source.glob("phase-*"):
            (phase / "last").mkdir()
            (phase / "last" / "state.json").write_text(json.dumps(progress))
        plain = yaml.safe_load((source / "recipe.yaml").read_text()) | {"seed": len(ways)}
        (source / "recipe.yaml").write_text(yaml.safe_dump(plain))
        ways.append(("publish", source, place, "--glue-dir", rows, "--verify-rows", "2", "--overwrite"))
    return try_folder(ways[0], ways[1], place, count, seed)


def export(folder: Path, count: int, seed: int) -> Counter[str]:
    """Conductance maps replace others."""
    convert_folder(lay_network(folder / "network", "rte", 1), task="rte").save(folder / "program")
    place = folder / "out" / "maps"
    common = ("msu", "export", place, "--model", folder / "program", "--overwrite")
    return try_folder((*common, "--device", "pcm"), (*common, "--connection", "block.0.ffn1"), place, count, seed)


def until_done(folder: Path, work: Work, count: int, seed: int, fresh: Callable[[], Work], check: Work) -> Counter[str]:
    """Kill work that goes on where it was, again and again, every third time on a full disk instead; when it is done,
    check it and begin anew."""
    found: Counter[str] = Counter()
    start, before = time.monotonic(), files_in(folder)
    assert fork(work), "fails"
    seconds, draw = time.monotonic() - start, random.Random(seed)
    sizes = [many for path, many in files_in(folder).items() if path not in before]
    work = fresh()
    while found["killed"] < count:
        if sum(found.values()) % 3 < 2:
            ended, how = fork(work, seconds=draw.uniform(0, seconds)), "killed"
        else:
            with scarce(folder, sizes, draw) as room:
                ended, how = fork(work, most=room), "full"
        found["ended" if ended else how] += 1
        if ended:
            check()
            work = fresh()
    assert fork(work), "does not end"
    check()
    return found


def training(folder: Path, count: int, seed: int) -> Counter[str]:
    """A run ends to the bit as one that was never killed."""
    recipe = lay_out(folder)
    number = [0]

    def here(name: str) -> Work:
        return lambda: train(load_recipe(recipe), folder / name, folder / "glue")

    def fresh() -> Work:
        shutil.rmtree(folder / f"run-{number[0]}", ignore_errors=True)
        number[0] += 1
        return here(f"run-{number[0]}")

    def check() -> None:
        for place in PLACES:
            for file in ("last/state.safetensors", "best/model.safetensors"):
                ours, other = (load_file(folder / name / place / file) for name in (f"run-{number[0]}", "whole"))
                assert ours.keys() == other.keys()
                assert [name for name in other if (ours[name] != other[name]).any()] == [], (place, file)
            assert (folder / f"run-{number[0]}" / place / "best" / "tokenizer.json").is_file()

    return until_done(folder, here("whole"), count, seed, fresh, check)


def study(folder: Path, count: int, seed: int) -> Counter[str]:
    """A study's answer is that of one that was never killed."""
    convert_folder(lay_network(folder / "network", "rte", 1), task="rte").save(folder / "program")
    rows, points = lay_dev(folder / "glue", "rte"), folder / "points.yaml"
    studies = {"deviation": {"title": "noise", "unit": "%", "values": [0, 10, 20, 40]}}
    points.write_text(yaml.safe_dump({"device": "rram-wan", "circuit": "ideal-128", "studies": studies}))
    output = folder / "study.json"
    options = ("--task", "rte", "--glue-dir", rows, "--model", folder / "program", "--points", points, "--chips", "4")

    def work() -> None:
        run("msu", "study", *options, "--output", output)

    right: list[str] = []

    def fresh() -> Work:
        right.extend([] if right else [output.read_text()])
        output.unlink()
        return work

    def check() -> None:
        assert output.read_text() == right[0]
        assert not list(folder.glob("study.json.*"))

    return until_done(folder, work, count, seed, fresh, check)


if __name__ == "__main__":
    name, place, count, seed = sys.argv[1:]
    Path(place).mkdir(parents=True, exist_ok=True)
    told = globals()[name](Path(place), int(count), int(seed))
    print(json.dumps(told))
