"""Tries inputs one after another, in this process: a line of JSON before each (its number) and after it (what came)."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

SECONDS, BYTES = 10, 2 * 2**30
"""Of processor time for one input; of memory that is written to."""

PROCESSES = 0.003
"""Share of the commands that run in a process of their own."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(BaseException):
    """More than :data:`SECONDS`."""


class Unclean(Exception):
    """What came out is no JSON, more than one line, or holds what another program would run."""


def attempt(number: int, seed: int, names: list[str] | None) -> dict[str, Any]:
    """Spoil one file of the bench (the working folder), or make up a command line, and run it."""
    from .mutate import FIELDS, spoil_bytes
    from .subjects import SUBJECTS, choose

    draw = Random(f"{seed}:{number}")
    name = choose(draw, names)
    subject = SUBJECTS[name]
    report: dict[str, Any] = {"subject": name}
    if name == "arguments":
        from .arguments import line

        return report | {"parses": True, **outcome(command=line(draw), process=False)}
    path = Path(draw.choice([file for file in subject.files if Path(file).exists()]))
    sound = path.read_bytes()
    by_field = path.suffix in FIELDS and draw.random() < 0.75
    spoiled = FIELDS[path.suffix](sound, draw) if by_field else spoil_bytes(sound, draw)
    sealing = (path.with_name(name) for name in ("config.json", "manifest.json") if subject.seal)
    beside = {file: file.read_bytes() for file in sealing if file.is_file()}
    path.write_bytes(spoiled)
    try:
        if subject.seal:
            subject.seal(path)
        report |= {"file": path.name, "parses": parses(path.suffix, spoiled), "changed": spoiled != sound}
        if subject.check is not None:
            return report | outcome(check=subject.check, path=path)
        text = draw.choice(subject.commands).replace("{}", str(path))
        return report | outcome(command=shlex.split(text), process=draw.random() < PROCESSES)
    finally:
        for file, data in {**beside, path: sound}.items():
            file.parent.mkdir(parents=True, exist_ok=True)  # a run that went through has tidied up
            file.write_bytes(data)


def parses(suffix: str, data: bytes) -> bool:
    """Whether a plain parser of this kind of file takes it."""
    import gzip

    import yaml

    try:
        if suffix in (".json", ".part"):
            json.loads(data)
        elif suffix == ".yaml":
            yaml.safe_load(data)
        elif suffix == ".gz":
            return len(data) < 10**6 and bool(json.loads(gzip.decompress(data)))
        elif suffix == ".safetensors":
            from safetensors.numpy import load

            load(data)
        elif suffix in (".npy", ".parquet"):
            return data[:4] in (b"\x93NUM", b"PAR1")
        else:
            data.decode("utf-8")
    except (Exception, RecursionError):
        return False
    return True


def outcome(
    command: list[str] | None = None, check: Any = None, path: Any = None, process: bool = False
) -> dict[str, Any]:
    """What came: ``kind`` is accepted, refused or failed (with its ``cause``)."""
    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    about = {"command": command}
    try:
        with limited():
            if check is not None:
                check(path)
                return {"kind": "accepted"}
            code = in_process(command or []) if process else in_this_process(command or [])
        return about | {"kind": "accepted" if code in (0, 1) else "refused"}
    except TooLong as error:
        return about | {"kind": "failed", "cause": f"hang {place(error)}", "trace": traceback.format_exc()[-1500:]}
    except BaseException as error:
        from matterhorn.errors import InputError

        if check is not None and isinstance(error, (InputError, OSError)):
            return {"kind": "failed", "cause": "Unclean several lines"} if "\n" in str(error) else {"kind": "refused"}
        own = type(error).__name__ in ("Accepted", "Unclean")
        cause = f"{type(error).__name__} {error if own else place(error)}"
        return about | {"kind": "failed", "cause": cause[:150], "trace": traceback.format_exc()[-1500:]}


def place(error: BaseException) -> str:
    """The innermost function of ours."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/matterhorn/" in f.filename]
    return f"{frames[-1].filename.rsplit('/matterhorn/')[-1]}:{frames[-1].name}" if frames else "outside"


@contextmanager
def limited() -> Iterator[None]:
    """Processor time and memory, within a try."""

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def in_process(command: list[str]) -> int:
    """As a user runs it."""
    ran = subprocess.run(
        [sys.executable, "-m", "matterhorn", *command], capture_output=True, stdin=subprocess.DEVNULL, timeout=300
    )
    out, err = ran.stdout.decode("utf-8", "replace"), ran.stderr.decode("utf-8", "replace")
    if "Traceback" in err or ran.returncode < 0:
        raise Unclean("Traceback in a process")
    return clean(command, ran.returncode, out, err)


def in_this_process(command: list[str]) -> int:
    """The same, without a start of a second."""
    from matterhorn.cli import main

    kept = sys.argv, sys.stdin, sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in range(2))
    sys.argv, sys.stdin, sys.stdout, sys.stderr = ["matterhorn", *command], io.StringIO(""), out, err  # type: ignore[assignment]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = kept
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return clean(command, code, *texts)


def clean(command: list[str], code: int, out: str, err: str) -> int:
    """Look over what was printed and written."""

    def refuse(name: str) -> None:
        raise Unclean(f"NaN or infinity in JSON: {command[0]}")

    if code == 0 and "--json" in command:
        json.loads(out, parse_constant=refuse)
    if code == 2 and err.startswith("error:") and err.count("\n") != 1:
        raise Unclean(f"several lines: {command[0]}")
    if CONTROL.search(out) or CONTROL.search(err):
        raise Unclean(f"control characters: {command[0]}")
    for page in Path("out").rglob("*"):
        if page.suffix in (".html", ".cir", ".json") and page.is_file():
            text = page.read_text(encoding="utf-8", errors="replace")
            if page.suffix == ".json":
                json.loads(text, parse_constant=refuse)
            elif "<script>PLANTED" in text or "<!--<script" in text or "\n.include" in text:
                raise Unclean(f"planted code in {page.suffix}: {command[0]}")
    return code


def main() -> None:
    """Arguments: bench, seed, first and last number, step, names of subjects (all)."""
    bench, seed, first, last, step, *names = sys.argv[1:]
    os.chdir(bench)
    os.environ |= {"MATTERHORN_MODELS": f"{bench}/models", "MATTERHORN_GLUE_DIR": f"{bench}/glue"}
    os.environ |= {"XDG_CACHE_HOME": f"{bench}/cache", "HF_HUB_OFFLINE": "1"}
    report, channel = os.fdopen(os.dup(1), "w", buffering=1), open(os.devnull, "w")  # noqa: SIM115
    os.dup2(channel.fileno(), 1)
    import matterhorn.cli  # noqa: F401

    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**27, 2**27))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in range(int(first), int(last), int(step)):
        report.write(json.dumps({"begin": number}) + "\n")
        found = attempt(number, int(seed), names or None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        report.write(json.dumps({"end": number, "mb": peak, **found}, default=str) + "\n")
        gc.unfreeze()


if __name__ == "__main__":
    main()
