"""``matterhorn glue``: the table over all tasks, the result files it is made of, and the test server's zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, app, print_json

glue = typer.Typer(name="glue", help="All of GLUE: score runs, make the table, fill the test server's zip.")
app.add_typer(glue, no_args_is_help=True)


@glue.command()
def table(
    paths: Annotated[list[Path] | None, typer.Argument(help="Result files, or folders of them (default: zoo).")] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX (booktabs).")] = False,
) -> None:
    """Teacher, quantised, spiking at each k, silent share and drop of every task, beside the published rivals."""
    from ..report import glue_table
    from ..training.results import read_results
    from ..zoo import ZOO

    if json + markdown + latex > 1:
        raise InputError("more than one format", field="--json, --markdown, --latex", cure="give one of them")
    results = read_results(paths or [ZOO])
    if json:
        print_json(glue_table.as_json(results))
    elif markdown or latex:
        typer.echo(glue_table.markdown(results) if markdown else glue_table.latex(results))
    else:
        from ..report.tables import print_table

        for title, columns, rows in glue_table.tables(results):
            print_table(title, columns, rows)
        for note in glue_table.NOTES:
            typer.echo(note)
