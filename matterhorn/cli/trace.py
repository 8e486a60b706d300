"""``matterhorn trace``: files that record what happened while a program ran."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import TRACES, Json, app, print_json

FORMAT = 1
"""Version of the JSON document."""

trace = typer.Typer(
    name="trace", help="Traces: files that record what happened while a program ran.", no_args_is_help=True
)
app.add_typer(trace)


@trace.callback()
def group() -> None:
    """Traces: files that record what happened while a program ran."""


@trace.command()
def merge(
    traces: Annotated[list[Path], typer.Argument(help="Traces of one program, each of different rows (.json.gz).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Write the merged trace to this file (.json.gz).")],
    json: Json = False,
) -> None:
    """Merge traces of the same program, e.g. of the shards of a data set. Two traces of the same rows are refused."""
    from ..program.trace import Trace, merged
    from ..storage import check_file

    check_file(output, "--output", ends=TRACES)
    if output.exists():
        raise InputError("already there", file=output, field="--output", cure="move it away, or name another file")
    parts = [Trace.load(path) for path in traces]
    try:
        whole = merged(parts)
    except InputError as error:
        raise InputError(str(error), file=", ".join(map(str, traces))) from error
    whole.save(output)
    facts = {
        "format": FORMAT,
        "output": str(output),
        "program": whole.program,
        "rows": whole.rows_hash,
        "n": whole.sequences,
        "silent_share": whole.silent_share,
        "quiet_share": whole.quiet_share,
    }
    if json:
        return print_json(facts)
    from ..report.tables import print_facts

    print_facts(str(output), facts)
