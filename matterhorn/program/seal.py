"""Seal a program's folder again after files in it were changed or added on purpose.

Run ``python -m matterhorn.program.seal FOLDER …``. All files in the folder are accepted as they are, and result files
as results of this program.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..errors import InputError
from ..reading import LARGEST_ARRAYS, read_bytes, read_mapping
from ..storage import MANIFEST_FILE, Manifest, put_file, sha256
from .embeddings import ROWS_FILE
from .files import CONFIG_FILE, KIND, MODEL_TYPE, PROGRAM_FORMAT, assembled, tokenizer_in
from .program import Program
from .saving import dependencies


def seal(folder: Path) -> Program:
    """Link a folder's results to its program, and write its manifest.

    Raises:
        InputError: it is not a program, or is of another format.
    """
    plain = read_mapping(folder / CONFIG_FILE)
    if plain.get("model_type") != MODEL_TYPE or plain.get("format") != PROGRAM_FORMAT:
        cure = "give a program's folder, or run matterhorn upgrade OLD NEW first"
        problem = f"not a program of format {PROGRAM_FORMAT}"
        raise InputError(problem, file=folder / CONFIG_FILE, field="format", cure=cure)
    embeddings, own_rows = plain["embeddings"], (folder / ROWS_FILE).is_file()

    def read(name: str) -> bytes:
        return read_bytes(folder / name, most=LARGEST_ARRAYS)

    program = assembled(folder, plain, read, tokenizer_in(folder), own_rows=own_rows)
    for path in folder.glob("results*.json"):
        result = read_mapping(path)
        put_file(path, json.dumps(result | {"program": program.hash}, indent=1) + "\n")
    own = (path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST_FILE and path.name[0] != ".")
    files = {path.name: sha256(path) for path in own}
    about = dependencies(program, sha256(folder / embeddings) if "/" in embeddings else None)
    put_file(folder / MANIFEST_FILE, Manifest(KIND, files, about).text())
    return program


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {seal(Path(name)).hash}")
