"""``matterhorn publish``: turn a finished run into a folder to share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import Json, Overwrite, app, print_json, say
from .rows import Rows, tracked, with_rows

if TYPE_CHECKING:
    from ..distill.score import Finished
    from ..program import Program
    from ..tasks.results import Result, Verification
    from ..tasks.tokens import Tokens


@app.command()
@with_rows
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of 'matterhorn train'.")],
    output: Annotated[Path, typer.Argument(help="Folder for the model. Its name becomes the model's name.")],
    rows: Rows,
    embeddings: Annotated[
        str, typer.Option(help="Embeddings file, relative to OUTPUT. Models of one backbone may share it.")
    ] = "embeddings.safetensors",
    latents: Annotated[
        bool,
        typer.Option("--latents", help="Also store latent weights, 5 bits each, so that training can be continued."),
    ] = False,
    verify_rows: Annotated[int | None, typer.Option(min=1, help="Number of dev rows to verify (default: all).")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Turn a finished run into a folder to share: program, recipe, results and model card.

    The network with the run's widest dead zone is converted, scored on the dev rows and verified. The folder is written
    completely or not at all.
    """
    from ..extras import need

    need("train", "torch", "transformers", "accelerate")
    from ..distill.recipe import as_yaml
    from ..distill.score import finished_run
    from ..distill.start import RECIPE_FILE
    from ..hf import model_card
    from ..models.convert import convert_folder
    from ..models.latent import LATENTS_FILE, pack_latents
    from ..models.quantized import read_network
    from ..program.embeddings import place_of
    from ..program.files import spelled
    from ..program.saving import save
    from ..storage import check_folder, without_dots

    output = without_dots(output)
    check_folder(output, "program", run, overwrite=overwrite)
    place_of(embeddings, output)
    finished = finished_run(run)
    recipe, folder = finished.recipe, finished.networks.converting[-1]
    rows.check_found(recipe.task)
    program = convert_folder(folder, task=recipe.task)
    packed = {LATENTS_FILE: pack_latents(read_network(folder))} if latents else {}
    result = _scored(program, finished, rows, output.name, verify_rows)
    beside: dict[str, str | bytes] = {
        **packed,
        RECIPE_FILE: as_yaml(recipe),
        "results.json": result.as_json(),
        "README.md": model_card(program, result, recipe, finished.phases, name=output.name),
    }
    save(program, output, embeddings=embeddings, beside=beside)
    if json:
        print_json(result.model_dump())
        return
    from .glue import print_result

    print_result(result)
    say(f"{output}: model card, recipe and figures; try it: matterhorn evaluate --model {quote(spelled(output))}")


def _scored(program: Program, finished: Finished, rows: Rows, name: str, verify_rows: int | None) -> Result:
    """Score and verify a run's program, and score its teacher and its network without a dead zone."""
    from ..distill.score import blocks_of, check_outputs, scores_of
    from ..tasks.evaluate import evaluate
    from ..tasks.score import result_of, spiking_scores

    recipe, networks = finished.recipe, finished.networks
    task = rows.task_for(program)
    for place in filter(None, (networks.teacher, networks.quantized)):
        check_outputs(place, task)
    rows = replace(rows, max_length=rows.max_length or recipe.max_length)
    splits = rows.splits(program, task)
    run_it = partial(evaluate, program, task=task, progress=tracked)
    spiking = spiking_scores(program, splits, run_it, "events")
    spiking = spiking.model_copy(
        update={"verify": _verified(program, splits["dev"], networks.converting[-1], verify_rows)}
    )
    teacher, quantized = (
        scores_of(place, task, splits, progress=tracked) if place else None
        for place in (networks.teacher, networks.quantized)
    )
    return result_of(
        task,
        name,
        len(splits["dev"]),
        [spiking],
        program=program.hash,
        recipe=recipe.model_dump(mode="json"),
        teacher=teacher,
        quantized=quantized,
        teacher_blocks=blocks_of(networks.teacher) if networks.teacher else None,
        rows=rows.written(task),
        **rows.about,
    )


def _verified(program: Program, tokens: Tokens, network: Path, rows: int | None) -> Verification:
    """Verify a program against the quantized network on dev rows. Raises an InputError if anything differs."""
    from ..models.restore import reference_for
    from ..runtime import verify
    from ..tasks.results import Verification
    from ..tasks.tokens import sorted_batches

    if rows is not None and rows < len(tokens):
        tokens = tokens.subset([place * len(tokens) // rows for place in range(rows)])
    batches = [tokens.encoded(numbers) for numbers in sorted_batches(tokens, 32)]
    reference: Any = reference_for(program, network)
    report = verify(program, batches, against=reference, progress=tracked("verify"))
    if not report.identical:
        raise InputError(f"backends differ: {report.first_difference}", file=network, cure="report this as a bug")
    return Verification(**{name: getattr(report, name) for name in Verification.model_fields})
