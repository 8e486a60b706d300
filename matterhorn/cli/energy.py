"""``matterhorn energy`` and ``compare``: what a network costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from .app import A_MODEL, PAGES, PICTURES, Json, app, print_json, say
from .foreign import bill_foreign
from .rows import Rows, load_rows, tracked, with_rows

if TYPE_CHECKING:
    from ..energy.chip import Chip
    from ..energy.rivals import Scores
    from ..program.trace import Trace
    from ..report.front import Point
    from ..tasks.results import Result

DEFAULT_MODEL, TRACE_ENDING = "sst2", ".json.gz"
TRACE_FILE = f"trace{TRACE_ENDING}"
UNKNOWN_BLOCKS = (
    "It has only some of its teacher's blocks. How many the teacher has is not known here, so on the BERT-base shape "
    "it is billed with all twelve."
)

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help='Change a number of the chip, e.g. noc.hop.energy="1 pJ". Repeatable.')
]


def obtain_trace(model: str | None, rows: Rows, file: Path | None) -> Trace:
    """Return the trace in ``file``, the one stored with the model, or a new one.

    A new trace is made of the requested rows, or of the dev rows of the model's task if none are requested.

    Raises:
        InputError: there is no trace, it is empty, or it belongs to another program than the given model.
    """
    from ..program import Trace, files
    from ..storage import manifest_of

    if file is None:
        folder = files.find(model or DEFAULT_MODEL)
        beside = folder / TRACE_FILE
        if rows not in (Rows(), Rows(task=folder.name)) or not beside.is_file():
            return record_trace(str(folder), rows)
        if TRACE_FILE in (manifest := manifest_of(folder, files.KIND)).files:
            manifest.read(folder, TRACE_FILE)
        model, file = str(folder), beside
    elif rows != Rows(task=rows.task):
        raise InputError("a trace has its own rows", file=file, field="--trace", cure="give a trace, or rows")
    found = Trace.load(file)
    if not found.sequences or not found.connections:
        raise InputError("an empty trace", file=file, field="trace", cure="run at least one sentence")
    if model is not None and found.program != files.load(model).hash:
        problem = f"the trace of another program than {model}"
        raise InputError(problem, file=file, field="trace", cure="record it again, or give it without --model")
    return found


def record_trace(model: str, rows: Rows) -> Trace:
    """Run a program on rows and return the trace. The rows need no labels."""
    from ..tasks.evaluate import predict

    program, tokens, _ = load_rows(model, rows, labelled=False)
    return predict(program, tokens, progress=tracked("trace")).trace


def known_scores(model: str) -> Scores | None:
    """Return a model's score on the dev rows of its task, with published scores of others. None without a result file.

    The teacher's score is that of the best teacher from which the model, or a shipped network of the same backbone and
    task, was distilled.
    """
    from ..energy.rivals import Scores
    from ..program import files
    from ..report.glue_rows import published

    if (mine := _scored(model)) is None:
        return None
    found, own, _ = mine
    alike = {name: row for name in files.shipped() if (row := _scored(name)) and row[0].title == found.title}

    def best(backbone: str | None) -> float:
        return max(teacher for result, _, teacher in (mine, *alike.values()) if result.backbone == backbone)

    lost = {name: best(result.backbone) - score for name, (result, score, _) in alike.items()}
    others = {p.name: p.scores[found.title] / 100 for p in published() if found.title in p.scores}
    return Scores(own, best(found.backbone), others, lost)


def _result(model: str) -> Result | None:
    """Return a model's result file. None if it has none."""
    from ..program import files
    from ..tasks.results import read_result

    file = files.find(model) / "results.json"
    return read_result(file) if file.is_file() else None


def _scored(model: str) -> tuple[Result, float, float] | None:
    """Return a model's result file, its own score and its teacher's. None if one of them is missing."""
    found = _result(model)
    if found is None or found.teacher is None or not found.spiking:
        return None
    return found, found.spiking[0].metrics[found.metric], found.teacher.metrics[found.metric]


def known_blocks(model: str) -> tuple[int | None, dict[str, str]]:
    """Return the number of blocks of a model's teacher, and a note if it should be known but is not.

    The number is None if the model has all blocks of its teacher, or if it is unknown.
    """
    from ..report.front import teacher_blocks

    if (found := _result(model)) is None or not found.blocks:
        return None, {}
    blocks = teacher_blocks(found)
    return blocks, {} if blocks else {"blocks": UNKNOWN_BLOCKS}


def front_of(model: str, trace: Trace, chip: Chip) -> list[Point]:
    """Return the points of a network with a result file, and of the shipped networks with figures on the same rows."""
    from ..program import files
    from ..report.front import front

    rows = {Path(name).name: row for name in (*files.shipped(), model) if (row := _scored(name))}
    own = Path(model).name
    networks = {own: (trace, rows[own][0])}
    for name, (result, *_) in rows.items():
        if name != own and result.title == rows[own][0].title and (files.find(name) / TRACE_FILE).is_file():
            networks[name] = obtain_trace(name, Rows(), None), result
    return front(networks, chip)


