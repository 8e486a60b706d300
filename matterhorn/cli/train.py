"""``matterhorn train``: from a pretrained encoder to a quantized network, by a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .app import app, say
from .hub import notice_offline
from .rows import GlueDir, glue_folder


@app.command()
def train(
    recipe: Annotated[
        str, typer.Option("--recipe", "--task", help="A shipped recipe (sst2, bert-base/sst2 …) or a YAML file.")
    ] = "sst2",
    glue_dir: GlueDir = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the run lives (default: runs/<family>/<task>); its start lies beside it.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="A chip: events are spent by what they cost there, and joules are told.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Processor threads (0: all).")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Remove what an earlier run left in the folder.")] = False,
    tracker: Annotated[str | None, typer.Option(help="Report to tensorboard, wandb … (default: none).")] = None,
) -> None:
    """Fine-tune a teacher and distill it, phase after phase. Killed or stopped, the same command goes on."""
    from .extras import need

    need("train", "torch", "transformers", "accelerate")
    notice_offline()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from ..distill.recipe import full_name, load_recipe
    from ..distill.run import train as run

    if threads:
        torch.set_num_threads(threads)
    settings = load_recipe(recipe)
    if price:
        settings = settings.priced(price)
    place = output or Path("runs") / (Path(recipe).stem if Path(recipe).suffix else full_name(recipe))
    best = run(settings, place, glue_folder(glue_dir), tracker=tracker, restart=restart)
    if os.environ.get("RANK", "0") == "0":
        say(f"{best}: the quantized network{_figures(best)}; next: matterhorn publish {place} OUTPUT")


def _figures(best: Path) -> str:
    """Both shares of late, and joules where there was a price."""
    from ..distill.state import read_progress
    from ..units import engineering

    last = read_progress(best.parent / "last").history[-1]
    told = [f"{share} {last[share]:.3f}" for share in ("silent", "quiet") if share in last]
    told += [f"{engineering(last['joules'])} a sentence in training"] if "joules" in last else []
    return "".join(f", {one}" for one in told)
