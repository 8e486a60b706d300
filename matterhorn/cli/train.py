"""``matterhorn train``: from a pretrained encoder to a quantized network, by one recipe or by a course of several."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from .app import app, plain_when_piped, say
from .hub import notice_offline
from .rows import GlueDir, glue_folder

Price = Annotated[str | None, typer.Option(help="Chip: spend events by their energy on it, and report joules.")]
Threads = Annotated[int, typer.Option(min=0, help="Number of threads (0: PyTorch's default).")]
Restart = Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in the folder.")]
Tracker = Annotated[str | None, typer.Option(help="Report to this tracker: tensorboard, wandb, … (default: none).")]


@app.command()
def train(
    recipe: Annotated[
        str, typer.Option("--recipe", "--task", help="Shipped recipe (sst2, base/sst2, …) or YAML file.")
    ] = "sst2",
    glue_dir: GlueDir = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run (default: runs/<family>/<task>). Runs that it starts from are found next to it."
        ),
    ] = None,
    price: Price = None,
    threads: Threads = 0,
    restart: Restart = False,
    tracker: Tracker = None,
) -> None:
    """Fine-tune a teacher and distill it, phase by phase. If interrupted, run the same command again to resume."""
    _prepare(threads)
    from ..distill.recipe import full_name, load_recipe
    from ..distill.run import train as run

    settings = load_recipe(recipe)
    if price:
        settings = settings.priced(price)
    place = output or Path("runs") / (Path(recipe).stem if Path(recipe).suffix else full_name(recipe))
    best = run(settings, place, glue_folder(glue_dir), tracker=tracker, restart=restart)
    if os.environ.get("RANK", "0") == "0":
        then = f"matterhorn publish {quote(str(place))} OUTPUT"
        say(f"{best}: the quantized network{_figures(best)}; next: {then}")


@app.command()
def course(
    name: Annotated[
        str, typer.Argument(help="YAML file of a course, or a shipped recipe, with all that it starts from.")
    ],
    glue_dir: GlueDir = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the runs (default: runs/<family or file>).")] = None,
    price: Price = None,
    threads: Threads = 0,
    restart: Restart = False,
    tracker: Tracker = None,
) -> None:
    """Run several recipes one after another, each from a backbone or from the result of an earlier one.

    If a recipe cannot start, a message says so and the next one runs. If interrupted, run the same command again to
    resume. Exit code 1 if not all recipes were completed.
    """
    _prepare(threads)
    from ..distill.course import load_course, price_course, run_course
    from ..distill.recipe import full_name

    recipes = load_course(name)
    if price:
        recipes = price_course(recipes, price)
    place = output or Path("runs") / (Path(name).stem if Path(name).suffix else Path(full_name(name)).parent)
    is_first = os.environ.get("RANK", "0") == "0"
    tell = partial(say, err=True) if is_first else len
    done = run_course(recipes, place, glue_folder(glue_dir), tracker=tracker, restart=restart, say=tell)
    for one in done if is_first else []:
        say(
            f"{one.best}: the quantized network{_figures(one.best)}" if one.best else f"{one.name}: not done, see above"
        )
    raise typer.Exit(0 if all(one.best for one in done) else 1)


def _prepare(threads: int) -> None:
    """Check that training is possible and set up threads."""
    from ..extras import need

    need("train", "torch", "transformers", "accelerate")
    notice_offline()
    plain_when_piped()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    if threads:
        torch.set_num_threads(threads)


def _figures(best: Path) -> str:
    """Format both shares of the network that was kept, and its joules if training had a price."""
    from ..distill.state import read_progress
    from ..units import engineering

    kept = read_progress(best.parent / "last").kept
    figures = [f"{share} {kept[share]:.3f}" for share in ("silent", "quiet") if share in kept]
    figures += [f"{engineering(kept['joules'])} a sentence in training"] if "joules" in kept else []
    return "".join(f", {one}" for one in figures)
