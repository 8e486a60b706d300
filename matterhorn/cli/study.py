"""``matterhorn msu study``: what a network asks of its device."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, print_json
from .chip import PlaceRows, Seed, Tolerance, VerifyWrites
from .extras import need
from .msu import msu
from .rows import Rows, load_rows, tracked, with_rows


@msu.command()
@with_rows
def study(
    rows: Rows,
    model: Annotated[str | None, typer.Option(help="A shipped model's name or a folder (default: the task's).")] = None,
    chips: Annotated[int, typer.Option(min=1, max=1000, help="Chips for each value.")] = 5,
    seed: Seed = 0,
    properties: Annotated[
        list[str] | None, typer.Option("--only", help="Only this property; may be given several times.")
    ] = None,
    points: Annotated[Path | None, typer.Option(help="Properties and values to try (YAML).")] = None,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    output: Annotated[Path | None, typer.Option(help="Write the answer here (.json).")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    json: Json = False,
) -> None:
    """Score against one property of the device at a time, over several chips, and the device you need.

    With ``--output FILE`` scores are kept in FILE.part on the way: killed and started again, the study goes on.
    """
    from ..msu import Correction, WireCache, default_folder
    from ..study import Journal, Run, load_plan, run_plan

    if html is not None:
        need("plot", "plotly")
    if place_rows:
        need("msu", "scipy")
    plan = load_plan(points)
    if properties:
        unknown = [name for name in properties if name not in plan.studies]
        if unknown:
            cure = f"choose from {', '.join(plan.studies)}"
            raise InputError(f"no property {unknown[0]!r}", field="--only", cure=cure)
        plan = plan.model_copy(update={"studies": {n: s for n, s in plan.studies.items() if n in properties}})
    for path, option in ((output, "--output"), (html, "--html")):
        if path is not None and not path.resolve().parent.is_dir():
            raise InputError("no such folder", file=path, field=option, cure="name a file in a folder that exists")
    correction = Correction(verify_writes, tolerance, place_rows)
    program, tokens, chosen = load_rows(model, rows)
    about = {"task": chosen.name, "model": model or chosen.name, "n": len(tokens), "metric": chosen.metrics[0]}
    settings = {"verify_writes": verify_writes, "tolerance": tolerance, "place_rows": place_rows}
    plain = plan.model_dump(mode="json", exclude={"studies": {"__all__": {"title", "values", "chips"}}})
    sources = {"program": program.hash, "plan": plain, **about, **settings}
    journal = Journal(output.with_name(output.name + ".part"), sources) if output is not None else None
    found = run_plan(
        Run.of(program, tokens, chosen),
        plan,
        chips,
        seed=seed,
        cache=WireCache(default_folder()),
        correction=correction,
        journal=journal,
        progress=tracked("study"),
    )
    answer = {**found, **about, "verify_writes": verify_writes, "place_rows": place_rows}
    if output is not None and journal is not None:
        output.write_text(json_module.dumps(answer, indent=1) + "\n", encoding="utf-8")
        journal.close()
    if html is not None:
        from ..report.study import write_study_page

        write_study_page(html, answer)
    if json:
        print_json(answer)
        return
    from ..report.study import print_study

    print_study(answer)
    for path in (output, html):
        if path is not None:
            typer.echo(f"written: {path}")
