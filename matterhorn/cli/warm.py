"""``matterhorn warm``: what the first run would otherwise wait for."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from .app import Json, app, print_json


@app.command()
def warm(
    model: Annotated[str, typer.Option(help="A shipped model's name or a folder.")] = "sst2", json: Json = False
) -> None:
    """Compile the kernels and measure this machine, once after installation: later runs start in a few seconds."""
    start = time.perf_counter()
    from ..engines.costs import cache_file
    from ..engines.warm import warm_up
    from ..models.checkpoint import load_spiking
    from ..zoo import find

    warm_up(load_spiking(find(model)))
    answer = {"seconds": time.perf_counter() - start, "costs": str(cache_file())}
    if json:
        print_json(answer)
    else:
        typer.echo(f"kernels compiled, machine measured ({answer['costs']}) in {answer['seconds']:.1f} s")
