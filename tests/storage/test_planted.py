"""Folders of others may be made to deceive: nothing outside of them is touched, and nothing that is not ours."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from matterhorn.errors import InputError
from matterhorn.storage import Manifest, check_folder, put_file, put_folder, read_manifest, settle
from matterhorn.storage.locks import locked

from .test_output import NEW, OLD, content, interrupted, lay

OUTSIDE = (
    "../victim",
    "/victim",
    "deep/victim",
    "..",
    ".",
    "",
    "a\\b",
    "C:victim",
    "a\0b",
    ".matterhorn-x",
    "manifest.json",
)


def plant(folder: Path, name: str, text: str = "theirs") -> None:
    """List a file of this name in the folder's manifest, sealed as if it were ours."""
    found = read_manifest(folder)
    files = {**found.files, name: hashlib.sha256(text.encode()).hexdigest()}
    (folder / "manifest.json").write_text(Manifest(found.kind, files, found.about).text())


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_lists_files_of_its_own_folder_only(tmp_path, name):
    lay(tmp_path / "maps", OLD)
    plant(tmp_path / "maps", name)
    with pytest.raises(InputError, match=r"manifest\.json: files: .* is not a file of the folder"):
        read_manifest(tmp_path / "maps")


@pytest.mark.parametrize("name", ["../victim", "{outside}"])
def test_nothing_outside_a_folder_is_removed(tmp_path, name):
    """Neither where a move is completed nor where new files replace old ones."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    interrupted(tmp_path / "maps")
    plant(tmp_path / "maps", name.format(outside=victim))
    for attempt in (settle, lambda folder: lay(folder, NEW)):
        with pytest.raises(InputError, match=r"manifest\.json"):
            attempt(tmp_path / "maps")
    assert victim.read_text() == "theirs" and content(tmp_path / "maps") == OLD


def test_a_link_that_an_old_manifest_lists_is_left(tmp_path):
    lay(tmp_path / "maps", OLD)
    (tmp_path / "real").write_text(OLD["gone"])
    (tmp_path / "maps" / "gone").unlink()
    (tmp_path / "maps" / "gone").symlink_to(tmp_path / "real")
    lay(tmp_path / "maps", NEW)
    assert (tmp_path / "maps" / "gone").is_symlink() and (tmp_path / "real").read_text() == OLD["gone"]


def test_files_are_not_moved_out_of_another_folder_by_a_link(tmp_path):
    lay(tmp_path / "theirs", NEW)
    lay(tmp_path / "maps", OLD)
    (tmp_path / "maps" / ".matterhorn-ready").symlink_to(tmp_path / "theirs")
    with pytest.raises(InputError, match="matterhorn-ready: not a folder; move"):
        settle(tmp_path / "maps")
    assert content(tmp_path / "theirs") == NEW and content(tmp_path / "maps") == OLD


@pytest.mark.parametrize("name", ["a", "manifest.json"])
def test_a_link_among_what_is_ready_is_refused(tmp_path, name):
    ready = interrupted(tmp_path / "maps")
    os.replace(ready / name, tmp_path / "elsewhere")
    (ready / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{name} is not a regular file"):
        settle(tmp_path / "maps")
    assert content(tmp_path / "maps") == OLD


@pytest.mark.parametrize("name", ["more", "manifest.json"])
def test_what_is_ready_replaces_only_what_is_ours(tmp_path, name):
    interrupted(tmp_path / "maps")
    (tmp_path / "maps" / name).write_text('{"name": "theirs"}')
    with pytest.raises(InputError, match=f"{name} beside it was not written by matterhorn"):
        settle(tmp_path / "maps")
    assert (tmp_path / "maps" / name).read_text() == '{"name": "theirs"}'


@pytest.mark.parametrize("text", ['{"name": "my web app", "icons": []}', ""])
def test_a_manifest_of_others_is_not_replaced(tmp_path, text):
    """It is refused before any work, with --overwrite too."""
    (tmp_path / "manifest.json").write_text(text)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"manifest\.json: output: was not written by matterhorn"):
            check_folder(tmp_path, "maps", overwrite=overwrite)
    with pytest.raises(InputError, match=r"manifest\.json: output: was not written by matterhorn"):
        put_folder(tmp_path, "maps", lambda fresh: pytest.fail("work was done"))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_text() == text


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    lay(tmp_path, OLD)
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="a: output: was not written by matterhorn"):
        lay(tmp_path, NEW)
    assert not (tmp_path / ".matterhorn-ready").exists()


def test_what_another_container_writes_is_not_swept(tmp_path, monkeypatch):
    """Its process has a number that is nobody's here; but it holds a lock."""
    monkeypatch.setattr("matterhorn.storage.aside._is_alive", lambda process: False)
    half = tmp_path / f".matterhorn-{socket.gethostname()}-7-0"
    half.write_text("half")
    with locked(half):
        put_file(tmp_path / "file", "text")
        assert half.exists()
    put_file(tmp_path / "file", lambda fresh: (put_file(tmp_path / "other", "text"), fresh.write_text("still here")))
    assert not half.exists() and (tmp_path / "file").read_text() == "still here"


def save_within(folder: Path) -> None:
    put_folder(folder, "network", lambda fresh: lay(fresh, NEW, "network"))


def test_a_folder_may_be_written_within_another(tmp_path):
    """As training saves its best network; it must not wait for its own lock."""
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=save_within, args=(tmp_path / "best",))
        process.start()
        process.join(60)
        process.kill()
        assert process.exitcode == 0 and content(tmp_path / "best") == NEW


def save_often(folder: Path, text: str) -> None:
    for number in range(30):
        try:
            lay(folder, {"a": text, "b": f"{text} {number}", text: text})
        except InputError as error:
            assert "another process" in str(error), error


def test_processes_that_write_one_folder_leave_it_whole(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=save_often, args=(tmp_path / "maps", text)) for text in ("x", "y", "z")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = content(tmp_path / "maps")
    text = found["a"]
    assert found == {"a": text, "b": f"{text} 29", text: text}
    assert read_manifest(tmp_path / "maps").files.keys() == found.keys()
