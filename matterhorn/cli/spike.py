"""``matterhorn spike``: your own classifier and rows, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, Overwrite, app, print_json, say
from .rows import tracked


@app.command()
def spike(
    model: Annotated[str, typer.Argument(help="A fine-tuned classifier: a folder, or a name on the hub.")],
    eval_rows: Annotated[str, typer.Option("--eval", help="Rows to report on: a .csv, .tsv, .jsonl or .parquet file.")],
    output: Annotated[Path, typer.Option(help="Folder for the spiking network, its figures and its page.")],
    train: Annotated[str | None, typer.Option(help="Rows to distill on; without them it is only calibrated.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of the text; twice for pairs [text].")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Column of the label [label].")] = None,
    kind: Annotated[str | None, typer.Option(help="single_label, multi_label or regression, if unclear.")] = None,
    task: Annotated[str | None, typer.Option(help="A task's YAML in place of columns and kind.")] = None,
    minutes: Annotated[float, typer.Option(help="Of training; the schedule follows the clock.")] = 10.0,
    weights: Annotated[str, typer.Option(help="int1, ternary, int2 or int4.")] = "int1",
    kv_bits: Annotated[int, typer.Option(help="Bits of stored keys and values.")] = 1,
    dead_zone: Annotated[int, typer.Option(help="k: levels beside the silent one that are silent too.")] = 3,
    silent_share: Annotated[float, typer.Option(help="Share of neuron-windows to keep silent.")] = 0.90,
    quiet_share: Annotated[float | None, typer.Option(help="Share of synaptic operations to leave out.")] = None,
    chip: Annotated[str, typer.Option(help="What it is billed on; see 'matterhorn chips'.")] = "rram-22nm",
    max_length: Annotated[int, typer.Option(help="Rows are cut to this many tokens.")] = 128,
    seed: Annotated[int, typer.Option(help="Of rows held out, rows made, and training.")] = 1,
    verify_rows: Annotated[int, typer.Option(min=1, help="So many rows are verified.")] = 64,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell time, memory and what may be lost.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what a stopped run has done.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a spiking network of a fine-tuned classifier: distilled, converted, verified, evaluated, billed.

    Killed, the same command goes on. The folder's index.html says what was lost, and why.
    """
    from ..extras import need
    from .hub import notice_offline

    need("train", "torch", "transformers", "accelerate")
    if not Path(model).is_dir():
        notice_offline()
    from ..spiking import forecast, make_plan
    from ..spiking import spike as run
    from ..tasks import Task

    rows: dict[str, Any] = {"text": text or ["text"], "label": label or ["label"], "kind": kind}
    rows["task"] = Task.from_yaml(Path(task)) if task else None
    settings: dict[str, Any] = {
        "minutes": minutes,
        "weights": weights,
        "kv_bits": kv_bits,
        "dead_zone": dead_zone,
        "silent_share": silent_share,
        "quiet_share": quiet_share,
        "max_length": max_length,
        "seed": seed,
    }
    if dry_run:
        answer = forecast(make_plan(model, train, eval_rows, **rows, **settings))
    else:
        more: dict[str, Any] = {"chip": chip, "verify_rows": verify_rows, "restart": restart, "overwrite": overwrite}
        answer = run(model, train, eval_rows, output=output, progress=tracked, **rows, **more, **settings).answer
    if json:
        print_json(answer)
    else:
        from ..report.tables import print_facts

        print_facts(
            f"{model} → {output}", {name: value for name, value in answer.items() if not isinstance(value, dict)}
        )
        if not dry_run:
            say(f"{output / 'index.html'}: why it lost; matterhorn run --model {output} 'a text'")
