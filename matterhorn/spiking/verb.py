"""``matterhorn.spike``: turn a fine-tuned classifier into a verified spiking network with an energy bill."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..distill.measure import predict
from ..distill.teacher import freeze
from ..energy import Bill, Chip
from ..energy import bill as make_bill
from ..energy import load as load_chip
from ..errors import InputError
from ..models import QuantizedForSequenceClassification, convert
from ..program import Program, Trace, load
from ..program.files import KIND
from ..runtime import verify
from ..runtime.verify import Verification
from ..storage import check_folder, claim, finish, without_dots
from ..tasks import Task
from ..tasks.evaluate import predict as run_program
from ..tasks.metrics import compute_metrics, interval
from ..tasks.rows import hold_out
from ..tasks.tables import Source
from ..tasks.task import Kind
from ..tasks.tokens import Tokens, sorted_batches
from .course import calibrated, distillation_rows, find_general, held_out
from .course import train as run_course
from .diagnosis import diagnose
from .plan import Plan, make_plan
from .writing import read_finished, write

FORMAT = 3
"""Version of the document that ``matterhorn spike --json`` prints. Version 3 added ``data`` and ``diagnosis``."""

TRAINING_PARTS = ("phase-[0-9]*-k[0-9]*",)
"""Folders that training creates and that are removed at the end."""

VERIFIED_ROWS = 64

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Spiked:
    """Result of :func:`spike`.

    Attributes:
        program: the spiking network.
        path: folder that contains it.
        answer: the figures that ``matterhorn spike --json`` prints, by name.
        is_new: False if an earlier run had already finished, so that nothing was done.
    """

    program: Program
    path: Path
    answer: dict[str, Any]
    is_new: bool = True


def spike(
    model: str | Path | PreTrainedModel,
    train: Source | None = None,
    eval: Source | None = None,
    *,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    output: str | Path,
    tokenizer: Tokenizer | PreTrainedTokenizerBase | None = None,
    kind: Kind | None = None,
    task: Task | str | Path | None = None,
    glue_dir: Path | None = None,
    chip: str = "rram-22nm",
    verify_rows: int = VERIFIED_ROWS,
    restart: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], Progress] = lambda _: iter,
    **settings: Any,
) -> Spiked:
    """Turn a fine-tuned classifier into a spiking network, and report its accuracy and energy.

    The classifier is quantized and distilled on the training rows. Without training rows it is only calibrated and has
    no dead zone. The result is converted, verified against the quantized network, evaluated alongside the classifier,
    and billed. The output folder contains the program, its tokenizer, a model card, results and an HTML page.

    Call it again to resume a run that was interrupted. If the run had finished, its result is returned, unless
    ``restart`` or ``overwrite`` is given.

    Args:
        model: folder of a classifier, name on the hub, or a Hugging Face model. It is not changed.
        train, eval: rows to train on, and rows for the report: a .csv, .tsv, .jsonl or .parquet file, a ``datasets``
            data set, or mappings. Labels are not used for training. Those of ``train`` serve only for figures shown on
            the way, those of ``eval`` for the report. Without ``train``, calibration uses the texts of ``eval``. If a
            task is given, the defaults are its splits ``train`` and ``dev``.
        text: column of the text, or the two columns of a pair. Default: ``text``.
        label: column of the label, or one column per output. Default: ``label``.
        output: folder for the result. The run works in ``<output>.training`` until it has finished.
        tokenizer: tokenizer of a model that is given as an object. None: the one that is stored with the model.
        kind: "single_label", "multi_label" or "regression". None: it follows from the classifier or the labels.
        task: columns, labels, metrics and rows, as a task, its YAML file or the name of a GLUE task. Its labels are
            matched with the classifier's by name.
        glue_dir: folder of GLUE's files. None: they come from the hub.
        chip: name or YAML file of the chip to bill on.
        verify_rows: number of rows of ``eval`` to verify, at least 1.
        restart: discard what an earlier run has done and start again.
        overwrite: allow ``output`` to contain other files. An earlier result in it is replaced; the other files stay.
        progress: called with the name of each long step; returns a function that wraps an iterable to show progress.
        settings: fields of :class:`matterhorn.spiking.Settings`, e.g. ``minutes=10``, ``silent_share=0.9``.

    Returns:
        The program, its folder and the figures of the report.

    Raises:
        InputError: the classifier, a row or a setting is not possible, or ``output`` contains something else. These are
            checked before any work. Also raised if verification finds a difference, which would be a bug.

    >>> from tempfile import mkdtemp
    >>> from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> classifier = BertForSequenceClassification(BertConfig(vocab_size=6, **sizes))
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "warm", "cold"]
    >>> tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    >>> rows = [{"text": "warm", "label": "LABEL_1"}, {"text": "cold, cold", "label": "LABEL_0"}] * 4
    >>> done = spike(classifier, eval=rows, tokenizer=tokenizer, output=f"{mkdtemp()}/my-snn")
    >>> done.program.labels, done.answer["verified"]
    (('LABEL_0', 'LABEL_1'), True)
    """
    if verify_rows < 1:
        raise InputError(f"{verify_rows} rows", field="verify_rows", cure="verify one at least")
    about: dict[str, Any] = {"text": text, "label": label, "kind": kind, "task": task, "tokenizer": tokenizer}
    places: dict[str, Any] = {"output": output, "chip": chip, "overwrite": overwrite, "glue_dir": glue_dir}
    plan, hardware = prepare(model, train, eval, **places, **about, **settings)
    folder = without_dots(Path(output))
    training = folder.with_name(folder.name + ".training")
    numbers = hashlib.sha256(hardware.model_dump_json().encode()).hexdigest()
    run = plan.identity | {"chip": {"name": hardware.name, "numbers": numbers}, "verify_rows": verify_rows}
    if not (restart or overwrite) and (answer := read_finished(folder, run)):
        return Spiked(load(folder), folder, answer, is_new=False)
    with claim(training, plan.identity, TRAINING_PARTS, restart=restart):
        done = _spiked(plan, folder, training, hardware, run, progress)
    finish(training, TRAINING_PARTS)
    return done


def prepare(
    model: str | Path | PreTrainedModel,
    train: Source | None,
    eval: Source | None,
    *,
    output: str | Path,
    chip: str,
    overwrite: bool,
    **about: Any,
) -> tuple[Plan, Chip]:
    """Make the plan of a run and load the chip to bill on. Arguments are those of :func:`spike`.

    Args:
        about: arguments of :func:`matterhorn.spiking.make_plan`.

    Raises:
        InputError: an argument is not possible, or ``output`` cannot be written.
    """
    given = (Path(one) for one in (model, train, eval) if isinstance(one, (str, Path)))
    check_folder(Path(output), KIND, *(path for path in given if path.exists()), overwrite=overwrite)
    hardware = load_chip(chip)
    return make_plan(model, train, eval, **about), hardware


def _spiked(
    plan: Plan, folder: Path, training: Path, hardware: Chip, run: dict[str, Any], progress: Callable[[str], Progress]
) -> Spiked:
    """Do all the work, in a training folder that this process has claimed.

    ``run``: everything that the result depends on.
    """
    began = time.monotonic()
    student, start = trained(plan, training)
    about: dict[str, Any] = {"task": plan.task.name, "texts": len(plan.task.text), "tokenizer": plan.teacher.tokenizer}
    program = convert(student, labels=plan.task.labels, **about)
    rows = plan.tokens(plan.eval)
    report = verified(program, student, rows, run["verify_rows"], progress("verify"))
    ran = run_program(program, rows, progress=progress("evaluate"))
    taught = predict(plan.teacher.model, rows).numpy()
    found = diagnose(student, plan.task, plan.eval, rows, (taught, ran.logits), progress("diagnose"))
    bill = billed(ran.trace, hardware)
    answer = {
        "format": FORMAT,
        "model": plan.teacher.name,
        "task": plan.task.name,
        "data": plan.data,
        "kind": plan.task.kind,
        "labels": plan.task.labels,
        "n": len(rows),
        "cut": rows.cut,
        **scores(plan.task, rows, taught, ran.logits, progress("interval")),
        "agreement": found.agreement,
        "correlation": found.correlation,
        "divergence": found.divergence,
        "silent_share": ran.trace.silent_share,
        "quiet_share": ran.trace.quiet_share,
        "events_per_token": ran.trace.spikes / max(1, ran.trace.tokens),
        "verified": report.identical,
        "joules": bill.per_sentence,
        "chip": hardware.name,
        "hardware": bill.hardware,
        "start": start,
        "seconds": time.monotonic() - began,
        "settings": plan.used.model_dump(),
        "hash": program.hash,
        "diagnosis": asdict(found),
    }
    blocks = plan.teacher.model.config.num_hidden_layers
    write(folder, program, answer, report, bill, plan.task, run, blocks)
    return Spiked(program, folder, answer)


def trained(plan: Plan, training: Path) -> tuple[QuantizedForSequenceClassification, str]:
    """Return the student, distilled or only calibrated, and the name of what it started from."""
    teacher, settings = freeze(plan.teacher.model), plan.settings
    if plan.train is None or not plan.is_trained:
        return calibrated(teacher, plan.batches(), settings), "calibration"
    own, held = hold_out(plan.train, held_out(len(plan.train)), settings.seed)
    if not len(own):  # with few different texts, all rows may have been held out
        own, held = plan.train, plan.train.subset([])
    select = plan.tokens(held)
    excluded_rows = {tuple(ids) for part in (select, plan.tokens(plan.eval)) for ids in part.ids}
    tokenizer = plan.teacher.tokenizer
    learn = distillation_rows(plan.tokens(own), teacher, tokenizer, settings.seed, excluded_rows=excluded_rows)
    general = find_general(teacher, settings)
    student = run_course(teacher, learn, select, plan.task, settings, training, general, len(own))
    return student, general.name if general else "teacher"


def verified(
    program: Program, student: QuantizedForSequenceClassification, rows: Tokens, count: int, progress: Progress
) -> Verification:
    """Verify all backends against the quantized network on some rows.

    Raises:
        InputError: there is a difference.
    """
    some = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    own = rows.subset(some.tolist())
    batches = [own.encoded(numbers) for numbers in sorted_batches(own, 32)]
    report = verify(program, batches, against=student, progress=progress)
    if not report.identical:
        raise InputError(f"backends differ: {report.first_difference}", field="verify", cure="report this as a bug")
    return report


def billed(trace: Trace, chip: Chip) -> Bill:
    """Bill on a chip's synapse units, or on its digital arrays if that is not possible.

    Raises:
        InputError: neither is possible.
    """
    try:
        return make_bill(trace, chip=chip)
    except InputError:
        return make_bill(trace, chip=chip, hardware="digital")


def scores(
    task: Task, rows: Tokens, taught: NDArray[Any], own: NDArray[Any], progress: Progress = iter
) -> dict[str, Any]:
    """Return the metric, its value for the program with an interval, and its value for the teacher."""
    labels = np.array(rows.labels)
    metrics, teacher = compute_metrics(task, own, labels), compute_metrics(task, taught, labels)
    low, high = interval(task, own, labels, progress=progress)
    main = task.metrics[0]
    return {
        "metric": main,
        "value": metrics[main],
        "low": low,
        "high": high,
        "teacher": teacher[main],
        "metrics": metrics,
        "teacher_metrics": teacher,
    }
