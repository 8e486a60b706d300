"""Public text: what its makers publish becomes rows, known by its hashes, and crossed to new pairs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from http.client import IncompleteRead
from pathlib import Path

import pytest

from matterhorn.errors import InputError
from matterhorn.tasks.sources import FOLDER, Source, Use, cross, load_source, prepare, sources

FILES = {
    "parallel": {"a.txt": "one fine film\ntwo\n", "b.txt.gz": "a film that is fine\nthree  words here\n"},
    "table": {"t.tsv": 'id\tleft\tright\n1\ta cat\t"a ""big"" dog"\n2\ta cat\t\n3\ta cat\t"a ""big"" dog"\n'},
    "sentences": {
        "s.txt": "= A title =\nThis is a sentence of text. Is this one too, or not? No.\nAn <unk> word is out here.\n"
    },
}
ROWS = {
    "parallel": [("one fine film", "a film that is fine"), ("two", "three words here")],
    "table": [("a cat", 'a "big" dog')],
    "sentences": [("This is a sentence of text.",), ("Is this one too, or not?",)],
}


def lay(folder: Path, reader: str, **changes) -> Source:
    """Files as published, in a folder that its url leads to."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, text in FILES[reader].items():
        content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        (folder / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    plain = {"about": "rows", "license": "ours", "version": "1", "url": f"{folder.as_uri()}/{{file}}", "reader": reader}
    return Source(**plain | {"files": hashes, "columns": ["left", "right"] if reader == "table" else []} | changes)


@pytest.mark.parametrize("reader", FILES)
def test_rows_are_made_of_what_is_published(tmp_path, monkeypatch, reader):
    source = lay(tmp_path / "published", reader)
    monkeypatch.setenv(FOLDER, str(tmp_path / "text"))
    count = prepare("mine", source, tmp_path / "kept", tmp_path / "text")
    use = Use(name="mine", version="1", sha256=source.sha256)
    assert load_source(use) == ROWS[reader] and count == len(ROWS[reader])
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {*source.files}
    before = (tmp_path / "text" / "mine.tsv.gz").read_bytes()
    prepare("mine", source.model_copy(update={"url": "file:///nowhere/{file}"}), tmp_path / "kept", tmp_path / "text")
    assert (tmp_path / "text" / "mine.tsv.gz").read_bytes() == before


def test_fetching_shows_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("matterhorn.tasks.sources.PART", 8)
    source, parts = lay(tmp_path / "published", "sentences"), {}
    count = prepare(
        "mine",
        source,
        tmp_path / "kept",
        tmp_path / "out",
        progress=lambda title: lambda of: parts.setdefault(title, of),
    )
    size = (tmp_path / "published" / "s.txt").stat().st_size
    assert count == 2 and {title: len(of) for title, of in parts.items()} == {"fetch s.txt": size // 8}


def test_what_ends_too_early_is_one_line(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise IncompleteRead(b"half", 4)

    monkeypatch.setattr("urllib.request.urlopen", broken)
    source = lay(tmp_path / "published", "sentences")
    with pytest.raises(InputError, match=r"s\.txt: cannot be fetched \(IncompleteRead.*; put it into"):
        prepare("mine", source, tmp_path / "kept", tmp_path / "out")


def test_a_quote_may_be_a_letter(tmp_path):
    text = 'id\tleft\tright\n1\twhat\t"Not a song.\n2\twhere\tIn Rome.\n3\twhen\tIn 1983, "they said.\n'
    (tmp_path / "t.tsv").write_text(text)
    plain = {"about": "rows", "license": "ours", "version": "1", "url": "nowhere", "reader": "table"}
    files = {"t.tsv": hashlib.sha256(text.encode()).hexdigest()}
    source = Source(**plain, columns=["left", "right"], quotes="plain", files=files)
    assert prepare("mine", source, tmp_path, tmp_path / "out") == 3
    wrong = source.model_copy(update={"columns": ["left", "middle"]})
    with pytest.raises(InputError, match=r"t\.tsv: cannot be read .*; give tab-separated columns, left, middle among"):
        prepare("mine", wrong, tmp_path, tmp_path / "out")


def test_columns_by_number_and_pairs_drawn_of_a_line(tmp_path):
    table = lay(tmp_path / "a", "table", columns=[2])
    assert prepare("a", table, tmp_path / "a", tmp_path / "out") == 2  # the header is a row, an empty cell is none
    files = {f"{n}.txt": f"text {n} of one\ntext {n} of two\n" for n in range(4)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    source = lay(tmp_path / "b", "parallel", files=hashes, each=3)
    assert prepare("b", source, tmp_path, tmp_path / "out") == 6
    rows = gzip.decompress((tmp_path / "out" / "b.tsv.gz").read_bytes()).decode().splitlines()
    assert all(left.split()[-1] == right.split()[-1] != "" for left, right in (row.split("\t") for row in rows))


def test_of_an_archive_those_members_are_read_that_are_named(tmp_path):
    """In the order of their names, whatever theirs in the archive; a break in HTML ends a sentence."""
    texts = {
        "set/train/pos/1_9.txt": "The first film of all is fine.<br /><br />It is a long one, too!",
        "set/train/neg/0_2.txt": "This one here is not good. I left after an hour of it.",
        "set/test/pos/2_8.txt": "Nobody may read this at all.",
        "set/README": "This is about the whole set.",
    }
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    sha256 = hashlib.sha256((tmp_path / "set.tar.gz").read_bytes()).hexdigest()
    source = lay(tmp_path / "a", "sentences", files={"set.tar.gz": sha256}, members="set/train/*/*.txt")
    assert prepare("set", source, tmp_path, tmp_path / "out") == 4
    assert gzip.decompress((tmp_path / "out" / "set.tsv.gz").read_bytes()).decode().splitlines() == [
        "This one here is not good.",
        "I left after an hour of it.",
        "The first film of all is fine.",
        "It is a long one, too!",
    ]
    (tmp_path / "set.tar.gz").write_bytes(gzip.compress(b"no archive"))
    sha256 = hashlib.sha256((tmp_path / "set.tar.gz").read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"set\.tar\.gz: .*"):
        prepare("set", source.model_copy(update={"files": {"set.tar.gz": sha256}}), tmp_path, tmp_path / "none")


def test_what_is_not_the_file_that_is_known_is_refused(tmp_path, monkeypatch):
    source = lay(tmp_path / "published", "table")
    with pytest.raises(InputError, match=r"cannot be fetched .*put it into"):
        prepare("mine", source.model_copy(update={"url": "file:///nowhere/{file}"}), tmp_path / "x", tmp_path / "text")
    (tmp_path / "published" / "t.tsv").write_text("left\tright\nother\trows\n")
    for files in ("published", "fetched"):
        with pytest.raises(InputError, match=r"t\.tsv: its SHA-256 is not the known one"):
            prepare("mine", source, tmp_path / files, tmp_path / "text")
    assert not (tmp_path / "text").exists() and not (tmp_path / "fetched" / "t.tsv").exists()


def test_prepared_rows_are_those_of_the_recipe(tmp_path, monkeypatch):
    source, folder = lay(tmp_path / "published", "table"), tmp_path / "text"
    monkeypatch.setenv(FOLDER, str(folder))
    use = Use(name="mine", version="1", sha256=source.sha256)
    with pytest.raises(InputError, match=r"mine\.json: sources: not prepared; matterhorn data prepare mine --output"):
        load_source(use)
    prepare("mine", source, tmp_path / "published", folder)
    for change in ({"version": "2"}, {"sha256": "0" * 64}):
        with pytest.raises(InputError, match=f"another {next(iter(change))} than the recipe"):
            load_source(use.model_copy(update=change))
    about = json.loads((folder / "mine.json").read_text())
    (folder / "mine.json").write_text(json.dumps(about | {"format": 2}))
    with pytest.raises(InputError, match=r"mine\.json: format: format 2, not 1; matterhorn data prepare"):
        load_source(use)
    (folder / "mine.json").write_text(json.dumps(about))
    (folder / "mine.tsv.gz").write_bytes(gzip.compress(b"other\trows"))
    with pytest.raises(InputError, match="not as it was prepared"):
        load_source(use)


def test_crossed_pairs_are_new_and_share_a_word_where_they_can():
    rows = [
        (f"the {animal} runs {n}th", f"a {animal} is out {n}") for animal in ("cat", "dog", "fox") for n in range(5)
    ]
    made = cross(rows, 10, 1)
    assert made == cross(rows, 10, 1) and 5 < len(made) <= 10 and not {*made} & {*rows}
    assert cross([("alone",)], 5, 1) == []
    animals = [(first.split()[1], second.split()[1]) for first, second in made]
    assert all(one == other for one, other in animals)


def test_known_sources_have_a_version_a_hash_and_a_place():
    for name, source in sources().items():
        assert len(source.version) == 40 or "{version}" not in source.url  # a commit, or a file that never changes
        assert source.url.startswith("https://") and source.license, name
        assert all(len(value) == 64 for value in source.files.values())
        assert source.url.format(version=source.version, file=next(iter(source.files))).count("{") == 0
        assert json.dumps(source.files) and (source.reader == "table") == bool(source.columns)
