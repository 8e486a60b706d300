"""``matterhorn evaluate``: metric and silence on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import TRACES, Json, TaskModel, app, print_json, say_cut
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
    about_chips,
    chip,
    refuse_chip_options,
)
from .processes import launched, shared
from .rows import MAX_LENGTH, Rows, load_rows, model_name, tracked, with_rows

if TYPE_CHECKING:
    from ..tasks.evaluate import Evaluation

FORMAT = 3
"""Version of the JSON document. Version 3 added intervals and your own data."""


@app.command()
@with_rows
def evaluate(
    context: typer.Context,
    rows: Rows,
    model: TaskModel = None,
    backend: Annotated[
        str, typer.Option(help="events, exact or stepped (bit-identical); or analog (a simulated chip).")
    ] = "events",
    deviation: Deviation = None,
    device: DeviceName = "ideal",
    circuit: CircuitName = "ideal-128",
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    chips: Chips = 1,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file (.json.gz).")] = None,
    json: Json = False,
) -> None:
    """Evaluate a program on a task: metric, silent share, quiet share and events per token."""
    from ..runtime import Engine
    from ..storage import check_file
    from ..tasks.evaluate import evaluate as run

    if trace:
        check_file(trace, "--trace", ends=TRACES)
    accelerator = launched()
    analog = backend == "analog"
    if analog:
        bank = chip(device, circuit, seed, deviation, verify_writes, tolerance, place_rows)
    else:
        refuse_chip_options(context, backend)
    program, tokens, chosen = load_rows(model, rows)
    if analog:
        from ..study import Run

        chips_run = Run.of(program, tokens, chosen)
        engine = chips_run.on_chip(bank, seconds, progress=tracked(f"chip {seed}"))
    else:
        engine = Engine(program, backend)
    result = run(program, tokens, chosen, backend=engine, progress=tracked, **shared(accelerator))
    if accelerator and not accelerator.is_main_process:
        return
    if trace:
        result.trace.save(trace)
    answer: dict[str, Any] = {
        "format": FORMAT,
        "task": chosen.name,
        "model": model_name(model, rows),
        "backend": backend,
        "split": rows.split or (None if rows.data else "dev"),
        "data": rows.data,
        **_figures(result, chosen.metrics[0]),
        "cut": tokens.cut,
    }
    say_cut(tokens.cut, len(tokens), rows.max_length or MAX_LENGTH)
    if analog:
        others = chips_run.scores(bank, range(seed + 1, seed + chips), seconds, tracked("chips"))
        answer |= about_chips(bank, seconds, [answer["value"], *others])
    if json:
        print_json(answer)
    else:
        from ..report.tables import print_facts

        print_facts(f"{answer['model']} on {rows.data or chosen.name + '/' + answer['split']}", answer)


def _figures(result: Evaluation, metric: str) -> dict[str, Any]:
    """The main metric with its interval, other metrics, shares and time."""
    return {
        "n": result.n,
        "metric": metric,
        "value": result.metrics[metric],
        "low": result.low,
        "high": result.high,
        "metrics": result.metrics,
        "silent_share": result.silent_share,
        "quiet_share": result.quiet_share,
        "events_per_token": result.events_per_token,
        "seconds": result.seconds,
    }
