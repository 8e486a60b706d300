"""``matterhorn pareto``: accuracy versus energy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..extras import need
from .app import PICTURES, Json, app, print_json
from .energy import DEFAULT_MODEL, obtain_trace
from .rows import Rows


@app.command()
def pareto(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Model; repeatable. All must be of one task.")
    ] = None,
    chip: Annotated[str, typer.Option(help="Shipped chip or YAML file; see 'matterhorn chips'.")] = "rram-22nm",
    plot: Annotated[Path | None, typer.Option(help="Draw the Pareto front to this image file.")] = None,
    as_json: Json = False,
) -> None:
    """Compare accuracy and energy of networks, of dense versions of the same models, and of published rivals.

    Each model needs a results.json in its folder, which 'matterhorn publish' or 'matterhorn glue score' writes. Without
    a trace.json.gz there, the dev rows of its task are run to record one.
    """
    from ..energy import load
    from ..program import files
    from ..report.front import FRONT_FORMAT, front, plot_front
    from ..report.tables import print_table
    from ..storage import check_file
    from ..tasks.results import read_result
    from ..units import engineering

    if plot is not None:
        need("plot", "matplotlib")
        check_file(plot, "--plot", ends=PICTURES)
    hardware, results = load(chip), {}
    for name in models or [DEFAULT_MODEL]:
        path = files.find(name) / "results.json"
        results[name] = read_result(path)
        if not results[name].spiking:
            raise InputError("no spiking network", file=path, field="spiking", cure="evaluate one")
    (task, metric), *others = sorted({(result.title, result.metric) for result in results.values()})
    if others:
        named = " and ".join(f"{task} ({metric})" for task, metric in [(task, metric), *others])
        raise InputError(f"models of {named}", field="--model", cure="give models of one task")
    points = front({name: (obtain_trace(name, Rows(), None), result) for name, result in results.items()}, hardware)
    if plot is not None:
        plot_front(points, f"{task} on {hardware.name}", metric, plot)
    if as_json:
        rows = [asdict(point) for point in points]
        print_json({"format": FRONT_FORMAT, "task": task, "chip": hardware.name, "points": rows})
    else:
        cells = [
            (
                p.name,
                "unknown" if p.value is None else f"{p.value:.3f}",
                "–" if p.drop is None else f"{100 * p.drop:.1f}",
                engineering(p.joules),
                "yes" if p.trained else "no",
                "yes" if p.on_front else "",
            )
            for p in points
        ]
        columns = ("network", "value", "drop", "a sentence", "trained", "front")
        print_table(f"{task} on {hardware.name}", columns, cells)
