"""``matterhorn predict``: answer any number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import A_MODEL, BackendName, Json, app, print_json, say
from .rows import MAX_LENGTH, Rows, seek, tracked

FORMAT = 1
"""Version of the JSON document."""


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help=f"{A_MODEL}.")],
    data: Annotated[str, typer.Option(help="Rows: a .csv, .tsv, .jsonl or .parquet file, or a 'datasets' data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the answers: .csv, .jsonl or .parquet.")],
    text: Annotated[
        list[str] | None, typer.Option(help="Column of the text; give two for pairs (default: text).")
    ] = None,
    shard: Annotated[
        str, typer.Option(help="Process only part i of n of the rows, i/n, with i from 0 to n - 1.")
    ] = "0/1",
    backend: BackendName = "events",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows per batch.")] = 32,
    max_length: Annotated[int, typer.Option(min=3, help="Truncate rows to this many tokens.")] = MAX_LENGTH,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads (default: $OMP_NUM_THREADS, else all).")
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Also write the logits.")] = False,
    json: Json = False,
) -> None:
    """Answer all rows of a file of any size. The output has row numbers, answers and probabilities.

    If interrupted, run the same command again: it resumes from the parts in OUTPUT.parts. Shards may run anywhere and
    in any order. Their rows, one shard after another, are bit-identical to those of a single run. Each CSV file has a
    header of its own.
    """
    from ..tasks.answers import write_answers
    from ..tasks.predictor import Predictor

    which, slash, shards = shard.partition("/")
    if not (slash and which.isdecimal() and shards.isdecimal()):
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
        limit = f"--max-length {max_length} tokens, or than the network can read"
        say(f"{written.cut} of {written.rows} rows were truncated, as they are longer than {limit}", err=True)
    if json:
        asked = {"model": model, "task": Rows(data=data).task_name(predictor.program.task), "data": data}
        print_json({"format": FORMAT, "output": str(output), **asked, "n": written.rows, "cut": written.cut})
    else:
        say(f"{output}: {written.rows} answers")
