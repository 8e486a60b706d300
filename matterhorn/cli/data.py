"""``matterhorn data``: public unlabeled text for recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .app import Json, app, print_json, say
from .rows import tracked

data = typer.Typer(name="data", help="Public text without labels, on which recipes distill.", no_args_is_help=True)
app.add_typer(data)

FORMAT = 1
"""Version of the JSON document."""


@data.command("list")
def list_sources(json: Json = False) -> None:
    """List the known sources, with the version and SHA-256 that a recipe must name."""
    from ..tasks.sources import sources

    about: list[dict[str, Any]] = [
        {"name": name, "about": one.about, "license": one.license, "version": one.version, "sha256": one.sha256}
        for name, one in sources().items()
    ]
    if json:
        return print_json({"format": FORMAT, "sources": about})
    from ..report.tables import print_table

    print_table("sources", list(about[0]), [list(one.values()) for one in about])


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(help="Name of a source; see 'matterhorn data list'.")],
    output: Annotated[
        Path, typer.Option(help="Folder for the rows. Recipes look in $MATTERHORN_TEXT_DIR, else in text.")
    ] = (Path("text")),
    files: Annotated[
        Path | None,
        typer.Option(help="Folder of the published files, downloaded if missing (default: OUTPUT/published/NAME)."),
    ] = None,
) -> None:
    """Make rows from the files that a source publishes. Each file is checked against its SHA-256."""
    from ..tasks.sources import prepare as write
    from ..tasks.sources import sources

    known = sources()
    if name not in known:
        raise InputError(f"no source {name!r}", field="name", cure=f"give one of {', '.join(known)}")
    count = write(name, known[name], files or output / "published" / name, output, progress=tracked)
    say(f"{output / name}.tsv.gz: {count:,} rows; {known[name].license}")
