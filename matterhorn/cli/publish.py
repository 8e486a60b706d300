"""``matterhorn publish``: a finished run as a folder to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Json, app, print_json
from .rows import GlueDir, glue_folder, tracked


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, as matterhorn train wrote it.")],
    output: Annotated[Path, typer.Argument(help="Folder for the model; its name is the model's.")],
    glue_dir: GlueDir = None,
    embeddings: Annotated[
        str, typer.Option(help="Embeddings file, relative to OUTPUT; models of one backbone may share it.")
    ] = "embeddings.safetensors",
    verify_rows: Annotated[int | None, typer.Option(min=1, help="Verify on so many dev rows (default: all).")] = None,
    json: Json = False,
) -> None:
    """Convert a run's network, score it on the dev rows, verify it, and write its recipe, figures and model card."""
    from ..report import glue_table
    from ..training.publish import publish as write

    result = write(
        run, output, glue_folder(glue_dir), embeddings=embeddings, verify_rows=verify_rows, progress=tracked("publish")
    )
    if json:
        print_json(result.model_dump())
        return
    from ..report.tables import print_table

    title, columns, rows = glue_table.tables([result])[0]
    print_table(title, columns, [row for row in rows if row[0] == result.task])
    typer.echo(f"{output}: model card, recipe and figures; try it: matterhorn evaluate --model {output}")
