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
    tracker: Annotated[str | None, typer.Option(help="Report to tensorboard, wandb … (default: none).")] = None,
) -> None:
    """Fine-tune a teacher and distil it in rounds. Killed or stopped, the same command goes on where it was."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from ..training.general import distil_generally
    from ..training.recipe import GeneralRecipe, load_recipe
    from ..training.run import train as run
    from ..training.tracking import tracking

    if threads:
        torch.set_num_threads(threads)
    settings = load_recipe(recipe)
    named = Path(recipe).stem if Path(recipe).suffix else recipe
    with tracking(tracker):
        place = output or Path("runs") / named
        if isinstance(settings, GeneralRecipe):
            best = distil_generally(settings, place, glue_dir)
        else:
            best = run(settings, place, glue_dir)
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"{best}: the quantised network; next: matterhorn convert {best} OUTPUT")
