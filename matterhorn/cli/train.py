"""``matterhorn train``: from a pretrained encoder to a quantized network, by a recipe or a course of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from .app import app, say
from .hub import notice_offline
from .rows import GlueDir, glue_folder, plain_when_piped

Price = Annotated[str | None, typer.Option(help="A chip: events are spent by what they cost there, joules are told.")]
Threads = Annotated[int, typer.Option(help="Processor threads (0: all).")]
Restart = Annotated[bool, typer.Option("--restart", help="Remove what an earlier run left in the folder.")]
Tracker = Annotated[str | None, typer.Option(help="Report to tensorboard, wandb … (default: none).")]


@app.command()
def train(
    recipe: Annotated[
        str, typer.Option("--recipe", "--task", help="A shipped recipe (sst2, base/sst2 …) or a YAML file.")
    ] = "sst2",
    glue_dir: GlueDir = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the run lives (default: runs/<family>/<task>); its start lies beside it.")
    ] = None,
    price: Price = None,
    threads: Threads = 0,
    restart: Restart = False,
    tracker: Tracker = None,
) -> None:
    """Fine-tune a teacher and distill it, phase after phase. Killed or stopped, the same command goes on."""
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
    name: Annotated[str, typer.Argument(help="A course's YAML file, or a shipped recipe: it, and all it starts from.")],
    glue_dir: GlueDir = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the runs (default: runs/<family or file>).")] = None,
    price: Price = None,
    threads: Threads = 0,
    restart: Restart = False,
    tracker: Tracker = None,
) -> None:
    """Run recipes one after another, each from a backbone or an earlier one. What cannot start says so, the next one
    runs. Killed or stopped, the same command goes on. Exit 1 if not all came to their end."""
    _prepare(threads)
    from ..distill.course import load_course, run_course
    from ..distill.recipe import full_name

    recipes = load_course(name)
    if price:
        held = {own: recipe.priced(price) for own, recipe in recipes.items() if any(p.holds for p in recipe.phases)}
        recipes = recipes | held
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
    """What training needs."""
    from ..extras import need

    need("train", "torch", "transformers", "accelerate")
    notice_offline()
    plain_when_piped()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    if threads:
        torch.set_num_threads(threads)


def _figures(best: Path) -> str:
    """Both shares of late, and joules where there was a price."""
    from ..distill.state import read_progress
    from ..units import engineering

    last = read_progress(best.parent / "last").history[-1]
    figures = [f"{share} {last[share]:.3f}" for share in ("silent", "quiet") if share in last]
    figures += [f"{engineering(last['joules'])} a sentence in training"] if "joules" in last else []
    return "".join(f", {one}" for one in figures)
