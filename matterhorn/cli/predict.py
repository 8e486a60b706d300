"""``matterhorn predict``: answers to any number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import A_MODEL, BackendName, Json, app, print_json, say
from .rows import MAX_LENGTH, Rows, seek, tracked

FORMAT = 1
"""Of the JSON document."""


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help=f"{A_MODEL}.")],
    data: Annotated[str, typer.Option(help="Rows: .csv, .tsv, .jsonl, .parquet, or a set of datasets.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Write here: .csv, .jsonl or .parquet.")],
    text: Annotated[list[str] | None, typer.Option(help="Column of the text; twice for pairs (default: text).")] = None,
    shard: Annotated[str, typer.Option(help="Only this stretch of the rows: i/n, i from 0 to n - 1.")] = "0/1",
    backend: BackendName = "events",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows that run together.")] = 32,
    max_length: Annotated[int, typer.Option(min=3, help="Rows are cut to this many tokens.")] = MAX_LENGTH,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads (default: all).")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Write the logits as well.")] = False,
    json: Json = False,
) -> None:
    """Answer the rows of a file, however many, and write answers and probabilities beside their numbers.

    Killed and started again, it goes on from the parts in OUTPUT.parts. Shards may run anywhere at any time: their
    rows one after another are, to the bit, those of one run; each CSV file has a header of its own.
    """
    from ..tasks.answers import write_answers
    from ..tasks.predictor import Predictor

    which, slash, shards = shard.partition("/")
    if not (slash and which.isdigit() and shards.isdigit()):
        raise InputError(f"{shard!r} is not i/n", field="--shard", cure="write e.g. 0/4")
    seek(data)
    predictor = Predictor(
        model,
        text or ["text"],
        max_length=max_length,
        batch_size=batch_size,
        backend=backend,
        threads=threads,
        logits=logits,
    )
    written = write_answers(predictor, data, output, shard=(int(which), int(shards)), progress=tracked)
    if written.cut:
        limit = f"than --max-length {max_length}, or than the network reads"
        say(f"{written.cut} of {written.rows} rows were cut: they are longer {limit}", err=True)
    if json:
        asked = {"model": model, "task": Rows(data=data).task_name(predictor.program.task), "data": data}
        print_json({"format": FORMAT, "output": str(output), **asked, "n": written.rows, "cut": written.cut})
    else:
        say(f"{output}: {written.rows} answers")
