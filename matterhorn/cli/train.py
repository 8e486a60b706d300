"""``matterhorn train``: from a pretrained encoder to a quantised network, by a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command()
def train(
    recipe: Annotated[
        str, typer.Option("--recipe", "--task", help="A shipped recipe (sst2 …) or a YAML file.")
    ] = "sst2",
    glue_dir: Annotated[Path | None, typer.Option(help="Folder of GLUE files; without it, the hub.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the run lives (default: runs/<recipe>).")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads (0: all).")] = 0,
) -> None:
    """Fine-tune a teacher and distil it in rounds. Killed or stopped, the same command goes on where it was."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from ..training.recipe import load_recipe
    from ..training.run import train as run

    if threads:
        torch.set_num_threads(threads)
    best = run(load_recipe(recipe), output or Path("runs") / Path(recipe).stem, glue_dir)
    typer.echo(f"{best}: the quantised network; next: matterhorn convert {best} OUTPUT")
