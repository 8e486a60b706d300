"""Files and folders in place: whole at every moment, and nothing of others touched."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from matterhorn.errors import InputError
from matterhorn.storage import check_file, check_folder, put_file, put_folder, read_manifest, settle

OLD, NEW = {"a": "old a", "b": "old b", "gone": "old"}, {"a": "new a", "b": "old b", "more": "new"}
CALLS = ("open", "replace", "rename", "fsync", "mkdir", "rmdir", "unlink")
"""Calls of the operating system at which a process may die or the disk be full."""


def lay(folder: Path, files: dict[str, str], kind: str = "maps", **options: bool) -> None:
    def write(fresh: Path) -> None:
        for name, text in files.items():
            (fresh / name).write_text(text)

    put_folder(folder, kind, write, **options)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no files")
def test_a_place_that_takes_no_files_is_refused_in_one_line():
    for write in (put_file, lambda path, _: lay(path, NEW)):
        for path in (Path("/proc/mine"), Path("/proc/mine/own")):
            with pytest.raises(InputError, match=r"^/proc/mine.*output: cannot be created"):
                write(path, "mine")


class Killed(BaseException):
    """Unlike an error it is not to be caught; what stands behind ``finally`` is not to run either."""


def failing(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[str]:
    """Let the call of that number fail, and after a kill every later one too; returns what was called."""
    called: list[str] = []

    def wrapped(name, own):
        def call(*arguments, **options):
            called.append(name)
            if len(called) == number or (len(called) > number and isinstance(error, Killed)):
                raise error
            return own(*arguments, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))
    return called


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "No space left on device")], ids=["kill", "full"])
def test_at_every_call_the_old_folder_or_the_new_stands(tmp_path, monkeypatch, error):
    """After a kill the next to look finishes what was begun; other files are never touched."""
    seen, number = set(), 0
    while True:
        number += 1
        folder = tmp_path / f"{number}"
        lay(folder, OLD)
        (folder / "mine").write_text("mine")
        with monkeypatch.context() as patch:
            called = failing(patch, number, error)
            with suppress(Killed, OSError):
                lay(folder, NEW)
            finished = len(called) < number
        settle(folder)
        found = content(folder)
        assert found.pop("mine") == "mine"
        assert found in (OLD, NEW), number
        manifest = read_manifest(folder)
        assert manifest is not None and manifest.files.keys() == found.keys()
        seen.add(found == NEW)
        lay(folder, NEW)
        assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "manifest.json", "mine", "more"] or (
            isinstance(error, Killed)  # this process lives: what it left is not swept
        )
        if finished:
            break
    assert seen == {True, False} and number > 15


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "No space left on device")], ids=["kill", "full"])
def test_at_every_call_the_old_file_or_the_new_stands(tmp_path, monkeypatch, error):
    for number in range(1, 12):
        path = tmp_path / f"{number}.txt"
        path.write_text("old")
        with monkeypatch.context() as patch:
            failing(patch, number, error)
            with suppress(Killed, OSError):
                put_file(path, "new")
        assert path.read_text() in ("old", "new")


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead, alive, far = (
        tmp_path / f".matterhorn-{host}-{process}-0"
        for host, process in ((socket.gethostname(), int(done.stdout)), (socket.gethostname(), 1), ("far", 1))
    )
    for path in (dead, alive, far):
        path.mkdir()
        (path / "half").write_text("half")
    put_file(tmp_path / "file", "text")
    assert not dead.exists() and alive.is_dir() and far.is_dir()


@pytest.mark.parametrize("number", ["9" * 30, "²", "0"])
def test_what_is_named_like_ours_but_of_no_process_is_left(tmp_path, number):
    planted = tmp_path / f".matterhorn-{socket.gethostname()}-{number}-0"
    planted.write_text("theirs")
    put_file(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text" and planted.read_text() == "theirs"


def test_files_of_others_are_left_alone_and_in_the_way(tmp_path):
    (tmp_path / "b").write_text("theirs")
    with pytest.raises(InputError, match="b: output: was not written by matterhorn"):
        lay(tmp_path, NEW)
    assert content(tmp_path) == {"b": "theirs"}
    (tmp_path / "b").write_text(NEW["b"])  # the same is in nobody's way
    lay(tmp_path, NEW)
    assert content(tmp_path) == NEW


def test_an_edited_file_does_not_go_with_the_old_ones(tmp_path):
    lay(tmp_path, OLD)
    (tmp_path / "gone").write_text("edited")
    lay(tmp_path, NEW)
    assert content(tmp_path) == NEW | {"gone": "edited"}


def test_another_kind_is_not_replaced(tmp_path):
    lay(tmp_path / "network", OLD, "network")
    with pytest.raises(InputError, match="of kind 'network', not 'program'"):
        lay(tmp_path / "network", NEW, "program")
    with pytest.raises(InputError, match="of kind 'network', not 'program'"):
        check_folder(tmp_path / "network", "program", overwrite=True)
    assert content(tmp_path / "network") == OLD


def test_files_can_be_added(tmp_path):
    lay(tmp_path, OLD)
    lay(tmp_path, {"a": "new a"}, keep=True)
    assert content(tmp_path) == OLD | {"a": "new a"}
    assert read_manifest(tmp_path).files.keys() == OLD.keys()


def test_a_failure_leaves_nothing(tmp_path):
    def write(fresh):
        (fresh / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_folder(tmp_path / "new", "maps", write)
    with pytest.raises(KeyboardInterrupt):
        put_file(tmp_path / "file", lambda fresh: (fresh.write_text("half"), write(tmp_path)))
    assert content(tmp_path) == {"half": "half"} and not (tmp_path / "new").exists()


def test_a_link_is_followed_and_the_mode_is_kept(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    put_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


@pytest.fixture
def strange(tmp_path):
    """What is no file and no folder."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
    (tmp_path / "to-device").symlink_to("/dev/null")
    (tmp_path / "to-nothing").symlink_to("nowhere")
    (tmp_path / "file").write_text("a file")
    return tmp_path


