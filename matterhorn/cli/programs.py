"""``matterhorn info``, ``verify``, ``convert``, ``upgrade``, ``warm``: programs and their files."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import A_MODEL, Json, ModelName, Overwrite, TaskModel, app, print_json, say
from .rows import Rows, load_rows, model_name, tracked, with_rows

if TYPE_CHECKING:
    from ..program.parts import Connection, Population

FORMAT = 2
"""Version of the JSON documents."""

Embeddings = Annotated[str, typer.Option(help="Embeddings file, relative to OUTPUT. Models may share it.")]


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Folder of a quantized network that 'matterhorn train' wrote.")],
    output: Annotated[Path, typer.Argument(help="Folder for the program.")],
    task: Annotated[str | None, typer.Option(help="Task that it was trained for, or 'general'.")] = None,
    embeddings: Embeddings = "embeddings.safetensors",
    overwrite: Overwrite = False,
) -> None:
    """Convert a quantized network to a program: packed weights, integer thresholds, silent levels."""
    from ..extras import need
    from ..program.decision import GENERAL
    from ..program.embeddings import place_of
    from ..program.files import spelled
    from ..program.saving import save
    from ..storage import check_folder
    from ..tasks import get_task

    need("train", "torch", "transformers")
    check_folder(output, "program", source, overwrite=overwrite)
    place_of(embeddings, output)
    from ..models.convert import convert_folder

    name = task if task in (None, GENERAL) else get_task(task).name
    save(convert_folder(source, task=name), output, embeddings=embeddings)
    say(f"{output}: a program; check it with: matterhorn verify --model {quote(spelled(output))}")


@app.command()
def upgrade(
    old: Annotated[Path, typer.Argument(help="Folder that an earlier version wrote.")],
    new: Annotated[Path, typer.Argument(help="Folder for the upgraded copy. It must not exist yet.")],
    embeddings: Annotated[
        str | None, typer.Option(help="Embeddings file, relative to NEW (default: as in OLD).")
    ] = None,
) -> None:
    """Upgrade a program, or a quantized network to continue training, from the format of an earlier version."""
    from ..program.upgrade import upgrade as write

    say(f"{new}: {write(old, new, embeddings=embeddings)}, in the current format")


@app.command()
@with_rows
def verify(
    rows: Rows,
    model: TaskModel = None,
    against: Annotated[
        Path | None, typer.Option(help="Folder of the quantized network to compare with (default: it is restored).")
    ] = None,
    json: Json = False,
) -> None:
    """Verify bit by bit that all backends match the quantized network behind a program.

    Exit code 0 if nothing differs, else 1. Without the extra ``train`` there is no quantized network, so the backends
    are compared with one another.
    """
    from ..extras import need, present
    from ..runtime import verify as compare
    from ..tasks.tokens import sorted_batches

    if against is not None:
        need("train", "torch", "transformers")
    program, tokens, task = load_rows(model, rows, labelled=False)
    batches = [tokens.encoded(numbers) for numbers in sorted_batches(tokens, 32)]
    reference: Any = None
    if against is not None or present("torch", "transformers"):
        from ..models.restore import reference_for

        reference = reference_for(program, against)
    report = compare(program, batches, against=reference, progress=tracked("verify"))
    asked = {"model": model_name(model, rows), "program": program.hash, "task": task.name, "data": rows.data}
    answer = {"format": FORMAT, **asked, "identical": report.identical, **vars(report)}
    if json:
        print_json(answer)
    else:
        from ..report.tables import print_facts

        print_facts("identical" if report.identical else "DIFFERENT", answer)
    raise typer.Exit(0 if report.identical else 1)


@app.command()
def info(
    model: Annotated[str | None, typer.Argument(help=f"{A_MODEL} (default: list all that have a name).")] = None,
    json: Json = False,
) -> None:
    """Describe a model, or list all models that can be loaded by name.

    The list shows weights, both shares and the SHA-256 of the arrays. Models that are damaged or of an earlier format
    are left out, each with a line on standard error.
    """
    from ..program.files import shipped

    if model is not None:
        return _describe_one(model, json)
    rows = []
    for name in shipped():
        try:
            rows.append(_line(name))
        except InputError as error:
            say(f"{name} is left out: {error}", err=True)
    if json:
        return print_json({"format": FORMAT, "models": rows})
    from ..report.tables import print_table

    columns = ["name", "task", "size", "weights", "k", "trained for", "silent", "quiet", "sha256"]
    print_table("models", columns, [_brief(row) for row in rows])


def _line(name: str) -> dict[str, Any]:
    from ..program.embeddings import MODEL_FILE
    from ..program.files import CONFIG_FILE, KIND, config_of, find, read_config
    from ..storage import manifest_of
    from ..tasks.results import read_result

    folder = find(name)
    plain = read_config(folder)
    network, file = config_of(plain["network"], folder / CONFIG_FILE), folder / "results.json"
    sizes = {"blocks": network.num_hidden_layers, "width": network.hidden_size}
    formats = {"weights": network.weights, "dead_zone": network.dead_zone}
    scores = next(iter(read_result(file).spiking), None) if file.is_file() else None
    shares = {share: getattr(scores, share, None) for share in ("silent_share", "quiet_share")}
    sealed = {"sha256": manifest_of(folder, KIND).sum_of(folder, MODEL_FILE), "path": str(folder)}
    purpose = {"trained_for": _trained_for(folder / "recipe.yaml")}
    return {"name": name, "task": plain["task"], **sizes, **formats, **purpose, **shares, **sealed}


def _trained_for(recipe: Path) -> str | None:
    """Return the target of a recipe's last phase: the price of events on a chip, or the shares that were held. None:
    unknown.
    """
    from ..reading import read_yaml

    phases = read_yaml(recipe).get("phases") if recipe.is_file() else None
    last = phases[-1] if isinstance(phases, list) and phases and isinstance(phases[-1], dict) else {}
    if last.get("price"):
        return f"joules on {last['price']}"
    held = [share.removesuffix("_share") for share in ("silent_share", "quiet_share") if last.get(share)]
    return {"silent": "count alone"}.get(", ".join(held), ", ".join(held) or None)


def _brief(line: dict[str, Any]) -> list[Any]:
    """Format a model as a row of the table, which fits into 80 columns."""
    size, shares = f"{line['blocks']} × {line['width']}", [line["silent_share"], line["quiet_share"]]
    shown = ["–" if share is None else f"{share:.3f}" for share in shares]
    formats = [line["weights"], line["dead_zone"], line["trained_for"] or "–"]
    return [line["name"], line["task"], size, *formats, *shown, line["sha256"][:12]]


def _describe_one(model: str, json: bool) -> None:
    from ..program.files import load

    program = load(model)
    folder, config = program.path, program.config
    assert folder is not None
    answer: dict[str, Any] = {
        "format": FORMAT,
        "name": model,
        "path": str(folder),
        "hash": program.hash,
        "task": program.task,
        "labels": list(program.labels),
        **config.plain(),
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()},
        "connections": [_connection(str(site), c) for site, c in program.connections().items()],
        "populations": {str(site): _population(p) for site, p in program.populations().items()},
    }
    if json:
        return print_json(answer)
    from ..report.tables import print_facts, print_table

    print_facts(model, {k: v for k, v in answer.items() if k not in ("connections", "populations")})
    rows = [list(row.values()) for row in answer["connections"]]
    print_table("connections", list(answer["connections"][0]), rows)
    rows = [[name, *row.values()] for name, row in answer["populations"].items()]
    print_table("populations", ["name", *next(iter(answer["populations"].values()))], rows)


def _connection(name: str, connection: Connection) -> dict[str, Any]:
    fan_out, fan_in = connection.weights.shape
    return {"name": name, "fan_in": fan_in, "fan_out": fan_out, "weights": connection.kind}


def _population(population: Population) -> dict[str, Any]:
    silent = population.code.silent
    return {
        "scale": float(population.scale),
        "zero": int(population.zero.mean()),
        "silent_levels": silent.size,
        "silent_min": int(silent.min()),
        "silent_max": int(silent.max()),
        "dead_zone": population.code.dead_zone,
    }


@app.command()
def warm(model: ModelName = "sst2", json: Json = False) -> None:
    """Compile all kernels, once after installation. Later runs then start in a second or two."""
    from ..program.files import load
    from ..runtime.warm import warm_up

    start = time.perf_counter()
    warm_up(load(model))
    seconds = time.perf_counter() - start
    if json:
        print_json({"format": FORMAT, "seconds": seconds})
    else:
        typer.echo(f"kernels compiled in {seconds:.1f} s")
