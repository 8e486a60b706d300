"""Memory: peaks in a process of their own, growth with the data set, and sizes of checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from ..models.spiking import SpikingNetwork
from .rows import Row

ROWS, LENGTH = 32, 128
FEW, MANY, SHORT = 128, 1024, 32
"""Rows of a small and a large data set, and tokens of a row, in which evaluation is looked at."""


def memory_rows(folder: Path, network: SpikingNetwork) -> Iterator[Row]:
    """Peaks beyond what the process held before the model (MB): one batch, and evaluation of few and of many rows;
    bytes of the checkpoint against fp32."""
    for engine in ("hf-fp32", "exact", "events"):
        yield _row("memory", engine, _asked(folder, engine, ROWS), {"batch": ROWS, "tokens": ROWS * LENGTH})
    for rows in (FEW, MANY):
        yield _row(
            "evaluation memory", "exact", _asked(folder, "evaluate", rows), {"rows": rows, "tokens": rows * SHORT}
        )
    yield _checkpoint(folder, network)


def _row(what: str, engine: str, extra: dict[str, float], shape: dict[str, int | str]) -> Row:
    return Row(what, engine, shape, None, None, None, 1, {}, extra)


def _asked(folder: Path, engine: str, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, str(folder), engine, str(rows)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def _checkpoint(folder: Path, network: SpikingNetwork) -> Row:
    sizes = {path.name: path.stat().st_size / 1e6 for path in folder.glob("*.safetensors")}
    encoder = sum(4e-6 * (c.weights.numel() + 2 * len(c.bias)) for c in network.connections().values())
    tables = sum(4e-6 * getattr(network.embeddings, name).numel() for name in network.embeddings.TABLES)
    extra = {f"{name} MB": size for name, size in sizes.items()}
    extra |= {"fp32 connections MB": encoder, "fp32 embeddings MB": tables}
    return _row("checkpoint", "files", extra, {})


def _peak(folder: Path, engine: str, rows: int) -> dict[str, float]:
    """Run one batch (or an evaluation) in this process and read its high-water mark."""
    from ..models.checkpoint import load_spiking
    from .networks import contestants, random_batch, shape_of

    torch.set_num_threads(1)
    before = _high_water()
    network = load_spiking(folder)
    shape = shape_of(network)
    batch = random_batch(rows, LENGTH, shape.vocabulary)
    if engine == "hf-fp32":
        del network
        bert = shape.bert()
        with torch.inference_mode():
            bert(**batch)
    elif engine == "evaluate":
        _evaluate(network, batch["input_ids"][:, :SHORT].tolist())
    else:
        contestants(network, {}, batch, (engine,))[engine]()
    return {"peak MB": _high_water() - before}


def _high_water() -> float:
    """Most memory that this process ever held, MB. What ``getrusage`` says counts the parent before ``exec`` too."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _evaluate(network: SpikingNetwork, ids: list[list[int]]) -> None:
    from ..engines import get_engine
    from ..training.data import Tokens
    from ..training.evaluate import evaluate_spiking
    from ..training.tasks import get_task

    types, labels = [[0] * len(row) for row in ids], [float(i % 2) for i in range(len(ids))]
    tokens = Tokens(ids, types, labels, 0, is_regression=False)
    evaluate_spiking(network, tokens, get_task("sst2"), get_engine("exact"))


if __name__ == "__main__":
    print(json.dumps(_peak(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
