"""One run, one process: a folder is gone on with by the same run only, and by one at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from matterhorn.errors import InputError
from matterhorn.storage import claim, finish

ABOUT = {"recipe": {"seed": 1, "phases": [{"k": 0}, {"k": 3}]}, "rows": {"sst2": "a" * 64}}
HOLD = (
    "import sys, time; from pathlib import Path; from matterhorn.storage import claim\n"
    "with claim(Path(sys.argv[1]), {'seed': 1}, ()): print('held', flush=True); time.sleep(60)\n"
)


def changed(**changes):
    return json.loads(json.dumps(ABOUT)) | changes


def test_the_same_run_goes_on(tmp_path):
    for _ in range(2):
        with claim(tmp_path / "run", ABOUT, ("phase-[0-9]*",)):
            (tmp_path / "run" / "phase-0").mkdir(exist_ok=True)
    assert (tmp_path / "run" / "phase-0").is_dir()
    finish(tmp_path / "run", ("phase-[0-9]*",))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (changed(recipe={"seed": 2, "phases": [{"k": 0}, {"k": 3}]}), r"recipe\.seed \(1, now 2\)"),
        (changed(recipe={"seed": 1, "phases": [{"k": 0}, {"k": 2}]}), r"recipe\.phases\.1\.k \(3, now 2\)"),
        (changed(recipe={"seed": 1, "phases": [{"k": 0}]}), r"recipe\.phases"),
        (changed(rows={"sst2": "b" * 64}), r"another rows\.sst2; give --restart"),
        (changed(rows={}), r"rows\.sst2"),
        (changed(more=1), r"more"),
    ],
)
def test_another_run_is_refused_and_says_what_differs(tmp_path, about, says):
    with claim(tmp_path, ABOUT, ()):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=says), claim(tmp_path, about, ()):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_restart_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    with claim(tmp_path, ABOUT, ("phase-[0-9]*",)):
        (tmp_path / "phase-0").mkdir()
        (tmp_path / "notes").write_text("mine")
    with claim(tmp_path, changed(more=1), ("phase-[0-9]*",), restart=True):
        assert not (tmp_path / "phase-0").exists() and (tmp_path / "notes").read_text() == "mine"
    with pytest.raises(InputError, match="more"), claim(tmp_path, ABOUT, ()):
        pass
    finish(tmp_path, ("phase-[0-9]*",))
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_others_is_left_alone(tmp_path, restart):
    (tmp_path / "thesis.tex").write_text("mine")
    refused = pytest.raises(InputError, match=r"not the folder of a run: it holds thesis\.tex")
    with refused, claim(tmp_path, ABOUT, ("*",), restart=restart):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="not a folder"), claim(tmp_path / "thesis.tex", ABOUT, ()):
        pass


def test_a_second_process_is_told_who_holds_it(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        told = rf"held by process {first.pid} on .* since .*wait until it has ended"
        with pytest.raises(InputError, match=told), claim(tmp_path, {"seed": 1}, ()):
            pass
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        first.stdout.close()
    with claim(Path(tmp_path), {"seed": 1}, ()):  # the dead hold nothing
        pass


@pytest.mark.parametrize("restart", [False, True])
def test_another_s_about_json_is_no_run(tmp_path, restart):
    (tmp_path / "about.json").write_text('{"mine": 1}')
    (tmp_path / "teacher").mkdir()
    refused = pytest.raises(InputError, match=r"not the folder of a run: it holds about\.json; give another folder")
    with refused, claim(tmp_path, ABOUT, ("teacher",), restart=restart):
        pass
    assert (tmp_path / "about.json").read_text() == '{"mine": 1}' and (tmp_path / "teacher").is_dir()


def test_what_lies_in_the_place_of_a_lock_stays(tmp_path):
    for name, lay in (
        (".lock", Path.mkdir),
        (".lock", lambda path: path.write_text("mine")),
        (".lock", lambda path: path.symlink_to("/nowhere")),
        (".lock-holder", lambda path: path.write_text("mine")),
    ):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        lay(folder / name)
        with pytest.raises(InputError, match="not a lock file; move it away"), claim(folder, ABOUT, ()):
            pass
        assert os.path.lexists(folder / name)