@app.command()
@with_rows
def energy(
    rows: Rows,
    model: Annotated[str | None, typer.Option(help=f"{A_MODEL} (default: sst2).")] = None,
    chip: Annotated[str, typer.Option(help="Shipped chip or YAML file; see 'matterhorn chips'.")] = "rram-22nm",
    trace: Annotated[Path | None, typer.Option(help="Saved trace to bill (.json.gz).")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained HTML page to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the bill as stacked bars to this image file.")] = None,
    tokens: Annotated[
        int, typer.Option(min=2, max=4096, help="Tokens per sentence in figures on the BERT-base shape.")
    ] = 128,
    config: Annotated[
        Path | None, typer.Option(help="Bill a dense Hugging Face encoder instead, given its config.json or folder.")
    ] = None,
    layers: Annotated[
        Path | None,
        typer.Option(help="Bill layers from another simulator instead, given a table of them (CSV, JSONL, …)."),
    ] = None,
    weight_bits: Annotated[
        int | None, typer.Option(min=1, max=32, help="Bits of weights, with --config (default: as it says).")
    ] = None,
    activation_bits: Annotated[int | None, typer.Option(min=1, max=32, help="Bits of activations, likewise.")] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Also measure the joules that this machine takes for the dense network (RAPL, NVML)."
        ),
    ] = False,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Bill the energy of a run line by line, and compare it with other codes, hardware and networks.

    The run is the one in --trace, or a new one over the rows that are named. Without either, it is the trace stored
    with the model, or else a new one over the dev rows of its task. A network that did not run here is billed with
    --config or --layers.
    """
    from ..energy import energy_answer, load
    from ..program import files
    from ..storage import check_file

    bits = weight_bits, activation_bits
    if config or layers or any(bits):
        if model or trace or html or plot or measure or rows != Rows() or not (config or layers):
            cure = "give only --config (with bits) or --layers, --chip, --tokens, --set and --json"
            raise InputError("options that do not go together", field="--layers" if layers else "--config", cure=cure)
        _foreign(bill_foreign(load(chip, overrides or ()), config, layers, tokens, bits), as_json)
        return
    if html is not None:
        need("plot", "plotly")
        check_file(html, "--html", trace, ends=PAGES)
    if plot is not None:
        need("plot", "matplotlib")
        check_file(plot, "--plot", trace, ends=PICTURES)
    if measure:
        need("measure", "zeus", "torch", "transformers")
    hardware = load(chip, overrides or ())
    name = model or (trace.name.removesuffix(TRACE_ENDING) if trace else DEFAULT_MODEL)
    own, scores, blocks = None, None, None
    notes: dict[str, str] = {}
    if model or trace is None:
        own, scores = files.read_config(files.find(name))["task"], known_scores(name)
        blocks, notes = known_blocks(name)
    ran = obtain_trace(model, rows, trace)
    task = rows.task_name(own)
    about: Any = {"model": name, "task": task, "data": rows.data, "length": tokens}
    answer = energy_answer(ran, hardware, **about, scores=scores, teacher_blocks=blocks)
    answer["notes"] |= notes
    if measure:
        from ..bench.joules import measure_dense

        answer["measured"] = measure_dense(ran.shape, ran.vocabulary, max(1, round(ran.tokens / ran.sequences)))
    if html is not None:
        from ..report.energy_page import write_page

        write_page(html, answer, ran, hardware, front_of(name, ran, hardware) if scores else ())
        say(f"page: {html}", err=True)
    if plot is not None:
        from ..report.bill_plot import plot_bill

        plot_bill(answer, plot)
    if as_json:
        print_json(answer)
    else:
        from ..report.energy_table import print_energy

        print_energy(answer)


def _foreign(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        from ..report.energy_table import print_foreign

        print_foreign(answer)


@app.command()
@with_rows
def compare(
    rows: Rows,
    models: Annotated[list[str] | None, typer.Option("--model", help="Model; repeatable.")] = None,
    traces: Annotated[list[Path] | None, typer.Option("--trace", help="Saved trace (.json.gz); repeatable.")] = None,
    chips: Annotated[
        list[str] | None, typer.Option("--chip", help="Chip; repeatable (default: all shipped ones).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare networks on chips: energy per sentence with each network's own code and with dense words."""
    from ..energy import load, shipped
    from ..energy.study import COMPARISON_FORMAT, compare_on
    from ..program import files
    from ..report.energy_table import print_comparison

    hardware = [load(name) for name in chips or shipped()]
    names = models or ([] if traces else [DEFAULT_MODEL])
    if rows != Rows() and not names:
        raise InputError("traces have rows of their own", field="--trace", cure="give --model too, or no rows")
    kept = {name: obtain_trace(None, Rows(), path) for name, path in _named(traces or [], names).items()}
    for name in names:
        files.read_config(files.find(name))
    ran = {name: obtain_trace(name, rows, None) for name in names} | kept
    blocks = {name: known for name in names if (known := known_blocks(name)[0])}
    found = [row for chip in hardware for row in compare_on(ran, chip, blocks)]
    if as_json:
        print_json({"format": COMPARISON_FORMAT, "rows": found})
    else:
        print_comparison(found)


def _named(traces: Sequence[Path], models: Sequence[str]) -> dict[str, Path]:
    """Name traces by their files, without endings, or by their whole paths if another trace or a model has this name.

    Raises:
        InputError: one is given twice.
    """
    if twice := next((path for path in traces if traces.count(path) > 1), None):
        raise InputError("the same trace twice", file=twice, field="--trace", cure="give each once")
    stems = [path.name.removesuffix(TRACE_ENDING) for path in traces]
    taken = Counter([*stems, *models])
    return {stem if taken[stem] == 1 else str(path): path for stem, path in zip(stems, traces, strict=True)}
