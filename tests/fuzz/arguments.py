"""Command lines: any command, some of its options, values sound and strange."""

from __future__ import annotations

from random import Random
from typing import Any

import click
import typer

from matterhorn.cli import app

from .mutate import NUMBERS, TEXTS

SOUND = (
    "models/sst2", "sst2", "rows.csv", "rows.jsonl", "task.yaml", "chip.yaml", "device.yaml", "circuit.yaml",
    "one.json.gz", "two.json.gz", "results.json", "bench.json", "points.yaml", "texts.txt", "kappa.npy",
    "weights.npy", "run", "text", "label", "events", "exact", "analog", "rram-22nm", "ideal", "dev", "0/1", "1/2",
    "block.0.ffn1", "noc.hop.energy=1 pJ", "read", "a fine film", "out/new.json", "out/new.csv", "out/new.html",
    "out/new.png", "out", "models", ".", "glue", "1", "2", "3",
)  # fmt: skip
TOO_LONG = {"train", "spike", "publish", "bench", "warm", "score", "submit", "check", "export", "study"}
"""Commands whose sound arguments start work of minutes, or need other programs: they get strange ones only."""


def commands(group: Any, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """All commands by their words."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(None):
        own = group.get_command(None, name)
        inner = hasattr(own, "commands")
        found |= commands(own, (*before, name)) if inner else {(*before, name): own}
    return found


COMMANDS = commands(typer.main.get_command(app))


def line(draw: Random) -> list[str]:
    """One command line."""
    words = draw.choice(sorted(COMMANDS))
    own, given = COMMANDS[words], list(words)
    for one in own.params:
        option = isinstance(one, click.Option) or one.param_type_name == "option"
        if one.name == "help" or (not one.required and draw.random() < 0.7):
            continue
        name = draw.choice([*one.opts, *one.secondary_opts]) if option else None
        if option and getattr(one, "is_flag", False):
            given.append(str(name))
            continue
        for _ in range(draw.choice([1, 1, 1, 2])):
            given += [*([str(name)] if name else []), _value(draw, words[-1] in TOO_LONG)]
    if words[-1] in TOO_LONG:
        given += ["--nonsense"] * draw.choice([0, 1])
        given += [] if words[-1] in ("publish", "export") else [draw.choice(["--seed", "--threads", "--limit"]), "x"]
    return [word.replace("\x00", "") for word in given]


def _value(draw: Random, strange: bool) -> str:
    if not strange and draw.random() < 0.7:
        return draw.choice(SOUND)
    value = draw.choice([draw.choice(TEXTS), str(draw.choice(NUMBERS)), draw.choice(SOUND) + draw.choice(TEXTS)])
    return value[:2000]
