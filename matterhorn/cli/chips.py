"""``matterhorn chips``: the chips, and where their numbers come from."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import Json, app, print_json
from .energy import Overrides

CHIPS_FORMAT = 2
"""Version of the document that ``matterhorn chips --json`` prints. Version 2 moved chips under a key of their own."""


@app.command("chips")
def list_chips(
    name: Annotated[str | None, typer.Argument(help="Chip to explain, number by number.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the chips, or explain one: every number with its unit and source."""
    from ..energy import load, shipped
    from ..report.energy_table import print_chip, print_chips

    chips = [load(name, overrides or ())] if name else [load(known) for known in shipped()]
    if as_json:
        print_json({"format": CHIPS_FORMAT, "chips": {c.name: c.model_dump(exclude_none=True) for c in chips}})
    elif name:
        print_chip(chips[0])
    else:
        print_chips(chips)