@pytest.mark.parametrize("name", ["pipe", "socket", "to-device", "to-nothing", "/dev/null"])
def test_only_files_and_folders_are_replaced(strange, name):
    before = os.lstat(strange / name).st_mode
    for attempt in (
        lambda: put_file(strange / name, "text"),
        lambda: lay(strange / name, NEW),
        lambda: check_file(strange / name, "--output"),
        lambda: check_folder(strange / name, "maps", overwrite=True),
    ):
        with pytest.raises(InputError, match=r"not a regular file|not a folder|a link to nothing|mount point"):
            attempt()
    assert os.lstat(strange / name).st_mode == before


def test_places_are_checked_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.csv").write_text("text")
    for place, *sources in (("in", "in"), ("in/deep/er", "in"), (".", "in"), ("in", "in/rows.csv"), ("in/../in", "in")):
        with pytest.raises(InputError, match="overlaps"):
            check_folder(tmp_path / place, "maps", *(tmp_path / source for source in sources), overwrite=True)
    with pytest.raises(InputError, match=r"rows\.csv: output: was not written by matterhorn.*--overwrite"):
        check_folder(tmp_path / "in", "maps")
    check_folder(tmp_path / "in", "maps", overwrite=True)
    with pytest.raises(InputError, match="not a folder"):
        check_folder(tmp_path / "in" / "rows.csv", "maps")
    for place in (tmp_path / "in" / "rows.csv" / "x", tmp_path / "in" / "rows.csv" / "x" / "y"):
        with pytest.raises(InputError, match=r"not a folder|cannot be written to"):
            check_folder(place, "maps")
    with pytest.raises(InputError, match="is an input, too"):
        check_file(tmp_path / "in" / "rows.csv", "--output", tmp_path / "in" / "." / "rows.csv")
    with pytest.raises(InputError, match=r"let it end in \.json"):
        check_file(tmp_path / "rows.csv", "--output", ends=(".json",))
    with pytest.raises(InputError, match="no such folder"):
        check_file(tmp_path / "no" / "where", "--output")
    check_file(tmp_path / "no" / "where", "--output", makes_folder=True)
    lay(tmp_path / "ours", OLD)
    check_folder(tmp_path / "ours", "maps")
    for name in ("a", "manifest.json"):
        with pytest.raises(InputError, match="part of what the folder holds"):
            check_file(tmp_path / "ours" / name, "--output")
    (tmp_path / "ours" / "a").write_text("edited")
    with pytest.raises(InputError, match="a: output: was edited"):
        check_folder(tmp_path / "ours", "maps")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "ours")
    with pytest.raises(InputError, match="a mount point; name a folder in it"):
        check_folder(tmp_path / "ours", "maps", overwrite=True)


