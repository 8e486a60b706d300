"""The bench: one small, sound file of every kind that a command reads, in one folder."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import yaml

from matterhorn.bench import Row, as_json
from matterhorn.energy import library
from matterhorn.msu import WireCache
from matterhorn.msu import files as devices
from matterhorn.program import Program, Trace
from matterhorn.runtime import Engine
from matterhorn.runtime.warm import warm_up
from matterhorn.study import points
from matterhorn.tasks.answers import survey
from matterhorn.tasks.results import Result

from ..earlier import as_format, as_format_3
from ..networks import small_program
from ..tiny import PHASE, lay_backbone, lay_dev, lay_run

TEXTS = ["a fine film", "dull and cold", "warm", "grey film and awful"]
LABELS = ["positive", "negative", "positive", "negative"]


def lay(folder: Path) -> Path:
    """Fill ``folder``; most of it takes seconds, the kernels a minute where they were never compiled."""
    models, program = folder / "models", _named(small_program(1))
    program.save(models / "sst2")
    program.save(folder / "whole")
    warm_up(program)  # compiling takes longer than an input may
    trace = _trace(program, TEXTS)
    trace.save(folder / "one.json.gz")
    _trace(program, [*TEXTS[:2], "lovely"]).save(folder / "two.json.gz")
    _lay_rows(folder)
    _lay_foreign(folder)
    _lay_hardware(folder)
    lay_dev(folder / "glue", "sst2", 4)
    rows = "".join(f"{number}\t{text}\n" for number, text in enumerate(TEXTS))
    (folder / "glue" / "SST-2" / "test.tsv").write_text("index\tsentence\n" + rows)
    lay_run(folder / "run", "sst2")
    lay_backbone(folder / "backbone")
    plain = {"task": "sst2", "backbone": str(folder / "backbone"), "max_length": 32, "selection_rows": 2}
    more = {"teacher": PHASE, "phases": [PHASE, PHASE | {"dead_zone": 1, "silent_share": 0.85}], "recombined": 2}
    network = {"network": {"weights": "int1", "kv_bits": 1}, "texts": ["sst2"], "texts_each": 3}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(plain | more | network))
    _lay_results(folder)
    _lay_earlier(folder, program)
    _lay_halves(folder, program)
    return folder


def _lay_earlier(folder: Path, program: Program) -> None:
    """Programs of formats 3 and 2 that vouch for nothing, so that what is spoiled is read."""
    for name, make in (("old", as_format_3), ("older", lambda place: as_format(place, 2))):
        program.save(folder / name)
        make(folder / name)
        config = folder / name / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sha256": {}}))
        shutil.copy(folder / "results.json", folder / name)
        (folder / name / "README.md").write_text("A program.\n")


def _lay_foreign(folder: Path) -> None:
    rows = [
        {"layer": "fc1", "fan_in": 64, "fan_out": 32, "spikes": 90.5, "steps": 4, "weight_bits": 4},
        {"layer": "fc2", "fan_in": 32, "fan_out": 8, "spikes": 7, "steps": 4, "after": "fc1", "operations": 50},
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(columns), *(",".join(str(row.get(name, "")) for name in columns) for row in rows)]
    (folder / "layers.csv").write_text("\n".join(lines) + "\n")
    (folder / "layers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
              "intermediate_size": 64, "id2label": {"0": "no", "1": "yes"}, "architectures": ["BertModel"],
              "quantization_config": {"bits": 8, "activations": "int8"}}  # fmt: skip
    (folder / "encoder").mkdir()
    (folder / "encoder" / "config.json").write_text(json.dumps(config))


def _named(program: Program) -> Program:
    about = {"labels": ("negative", "positive"), "task": "sst2", "tokenizer": program.tokenizer}
    return Program.from_arrays(program.config, program.arrays(), **about)


def _trace(program: Program, texts: list[str]) -> Trace:
    trace = Engine(program, "exact", threads=1)(**program.encode(texts), trace=True).trace
    assert trace is not None
    return trace


def _lay_rows(folder: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    for name, mark in (("rows.csv", ","), ("rows.tsv", "\t")):
        lines = [mark.join(rows[0]), *(mark.join(row.values()) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    task = {"text": "text", "label": "label", "labels": ["negative", "positive"], "aliases": {"negative": ["bad"]}}
    (folder / "task.yaml").write_text(yaml.safe_dump(task | {"kind": "single_label", "files": {"dev": "rows.csv"}}))
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        return
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "rows.parquet")


def _lay_hardware(folder: Path) -> None:
    shutil.copy(library.SHIPPED / "rram-22nm.yaml", folder / "chip.yaml")
    for name, kind in (("pcm", "device"), ("array-128", "circuit")):
        shutil.copy(devices.HERE / f"{kind}s" / f"{name}.yaml", folder / f"{kind}.yaml")
    plan = yaml.safe_load((Path(points.__file__).parent / "points.yaml").read_text())
    plan["studies"] = {"read": plan["studies"]["read"] | {"values": [0, 5]}}
    (folder / "points.yaml").write_text(yaml.safe_dump(plan))
    draw = np.random.default_rng(0)
    np.save(folder / "kappa.npy", draw.integers(-7, 8, 8))
    np.save(folder / "weights.npy", 2 * draw.integers(0, 2, (3, 8)) - 1)


def _lay_results(folder: Path) -> None:
    scores = {"metrics": {"accuracy": 0.9}}
    spiking = scores | {"k": 1, "silent_share": 0.9, "quiet_share": 0.8, "events_per_token": 10.0}
    about = {"task": "sst2", "model": "sst2", "backbone": "tiny", "n": 4, "metric": "accuracy", "seed": 1}
    result = Result.model_validate(about | {"teacher": scores, "quantized": scores, "spiking": [spiking]})
    result.save(folder / "results.json")
    shape = {"layers": 2, "width": 32, "rows": 1, "of": "sentences"}
    row = Row("network", "events", shape, 1, 0.01, 0.001, 5, 0.9, 0.8, {"exact": 0.5})
    (folder / "bench.json").write_text(json.dumps(as_json("0" * 64, [1], [row])))


def _lay_halves(folder: Path, program: Program) -> None:
    """What stopped runs leave, and caches."""
    about = {
        "format": 1,
        "program": program.hash,
        "text": ["text"],
        "max_length": 128,
        "logits": False,
        "shard": [0, 4],
    }
    (folder / "answers.csv.parts").mkdir()
    digest = survey(folder / "rows.csv", ["text"])[1]
    (folder / "answers.csv.parts" / "about.json").write_text(
        json.dumps({"format": 1, "kind": "run", "about": about | {"rows": digest}})
    )
    (folder / "study.json.part").write_text(json.dumps({"format": 2, "about": {}, "scores": {"read 0 0": 0.5}}))
    wires = devices.load_circuit("array-128").wires
    assert wires is not None
    WireCache(folder / "whole-cache").effective(np.full((1, 4, 6), 1e-5, np.float32), wires)
    cache = folder / "cache" / "matterhorn" / "msu"
    cache.mkdir(parents=True)
    shutil.copy(next((folder / "whole-cache").iterdir()), cache / "solved.npy")


if __name__ == "__main__":
    lay(Path(sys.argv[1]))
