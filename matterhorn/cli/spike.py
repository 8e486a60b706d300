"""``matterhorn spike``: turn your own classifier into a spiking network, in one command."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from .app import Json, app, plain_when_piped, print_json, say, say_cut
from .rows import YAML, GlueDir, glue_folder, seek, tracked

HIDDEN = ("settings", "notes", "diagnosis")
"""Keys of an answer that are left out of the table."""


@app.command()
def spike(
    model: Annotated[str, typer.Argument(help="Fine-tuned classifier: a folder, or a name on the hub.")],
    output: Annotated[Path, typer.Option(help="Folder for the spiking network, its results and its HTML page.")],
    train: Annotated[
        str | None,
        typer.Option(help="Rows to distill on, in the same forms as --eval. Without them it is only calibrated."),
    ] = None,
    eval_rows: Annotated[
        str | None,
        typer.Option(
            "--eval",
            help="Rows for the report: a CSV, TSV, JSON, JSONL or Parquet file, or a 'datasets' data set, NAME:SPLIT.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Column of the text; give two for pairs (default: text).")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Column of the label, or one per output (default: label).")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="single_label, multi_label or regression (default: inferred).")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="GLUE task, or YAML file of your own: columns, kind, and splits train and dev as rows."),
    ] = None,
    glue_dir: GlueDir = None,
    minutes: Annotated[
        float, typer.Option(help="Training time; the schedule follows the clock. 0: only calibrate.")
    ] = 10.0,
    weights: Annotated[
        str | None,
        typer.Option(
            help="int1, ternary, int2 or int4 (default: int1; int4 without training and for many pair tasks)."
        ),
    ] = None,
    kv_bits: Annotated[
        int | None, typer.Option(help="Bits of stored keys and values (default: 1, or 4 with int4 weights).")
    ] = None,
    dead_zone: Annotated[int, typer.Option(help="k: levels on either side of the silent one that send nothing.")] = 3,
    silent_share: Annotated[float, typer.Option(help="Share of neuron-windows to keep silent, 0 to 1.")] = 0.90,
    quiet_share: Annotated[float | None, typer.Option(help="Share of synaptic operations to avoid, 0 to 1.")] = None,
    blocks: Annotated[
        str | None,
        typer.Option(help="Numbers of the classifier's blocks to keep, e.g. 0,1,4,5 (default: all)."),
    ] = None,
    chip: Annotated[str, typer.Option(help="Chip to bill on; see 'matterhorn chips'.")] = "rram-22nm",
    max_length: Annotated[int, typer.Option(help="Truncate rows to this many tokens.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of held-out rows, made-up rows and training.")] = 1,
    verify_rows: Annotated[int, typer.Option(min=1, help="Number of rows to verify.")] = 64,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate time, memory and loss of accuracy.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run has done.")] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Allow OUTPUT to contain another result, which is replaced, and other files, which are kept.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Turn a fine-tuned classifier into a spiking network: distill, convert, verify, evaluate and bill it.

    If interrupted, run the same command again to resume. If the run had finished, its results are printed again. The
    output folder's index.html explains how accuracy was lost.
    """
    from ..extras import need
    from .hub import notice_offline

    need("train", "torch", "transformers", "accelerate")
    plain_when_piped()
    if not Path(model).is_dir():
        notice_offline()
    seek(train, eval_rows, task=task, glue_dir=glue_dir)
    rows: dict[str, Any] = {"text": text, "label": label, "kind": kind, "task": task}
    if task and Path(task).suffix not in YAML and None in (train, eval_rows):
        rows["glue_dir"] = glue_folder(glue_dir)
    places: dict[str, Any] = {"output": output, "chip": chip, "overwrite": overwrite}
    settings: dict[str, Any] = {
        "minutes": minutes,
        "dead_zone": dead_zone,
        "silent_share": silent_share,
        "quiet_share": quiet_share,
        "max_length": max_length,
        "seed": seed,
    }
    if blocks is not None:
        settings["blocks"] = _numbers(blocks)
    settings |= {name: own for name, own in (("weights", weights), ("kv_bits", kv_bits)) if own is not None}
    if dry_run:
        from ..spiking import forecast, prepare

        plan, _ = prepare(model, train, eval_rows, **places, **rows, **settings)
        answer = forecast(plan, verify_rows)
    else:
        from ..spiking import spike as run

        more: dict[str, Any] = {"verify_rows": verify_rows, "restart": restart}
        done = run(model, train, eval_rows, progress=tracked, **places, **more, **rows, **settings)
        answer = done.answer
        if not done.is_new:
            say(f"{output}: this run had finished already, its results follow; --restart runs it again", err=True)
    say_cut(answer.get("cut", 0), answer.get("n", 0), max_length)
    if json:
        return print_json(answer)
    _print(f"{model} → {output}", answer)
    if not dry_run:
        from ..program.files import spelled

        example = {2: r"$'a text\tand another'"}.get(done.program.texts or 1, "'a text'")
        then = f"matterhorn run --model {quote(spelled(output))} {example}"
        say(f"{output / 'index.html'}: what was lost, and why; try: {then}")


def _numbers(text: str) -> list[int]:
    """Parse whole numbers separated by commas."""
    from ..errors import InputError

    try:
        return [int(one) for one in text.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r}", field="blocks", cure="give numbers between commas, e.g. 0,1,4,5") from error


def _print(title: str, answer: dict[str, Any]) -> None:
    """Print an answer as a table, followed by its notes."""
    from ..report.tables import print_facts
    from ..units import engineering

    facts = {name: value for name, value in answer.items() if name not in HIDDEN}
    if "joules" in facts:
        facts["joules"] = engineering(facts["joules"])
    print_facts(title, facts)
    for note in answer.get("notes", []):
        say(note)
