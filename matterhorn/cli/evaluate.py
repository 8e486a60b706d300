"""``matterhorn evaluate`` and ``matterhorn sweep``: metric and silence over a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, app, print_json
from .chip import (
    Chips,
    CircuitName,
    Deviation,
    DeviceName,
    PlaceRows,
    Seconds,
    Seed,
    Tolerance,
    VerifyWrites,
    chip,
    chip_run,
    refuse_chip_options,
    told,
)
from .rows import GlueDir, MaxLength, glue_folder, load_tokens, tracked


@app.command()
def evaluate(
    context: typer.Context,
    task: Annotated[str | None, typer.Option(help="GLUE task (default: the model's own).")] = None,
    model: Annotated[str | None, typer.Option(help="A shipped model's name or a folder (default: the task's).")] = None,
    glue_dir: GlueDir = None,
    engine: Annotated[str, typer.Option(help="exact, events, stepped or analog.")] = "exact",
    split: Annotated[str, typer.Option(help="Which rows.")] = "dev",
    limit: Annotated[int | None, typer.Option(help="Only the first rows.")] = None,
    max_length: MaxLength = 128,
    deviation: Deviation = None,
    device: DeviceName = "ideal",
    circuit: CircuitName = "ideal-128",
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    chips: Chips = 1,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    trace: Annotated[Path | None, typer.Option(help="Write the trace here (.json.gz).")] = None,
    json: Json = False,
) -> None:
    """Metric, silent share and events of a spiking network on a task."""
    from ..engines import get_engine
    from ..training.evaluate import evaluate_spiking, launched

    accelerator = launched()
    analog = engine == "analog"
    if analog:
        bank = chip(device, circuit, seed, deviation, verify_writes, tolerance, place_rows)
    else:
        refuse_chip_options(context, engine)
        runner = get_engine(engine)
    network, tokens, chosen = load_tokens(model, task, split, glue_dir, max_length, limit)
    if analog:
        run = chip_run(model, network, tokens, chosen)
        runner = run.on_chip(bank, seconds, progress=tracked(f"chip {seed}"))
    result = evaluate_spiking(network, tokens, chosen, runner, progress=tracked("evaluate"), accelerator=accelerator)
    if accelerator and not accelerator.is_main_process:
        return
    if trace:
        result.trace.save(trace)
    answer: dict[str, Any] = {
        "task": chosen.name,
        "model": model or chosen.name,
        "engine": engine,
        "split": split,
        "n": result.n,
        "metric": chosen.metrics[0],
        "value": result.metrics[chosen.metrics[0]],
        "metrics": result.metrics,
        "silent_share": result.trace.silent_share,
        "events_per_token": result.events_per_token,
        "seconds": result.seconds,
    }
    if analog:
        values = [answer["value"], *run.scores(bank, range(seed + 1, seed + chips), seconds, tracked("chips"))]
        answer |= told(bank, seconds, values)
    if json:
        print_json(answer)
    else:
        from ..report.tables import print_facts

        print_facts(f"{answer['model']} on {chosen.name}/{split}", answer)


@app.command()
def sweep(
    model: Annotated[Path, typer.Argument(help="Folder of a quantised network that matterhorn train wrote.")],
    task: Annotated[str, typer.Option(help="GLUE task.")] = "sst2",
    glue_dir: GlueDir = None,
    split: Annotated[str, typer.Option(help="Which rows.")] = "dev",
    dead_zones: Annotated[list[int] | None, typer.Option("--k", help="Dead zones to try (default: 0 1 2 3).")] = None,
    max_length: MaxLength = 128,
    json: Json = False,
) -> None:
    """Accuracy and silent share of one trained network at other dead zones, silent level per tensor and per neuron."""
    from transformers import PreTrainedTokenizerFast

    from ..models import MatterhornForSequenceClassification
    from ..training.data import load_examples, tokenize
    from ..training.sweep import sweep_silence
    from ..training.tasks import get_task

    chosen, folder = get_task(task), glue_folder(glue_dir)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    learn, rows = (tokenize(load_examples(chosen, s, folder), tokenizer, chosen, max_length) for s in ("train", split))
    network = MatterhornForSequenceClassification.from_pretrained(model).eval()
    results = list(sweep_silence(network, chosen, learn, rows, dead_zones=dead_zones or [0, 1, 2, 3]))
    if json:
        print_json({"model": str(model), "task": chosen.name, "split": split, "n": len(rows), "rows": results})
    else:
        from ..report.tables import print_table

        print_table(f"{model} on {chosen.name}/{split}", list(results[0]), [list(row.values()) for row in results])
