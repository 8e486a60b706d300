"""What is spoiled, and which commands read it. ``{}`` in a command is the file; all paths lie in the bench."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from . import checks

MODEL, RUN = "models/sst2", "run/phase-1-k1/best"
ON_ROWS = "--model models/sst2 --data rows.csv --text text --label label"
NETLIST = "msu netlist --rows 8 --cols 8 --out out/array.cir"
STUDY = f"msu study {ON_ROWS} --chips 1 --output out/study.json --html out/study.html --json --points {{}}"
ANALOG = f"evaluate {ON_ROWS} --backend analog --json"
SCORE = f"run --model {MODEL} --json 'a fine film'"

Check = Callable[[Path], None]


@dataclass(frozen=True)
class Subject:
    """Files of one kind. commands: as typed. seal: what makes the folder's checksums right again.
    check: a function in place of commands; it may raise :class:`~matterhorn.errors.InputError` only."""

    files: tuple[str, ...]
    commands: tuple[str, ...] = ()
    weight: int = 3
    seal: Check | None = None
    check: Check | None = None


def seal(path: Path) -> None:
    """Write the hash of a program's file where its folder keeps hashes, as one would who forges it."""
    config, manifest = (path.with_name(name) for name in ("config.json", "manifest.json"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path != config and "sha256" in (plain := json.loads(config.read_text())):
        plain["sha256"][path.name] = digest
        config.write_text(json.dumps(plain))
    if manifest.is_file():
        from matterhorn.storage import Manifest

        plain = json.loads(manifest.read_text())
        manifest.write_text(Manifest(plain["kind"], plain["files"] | {path.name: digest}, plain["about"]).text())


ARRAYS = tuple(f"{MODEL}/{name}.safetensors" for name in ("model", "embeddings"))
LOADED = tuple(f"{MODEL}/{name}.json" for name in ("config", "tokenizer", "manifest"))
ROWS = tuple(f"rows.{end}" for end in ("csv", "tsv", "json", "jsonl", "parquet"))

SUBJECTS: dict[str, Subject] = {
    "program": Subject((*LOADED, *ARRAYS), check=checks.unaltered, weight=8),
    "forged": Subject(ARRAYS, (SCORE, f"info {MODEL} --json"), seal=seal, weight=6),
    "config": Subject(
        (f"{MODEL}/config.json",), (SCORE, f"info {MODEL}", "info", f"run --model {MODEL} warm"), 4, seal
    ),
    "tokenizer": Subject((f"{MODEL}/tokenizer.json",), (SCORE,), 2, seal),
    "rows": Subject(
        ROWS,
        (
            f"evaluate --model {MODEL} --data {{}} --text text --label label --json",
            f"run --model {MODEL} --data {{}} --text text --label label",
            f"predict {MODEL} --data {{}} --text text --output out/answers.csv",
        ),
        8,
    ),
    "texts": Subject(
        ("texts.txt",), (f"run --model {MODEL} --file {{}}", f"run --model {MODEL} --file {{}} --json"), 4
    ),
    "task": Subject(
        ("task.yaml",), (f"evaluate --model {MODEL} --task {{}} --json", "run --data rows.csv --task {}"), 5
    ),
    "chip": Subject(
        ("chip.yaml",),
        (
            "energy --trace one.json.gz --chip {} --json",
            "chips {}",
            "compare --trace one.json.gz --chip {} --json",
            "energy --trace one.json.gz --chip {} --html out/page.html",
        ),
        6,
    ),
    "trace": Subject(
        ("one.json.gz",),
        (
            "energy --trace {} --json",
            "trace merge {} two.json.gz --output out/both.json.gz --json",
            "compare --trace {} --json",
            "energy --trace {} --html out/page.html",
        ),
        6,
    ),
    "layers": Subject(
        ("layers.csv", "layers.jsonl"), ("energy --layers {} --json", "energy --layers {} --chip loihi"), 3
    ),
    "encoder": Subject(("encoder/config.json",), ("energy --config {} --json", "energy --config {} --tokens 8"), 3),
    "device": Subject(("device.yaml",), (f"{NETLIST} --device {{}} --no-wires", f"{ANALOG} --device {{}}"), 5),
    "circuit": Subject(("circuit.yaml",), (f"{NETLIST} --circuit {{}}", f"{ANALOG} --circuit {{}}"), 5),
    "points": Subject(("points.yaml",), (STUDY,), 5),
    "pulses": Subject(("kappa.npy",), (f"{NETLIST} --kappa {{}} --weights weights.npy",), 2),
    "weights": Subject(("weights.npy",), (f"{NETLIST} --weights {{}}",), 2),
    "result": Subject(
        ("results.json",),
        ("glue table {} --json", "glue table {}", "glue table {} --markdown", "glue table {} --latex"),
        5,
    ),
    "bench": Subject(("bench.json",), ("bench --tables {}", "bench --tables {} --json"), 3),
    "recipe": Subject(("recipe.yaml",), check=checks.recipe_holds, weight=8),
    "checkpoint": Subject((f"{RUN}/config.json", f"{RUN}/model.safetensors"), (f"convert {RUN} out/program",), 4),
    "teacher": Subject(
        ("run/teacher/best/config.json", "run/teacher/best/model.safetensors"), check=checks.teacher_holds
    ),
    "parts": Subject(
        ("answers.csv.parts/about.json",), (f"predict {MODEL} --data rows.csv --text text --output answers.csv",), 2
    ),
    "journal": Subject(
        ("study.json.part",), (STUDY.replace("{}", "points.yaml").replace("out/study.json", "study.json"),), 2
    ),
    "earlier": Subject(
        (
            *(f"old/{name}" for name in ("config.json", "results.json", "README.md", "model.safetensors")),
            "older/config.json",
            "older/model.safetensors",
        ),
        check=checks.upgrade_holds,
    ),
    "glue": Subject(
        ("glue/SST-2/test.tsv",),
        (f"glue submit --model sst2={MODEL} --glue-dir glue --output out/submission.zip --json",),
        2,
    ),
    "wires": Subject(("cache/matterhorn/msu/solved.npy",), check=checks.wires_hold, weight=2),
    "arguments": Subject((), weight=14),
}


def choose(draw: Random, names: list[str] | None = None) -> str:
    """One of the subjects, by weight."""
    named = names or list(SUBJECTS)
    return draw.choices(named, [SUBJECTS[name].weight for name in named])[0]
