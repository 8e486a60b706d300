"""``matterhorn convert``, ``verify``, ``info``: spiking checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, app, print_json
from .rows import GlueDir, MaxLength, load_tokens, tracked


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Folder of a quantised network.")],
    output: Annotated[Path, typer.Argument(help="Folder for the spiking checkpoint.")],
    task: Annotated[str | None, typer.Option(help="The task it was trained for, or general.")] = None,
    embeddings: Annotated[
        str, typer.Option(help="Embeddings file, relative to OUTPUT; models of one backbone may share it.")
    ] = "embeddings.safetensors",
) -> None:
    """Turn a quantised network into a spiking checkpoint: packed weights, integer thresholds, silent levels."""
    from ..models.checkpoint import GENERAL
    from ..models.convert import convert_folder
    from ..training.tasks import get_task

    name = task if task in (None, GENERAL) else get_task(task).name
    convert_folder(source, output, task=name, embeddings=embeddings)
    typer.echo(f"{output}: spiking checkpoint; check it with: matterhorn verify --model {output}")


@app.command()
def verify(
    task: Annotated[str | None, typer.Option(help="GLUE task (default: the model's own).")] = None,
    model: Annotated[str | None, typer.Option(help="A shipped model's name or a folder (default: the task's).")] = None,
    glue_dir: GlueDir = None,
    split: Annotated[str, typer.Option(help="Rows to compare on.")] = "dev",
    limit: Annotated[int | None, typer.Option(help="Only the first rows.")] = None,
    quantised: Annotated[Path | None, typer.Option(help="Compare with this trained network instead.")] = None,
    max_length: MaxLength = 128,
    json: Json = False,
) -> None:
    """Compare the quantised network, all three engines, bit by bit. Exit 0 if nothing differs."""
    from ..engines import get_engine
    from ..engines.verify import verify as compare
    from ..models import MatterhornForSequenceClassification
    from ..models.restore import restore_quantised
    from ..training.evaluate import batches_of

    network, tokens, _ = load_tokens(model, task, split, glue_dir, max_length, limit)
    reference = (
        MatterhornForSequenceClassification.from_pretrained(quantised) if quantised else restore_quantised(network)
    )
    batches = [batch for _, batch in batches_of(tokens, 32)]
    engines = [get_engine(name) for name in ("exact", "events", "stepped")]
    report = compare(reference, network, engines, tracked("verify")(batches))
    if json:
        print_json(vars(report))
    else:
        from ..report.tables import print_facts

        print_facts("identical" if report.passed else "DIFFERENT", vars(report))
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a folder.")] = "sst2",
    json: Json = False,
) -> None:
    """Describe a spiking checkpoint."""
    from ..models.checkpoint import load_spiking
    from ..zoo import find

    folder = find(model)
    network = load_spiking(folder)
    config = network.config
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    answer: dict[str, Any] = {
        "name": model,
        "path": str(folder),
        "task": config.task,
        "connections": [_describe(name, connection) for name, connection in network.connections().items()],
        "populations": {name: _silence(population) for name, population in network.populations().items()},
        "blocks": config.num_hidden_layers,
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "weight_bits": config.weight_bits,
        "activation_bits": config.activation_bits,
        "stored_bits": config.stored_bits,
        "dead_zone": config.dead_zone,
        "silence_per": config.silence_per,
        "digital": config.digital,
        "labels": network.labels,
        "bytes": files,
    }
    if json:
        print_json(answer)
        return
    from ..report.tables import print_facts, print_table

    print_facts(model, {k: v for k, v in answer.items() if k not in ("connections", "populations")})
    rows = [list(row.values()) for row in answer["connections"]]
    print_table("connections", list(answer["connections"][0]), rows)
    rows = [[name, *row.values()] for name, row in answer["populations"].items()]
    print_table("populations", ["name", *next(iter(answer["populations"].values()))], rows)


def _describe(name: str, connection: Any) -> dict[str, Any]:
    fan_out, fan_in = connection.weights.shape
    return {"name": name, "fan_in": fan_in, "fan_out": fan_out, "weight_bits": connection.kind}


def _silence(population: Any) -> dict[str, Any]:
    silent = population.silent
    return {
        "step": float(population.step),
        "zero": population.zero,
        "silent_levels": len(silent),
        "silent_min": int(silent.min()),
        "silent_max": int(silent.max()),
        "dead_zone": population.dead_zone,
    }
