"""Sealing a program's folder anew, after files in it were changed on purpose or put beside it:
``python -m matterhorn.program.seal FOLDER …``. All that lies there is taken for what it should be, and results for its
own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..errors import InputError
from ..reading import LARGEST_ARRAYS, read_bytes, read_mapping
from ..storage import MANIFEST_FILE, Manifest, put_file, sha256
from .files import CONFIG_FILE, FORMAT, KIND, MODEL_TYPE, ROWS_FILE, assembled, find_embeddings, tokenizer_in
from .program import Program
from .saving import ties


def seal(folder: Path) -> Program:
    """Bring a folder's config to today's format, tie its results to the program, and write its manifest.

    Raises:
        InputError: it is no program, or one of an earlier format than 3.
    """
    plain = read_mapping(folder / CONFIG_FILE)
    if plain.get("model_type") != MODEL_TYPE or plain.get("format") not in (3, FORMAT):
        cure = "give a program's folder"
        raise InputError("not a program of format 3 or 4", file=folder / CONFIG_FILE, field="format", cure=cure)
    sums, named = plain.pop("sha256", {}), plain["embeddings"]
    shelf = find_embeddings(folder, named, sums.get(named, ""))
    words, rows = tokenizer_in(folder), (folder / ROWS_FILE).is_file()

    def read(name: str) -> bytes:
        return read_bytes(shelf if name == named else folder / name, most=LARGEST_ARRAYS)

    program = assembled(folder, plain, read, words, own_rows=rows)
    put_file(folder / CONFIG_FILE, json.dumps(plain | {"format": FORMAT}, indent=1) + "\n")
    for path in folder.glob("results*.json"):
        result = read_mapping(path)
        put_file(path, json.dumps(result | {"program": program.hash}, indent=1) + "\n")
    own = (path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST_FILE and path.name[0] != ".")
    files, about = {path.name: sha256(path) for path in own}, ties(program, shelf if "/" in named else None)
    put_file(folder / MANIFEST_FILE, Manifest(KIND, files, about).text())
    return program


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {seal(Path(name)).hash}")
