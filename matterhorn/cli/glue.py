"""``matterhorn glue``: the table over all tasks, the result files it is made of, and the test server's zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, app, print_json
from .rows import GlueDir, MaxLength, glue_folder, tracked

glue = typer.Typer(name="glue", help="All of GLUE: score runs, make the table, fill the test server's zip.")
app.add_typer(glue, no_args_is_help=True)


@glue.command()
def table(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Result files, or folders of them (default: the shipped models).")
    ] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX (booktabs).")] = False,
) -> None:
    """Teacher, quantised, spiking at each k, silent share and drop of every task, beside the published rivals."""
    from ..report import glue_table
    from ..training.results import read_results
    from ..training.tasks import tasks
    from ..zoo import find, shipped

    if json + markdown + latex > 1:
        raise InputError("more than one format", field="--json, --markdown, --latex", cure="give one of them")
    results = read_results(paths or [find(name) for name in shipped() if name in tasks()])
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
def score(
    source: Annotated[str, typer.Argument(help="A run's folder, a network's folder, or a shipped model's name.")],
    task: Annotated[str, typer.Option(help="GLUE task.")],
    output: Annotated[Path, typer.Option(help="Write the result file here (results.json).")],
    glue_dir: GlueDir = None,
    teacher: Annotated[Path | None, typer.Option(help="Folder of the teacher (default: the run's).")] = None,
    quantised: Annotated[Path | None, typer.Option(help="Folder of the k = 0 network (default: the run's).")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in the file (default: the task).")] = None,
    seed: Annotated[int | None, typer.Option(help="The run's seed (default: its recipe's).")] = None,
    engine: Annotated[str, typer.Option(help="exact, events or stepped.")] = "exact",
    limit: Annotated[int | None, typer.Option(help="Only the first rows.")] = None,
    max_length: MaxLength = 128,
    json: Json = False,
) -> None:
    """Evaluate a run's networks on the dev rows and write the result file that ``glue table`` reads."""
    from ..report import glue_table
    from ..training.evaluate import launched
    from ..training.score import find_sources
    from ..training.score import score as run
    from ..training.tasks import get_task
    from ..zoo import find

    chosen, sources = get_task(task), find_sources(find(source))
    sources.teacher, sources.quantised = teacher or sources.teacher, quantised or sources.quantised
    if seed is not None:
        sources.recipe |= {"seed": seed}
    accelerator = launched()
    result = run(
        chosen, name or chosen.name, sources, glue_folder(glue_dir), engine=engine, max_length=max_length,
        limit=limit, progress=tracked("score"), accelerator=accelerator,
    )  # fmt: skip
    if accelerator and not accelerator.is_main_process:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(output.name + ".tmp")
    fresh.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    fresh.replace(output)
    if json:
        print_json(result.model_dump())
    else:
        from ..report.tables import print_table

        title, columns, rows = glue_table.tables([result])[0]
        print_table(title, columns, [row for row in rows if row[0] == chosen.name])


@glue.command()
def submit(
    output: Annotated[Path, typer.Option(help="The zip for the GLUE server.")] = Path("submission.zip"),
    models: Annotated[
        list[str] | None, typer.Option("--model", help="TASK=MODEL, again for each task (default: the shipped models).")
    ] = None,
    glue_dir: GlueDir = None,
    engine: Annotated[str, typer.Option(help="exact, events or stepped.")] = "exact",
    max_length: MaxLength = 128,
    json: Json = False,
) -> None:
    """Predict the test rows and write the zip that the GLUE server takes; what is not predicted is named."""
    from ..engines import get_engine
    from ..training.submit import submit as run

    folders = _models(models)
    filled = run(folders, output, glue_folder(glue_dir), get_engine(engine), max_length=max_length, progress=tracked)
    if json:
        print_json({"output": str(output), "files": [vars(file) for file in filled]})
    else:
        from ..report.tables import print_table

        rows = [(f"{file.name}.tsv", file.rows, file.model or "–") for file in filled]
        print_table(str(output), ("file", "rows", "model"), rows)
    for file in filled:
        if file.problem:
            typer.echo(f"warning: {file.name}.tsv: {file.problem}", err=True)


def _models(given: list[str] | None) -> dict[str, Path]:
    """Model folders by task: those given as TASK=MODEL, else the shipped ones."""
    from ..training.tasks import get_task, tasks
    from ..zoo import find, shipped

    if not given:
        return {name: find(name) for name in shipped() if name in tasks()}
    folders = {}
    for text in given:
        task, equals, model = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not TASK=MODEL", field="--model", cure="write e.g. --model sst2=runs/mine")
        folders[get_task(task).name] = find(model)
    return folders
