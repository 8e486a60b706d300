"""Memory: peaks in a process of their own, and sizes of checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from ..models.spiking import SpikingNetwork
from .rows import Row

ROWS, LENGTH = 32, 128


def memory_rows(folder: Path, network: SpikingNetwork) -> list[Row]:
    """Peak beyond what the process held before the model (MB) for one batch; bytes of the checkpoint against fp32."""
    rows = []
    for engine in ("hf-fp32", "exact", "events"):
        command = [sys.executable, "-m", __name__, str(folder), engine]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        extra = json.loads(answer.splitlines()[-1])
        rows.append(Row("memory", engine, {"batch": ROWS, "tokens": ROWS * LENGTH}, None, None, None, 1, {}, extra))
    return [*rows, _checkpoint(folder, network)]


def _checkpoint(folder: Path, network: SpikingNetwork) -> Row:
    sizes = {path.name: path.stat().st_size / 1e6 for path in folder.glob("*.safetensors")}
    encoder = sum(4e-6 * (c.weights.numel() + 2 * len(c.bias)) for c in network.connections().values())
    tables = sum(4e-6 * getattr(network.embeddings, name).numel() for name in network.embeddings.TABLES)
    extra = {f"{name} MB": size for name, size in sizes.items()}
    extra |= {"fp32 connections MB": encoder, "fp32 embeddings MB": tables}
    return Row("checkpoint", "files", {}, None, None, None, 1, {}, extra)


def _peak(folder: Path, engine: str) -> dict[str, float]:
    """Run one batch in this process and read its high-water mark."""
    import resource

    from ..models.checkpoint import load_spiking
    from .networks import contestants, random_batch, shape_of

    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = load_spiking(folder)
    shape = shape_of(network)
    batch = random_batch(ROWS, LENGTH, shape.vocabulary)
    if engine == "hf-fp32":
        del network
        bert = shape.bert()
        with torch.inference_mode():
            bert(**batch)
    else:
        contestants(network, {}, batch, (engine,))[engine]()
    return {"peak MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


if __name__ == "__main__":
    print(json.dumps(_peak(Path(sys.argv[1]), sys.argv[2])))
