"""``matterhorn glue``: the table of all tasks, the result files behind it, and the zip file for the test server."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from ..reading import read_mapping
from .app import BackendName, Json, app, print_json, say
from .processes import launched, shared
from .rows import MAX_LENGTH, GlueDir, Rows, glue_folder, tracked, with_rows

if TYPE_CHECKING:
    from ..program import Program
    from ..tasks import Task
    from ..tasks.results import Result, Scores
    from ..tasks.score import Splits

FORMAT = 1
"""Version of the JSON document of ``submit``."""

glue = typer.Typer(
    name="glue", help="The GLUE benchmark: score runs, print the table of results, fill the test server's zip file."
)
app.add_typer(glue, no_args_is_help=True)


@glue.command()
def table(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Result files, or folders with result files (default: the shipped models)."),
    ] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX (booktabs).")] = False,
) -> None:
    """Print the results of all tasks next to those of published rivals.

    Columns are the teacher, the quantized network, the spiking network at each dead zone k, both shares and the drop.
    """
    from ..program import find
    from ..report import glue_table
    from ..tasks.results import read_results

    if json + markdown + latex > 1:
        raise InputError("more than one format", field="--json, --markdown, --latex", cure="give one of them")
    results = read_results(paths or [find(name) for name in _with_results()])
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


@glue.command()
@with_rows
def score(
    source: Annotated[str, typer.Argument(help="Folder of a run or a network, or name of a model.")],
    output: Annotated[Path, typer.Option(help="Write the result to this file, e.g. results.json.")],
    rows: Rows,
    teacher: Annotated[Path | None, typer.Option(help="Folder of the teacher (default: that of the run).")] = None,
    quantized: Annotated[
        Path | None, typer.Option(help="Folder of the network with k = 0 (default: that of the run).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in the file (default: SOURCE, or for a run its task).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run (default: that of its recipe).")] = None,
    backend: BackendName = "events",
    json: Json = False,
) -> None:
    """Evaluate a run's networks on the dev rows and write the result file that ``glue table`` reads."""
    from ..program import find
    from ..storage import check_file, read_manifest
    from ..tasks.evaluate import evaluate
    from ..tasks.results import PATTERN
    from ..tasks.score import recipe_beside, result_of, spiking_scores

    if not (fnmatch(output.name, PATTERN) and read_manifest(output.parent)):  # results next to a program belong to it
        check_file(output, "--output", ends=(".json",), makes_folder=True)
    if teacher or quantized:
        need("train", "torch", "transformers", "accelerate")
        for place in filter(None, (teacher, quantized)):
            read_mapping(place / "config.json", "give a folder that save_pretrained wrote")
    folder, accelerator = find(source), launched()
    recipe = recipe_beside(folder) | ({} if seed is None else {"seed": seed})
    rows.check_found(recipe.get("task"))
    programs, own_teacher, own_quantized = _networks(folder, recipe.get("task"))
    chosen = rows.task_for(programs[0])
    others = teacher or own_teacher, quantized or own_quantized
    teacher_blocks = None
    if any(others):
        from ..distill.score import blocks_of, check_outputs

        teacher_blocks = blocks_of(others[0]) if others[0] else None
        for place in filter(None, others):
            check_outputs(place, chosen)
    splits = rows.splits(programs[0], chosen)
    spiking = []
    for program in programs:
        run = partial(evaluate, program, task=chosen, backend=backend, progress=tracked, **shared(accelerator))
        spiking.append(spiking_scores(program, splits, run, backend))
    result = result_of(
        chosen,
        name or (source if programs[0].path else chosen.name),
        len(splits["dev"]),
        spiking,
        program=programs[0].hash if len(programs) == 1 else None,
        recipe=recipe,
        teacher=_scores(others[0], chosen, splits, accelerator),
        quantized=_scores(others[1], chosen, splits, accelerator),
        teacher_blocks=teacher_blocks,
        rows=rows.written(chosen),
        **rows.about,
    )
    if accelerator and not accelerator.is_main_process:
        return
    result.save(output)
    print_json(result.model_dump()) if json else print_result(result)


def _networks(folder: Path, task: str | None) -> tuple[list[Program], Path | None, Path | None]:
    """Return the programs to score, and the folders of a run's teacher and of its network without a dead zone."""
    from ..program.files import CONFIG_FILE, MODEL_TYPE, load_classifier

    config = folder / CONFIG_FILE
    if config.is_file() and read_mapping(config).get("model_type") == MODEL_TYPE:
        return [load_classifier(folder)], None, None
    need("train", "torch", "transformers", "accelerate")
    from ..distill.score import find_networks
    from ..models.convert import convert_folder

    found = find_networks(folder)
    return [convert_folder(place, task=task) for place in found.converting], found.teacher, found.quantized


def _scores(folder: Path | None, task: Task, splits: Splits, accelerator: Any) -> Scores | None:
    """Return the metrics of a teacher or a quantized network; None without a folder."""
    if folder is None:
        return None
    need("train", "torch", "transformers", "accelerate")
    from ..distill.score import scores_of

    return scores_of(folder, task, splits, accelerator, progress=tracked)


def print_result(result: Result) -> None:
    """Print the table's lines for one result."""
    from ..report import glue_table
    from ..report.tables import print_table

    title, columns, rows = glue_table.tables([result])[0]
    print_table(title, columns, [row for row in rows if f"{row[0]}, ".startswith(f"{result.title}, ")])


@glue.command()
def submit(
    output: Annotated[Path, typer.Option(help="Zip file for the GLUE server.")] = Path("submission.zip"),
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="TASK=MODEL; repeat it for each task (default: the shipped models)."),
    ] = None,
    glue_dir: GlueDir = None,
    backend: BackendName = "events",
    max_length: Annotated[int, typer.Option(min=3, help="Truncate rows to this many tokens.")] = MAX_LENGTH,
    json: Json = False,
) -> None:
    """Predict the test rows and write the zip file for the GLUE server.

    The server requires every file. One without a model or test rows gets constant predictions, and a warning says so.
    """
    from ..program.files import load_classifier
    from ..storage import check_file
    from ..tasks.submit import submit as run

    check_file(output, "--output", ends=(".zip",), makes_folder=True)
    programs = {task: load_classifier(model) for task, model in _models(models).items()}
    filled = run(programs, output, glue_folder(glue_dir), backend=backend, max_length=max_length, progress=tracked)
    if json:
        print_json({"format": FORMAT, "output": str(output), "files": [vars(file) for file in filled]})
    else:
        from ..report.tables import print_table

        rows = [(f"{file.name}.tsv", file.rows, file.model or "–") for file in filled]
        print_table(str(output), ("file", "rows", "model"), rows)
    for file in filled:
        if file.problem:
            say(f"warning: {file.name}.tsv: {file.problem}", err=True)


def _models(given: list[str] | None) -> dict[str, str]:
    """Return models by task: those given as TASK=MODEL, else the shipped ones."""
    from ..tasks import get_task

    if not given:
        return {name: name for name in _shipped_tasks()}
    models = {}
    for text in given:
        task, equals, model = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not TASK=MODEL", field="--model", cure="write e.g. --model sst2=runs/mine")
        models[get_task(task).name] = model
    return models


def _with_results() -> list[str]:
    """Names of shipped models that have a result file."""
    from ..program import find, shipped
    from ..tasks.results import PATTERN

    return [name for name in shipped() if any(find(name).glob(PATTERN))]


def _shipped_tasks() -> list[str]:
    from ..program import shipped
    from ..tasks import tasks

    return [name for name in shipped() if name in tasks()]
