"""``matterhorn.spike``: from a fine-tuned classifier and rows to a spiking network that is verified and billed."""

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
from ..storage import check_folder, claim, finish
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
"""Of the document that ``matterhorn spike --json`` prints; 3: ``data``, ``diagnosis``."""

TRAINING_PARTS = ("phase-[0-9]*-k[0-9]*",)
"""What training leaves on the way."""

VERIFIED_ROWS = 64

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Spiked:
    """What became of a classifier.

    Attributes:
        program: the spiking network. path: its folder.
        answer: the figures, as ``matterhorn spike --json`` prints them.
        is_new: whether anything was done; else an earlier run had finished.
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
    """Make a spiking network of a fine-tuned classifier, and tell what it loses and costs.

    It is quantized, distilled on the training rows (without them: only calibrated, with no dead zone), converted,
    verified against the quantized network, evaluated beside the classifier, and billed. The folder has the program, its
    tokenizer, a card, results and a page. A run that was killed goes on when it is called again; of one that has
    finished the answer is given.

    Args:
        model: a folder, a name on the hub, or a model of Hugging Face (then ``tokenizer`` too).
        train, eval: rows: a .csv, .tsv, .jsonl or .parquet file, a set of ``datasets``, or mappings. Nothing
            is learned from labels: those of ``train`` are for the figures shown on the way, those of ``eval`` for the
            report. Without ``train``, texts of ``eval`` are calibrated on.
            Where they are not given, they are the splits ``train`` and ``dev`` of the task.
        text: column of the text, or the two of a pair (default: ``text``). label: column of the label (``label``).
        output: folder for the result; until it is there, the run lives in ``<output>.training``. restart: begin anew,
            whatever an earlier run has done. overwrite: the folder may hold another result, which goes, and other
            files, which stay.
        kind: "single_label", "multi_label" or "regression", where it does not follow from the labels.
        task: columns, labels, metrics and rows: a task, its YAML file, or the name of one of GLUE. Its labels are
            matched with the classifier's by name. glue_dir: folder of GLUE's files (default: the hub).
        tokenizer: of a model that was not read from a folder. progress: wraps what takes long, by its name, to show it.
        chip: what it is billed on. verify_rows: so many rows of ``eval`` are verified.
        settings: any field of :class:`matterhorn.spiking.Settings`, e.g. ``minutes=10``, ``silent_share=0.9``.

    Raises:
        InputError: the classifier, a row or a setting is not possible, or the folder has another result; before any
            work.

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
    about: dict[str, Any] = {"text": text, "label": label, "kind": kind, "task": task, "tokenizer": tokenizer}
    places: dict[str, Any] = {"output": output, "chip": chip, "overwrite": overwrite, "glue_dir": glue_dir}
    plan, hardware = prepare(model, train, eval, **places, **about, **settings)
    folder = Path(output)
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
    """The plan of a run and the chip it is billed on; arguments as of :func:`spike` (``about``: those of
    :func:`.plan.make_plan`).

    Raises:
        InputError: anything about them is not possible, or ``output`` cannot be written.
    """
    given = (Path(one) for one in (model, train, eval) if isinstance(one, (str, Path)))
    check_folder(Path(output), KIND, *(path for path in given if path.exists()), overwrite=overwrite)
    hardware = load_chip(chip)
    return make_plan(model, train, eval, **about), hardware


def _spiked(
    plan: Plan, folder: Path, training: Path, hardware: Chip, run: dict[str, Any], progress: Callable[[str], Progress]
) -> Spiked:
    """All the work, in a folder for training that is held. ``run``: all that the result depends on."""
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
        **scores(plan.task, rows, taught, ran.logits),
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
        "settings": (plan.settings if plan.is_trained else plan.settings.untrained).model_dump(),
        "hash": program.hash,
        "diagnosis": asdict(found),
    }
    write(folder, program, answer, report, bill, plan.task, run)
    return Spiked(program, folder, answer)


def trained(plan: Plan, training: Path) -> tuple[QuantizedForSequenceClassification, str]:
    """The student, distilled or calibrated alone, and what it started from."""
    teacher, settings = freeze(plan.teacher.model), plan.settings
    if plan.train is None or not plan.is_trained:
        return calibrated(teacher, plan.batches(), settings), "calibration"
    own, held = hold_out(plan.train, held_out(len(plan.train)), settings.seed)
    if not len(own):  # few texts, each there many times
        own, held = plan.train, plan.train.subset([])
    learn = distillation_rows(plan.tokens(own), teacher, plan.teacher.tokenizer, settings.seed)
    general = find_general(teacher, settings)
    student = run_course(teacher, learn, plan.tokens(held), plan.task, settings, training, general, len(own))
    return student, general.name if general else "teacher"


def verified(
    program: Program, student: QuantizedForSequenceClassification, rows: Tokens, count: int, progress: Progress
) -> Verification:
    """What all backends and the quantized network give on some rows.

    Raises:
        InputError: anything differs.
    """
    some = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    own = rows.subset(some.tolist())
    batches = [own.encoded(numbers) for numbers in sorted_batches(own, 32)]
    report = verify(program, batches, against=student, progress=progress)
    if not report.identical:
        raise InputError(f"backends differ: {report.first_difference}", field="verify", cure="report this as a bug")
    return report


def billed(trace: Trace, chip: Chip) -> Bill:
    """On a chip's synapse units, or where their capacitors do not hold this network's potentials on its digital arrays.

    Raises:
        InputError: it fits on neither.
    """
    try:
        return make_bill(trace, chip=chip)
    except InputError:
        return make_bill(trace, chip=chip, hardware="digital")


def scores(task: Task, rows: Tokens, taught: NDArray[Any], own: NDArray[Any]) -> dict[str, Any]:
    """Metric, its value for the program with an interval, and for the teacher."""
    labels = np.array(rows.labels)
    metrics, teacher = compute_metrics(task, own, labels), compute_metrics(task, taught, labels)
    low, high = interval(task, own, labels)
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