def test_an_altered_manifest_is_refused_and_protects_nothing(tmp_path):
    lay(tmp_path, OLD)
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"manifest\.json: seal: not as it was written"):
            read_manifest(tmp_path)
    path.write_bytes(whole + b"\n")
    with pytest.raises(InputError):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match="was not written"):
        check_folder(tmp_path, "maps")


def interrupted(folder: Path) -> Path:
    """A folder whose new files are complete but not yet in their places."""
    lay(folder, OLD)
    lay(folder.parent / "new", NEW)
    os.rename(folder.parent / "new", folder / ".matterhorn-ready")
    return folder / ".matterhorn-ready"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_begun_is_finished(tmp_path):
    interrupted(tmp_path / "maps")
    settle(tmp_path / "maps")
    assert content(tmp_path / "maps") == NEW and not (tmp_path / "maps" / ".matterhorn-ready").exists()


def test_what_cannot_be_finished_is_one_line(tmp_path, monkeypatch):
    """As on a disk that was mounted to be read only."""
    interrupted(tmp_path / "maps")

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=r"cannot be moved to its place \(Read-only file system\)"):
        settle(tmp_path / "maps")


def test_nothing_is_touched_where_what_is_ready_was_spoiled(tmp_path):
    ready = interrupted(tmp_path / "maps")
    sound = (ready / "manifest.json").read_bytes()
    for place in range(0, len(sound), 7):
        (ready / "manifest.json").write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        before = everything(tmp_path)
        with pytest.raises(InputError, match=r"matterhorn-ready: .*move this folder away"):
            settle(tmp_path / "maps")
        assert everything(tmp_path) == before
    (ready / "manifest.json").write_bytes(sound)
    spoiled = {"a": b"another", "stranger": b"mine"}
    for name, text in spoiled.items():
        kept = (ready / name).read_bytes() if (ready / name).exists() else None
        (ready / name).write_bytes(text)
        with pytest.raises(InputError, match=f"the checksum of {name} differs from its manifest.json"):
            settle(tmp_path / "maps")
        (ready / name).unlink() if kept is None else (ready / name).write_bytes(kept)
    (ready / "manifest.json").unlink()
    with pytest.raises(InputError, match="without a manifest"):
        settle(tmp_path / "maps")
    assert content(tmp_path / "maps") == OLD


def test_what_is_ready_of_another_kind_is_left(tmp_path):
    ready = interrupted(tmp_path / "maps")
    lay(tmp_path / "other", NEW, kind="program")
    for path in (tmp_path / "other").iterdir():
        os.replace(path, ready / path.name)
    with pytest.raises(InputError, match="of kind 'program' in a folder of kind 'maps'"):
        settle(tmp_path / "maps")
    assert content(tmp_path / "maps") == OLD


@pytest.mark.parametrize(
    ("name", "text", "ours"),
    [
        ("a.html", '<!doctype html>\n<meta name="generator" content="matterhorn-snn">', True),
        ("a.html", "<!doctype html>\n<title>Up the Matterhorn</title>", False),
        ("a.json", '{\n "format": 2, "x": 1}', True),
        ("a.json", '{"x": 1, "format": 2}', False),
        ("a.cir", "* my own circuit", False),
        ("a.csv", "", True),
    ],
)
def test_a_file_of_others_is_not_to_be_replaced(tmp_path, name, text, ours):
    (tmp_path / name).write_text(text)
    (tmp_path / f"packed-{name}.gz").write_bytes(gzip.compress(text.encode()))
    places = [tmp_path / name] + ([tmp_path / f"packed-{name}.gz"] if text else [])
    for place in places:
        with nullcontext() if ours else pytest.raises(InputError, match="was not written by matterhorn; move it away"):
            check_file(place, "--output")


def test_a_link_does_not_change_what_a_file_is(tmp_path):
    (tmp_path / "rows.csv").write_text("")
    (tmp_path / "page.html").symlink_to(tmp_path / "rows.csv")
    with pytest.raises(InputError, match="unknown kind of file; let it end in"):
        check_file(tmp_path / "page.html", "--html", ends=(".html",))
