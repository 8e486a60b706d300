"""A model card: what a program is, what it reaches, what it was trained on, and the command that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from ..tasks.results import Result, Scores, Verification

if TYPE_CHECKING:
    from ..distill.recipe import Recipe
    from ..distill.state import Progress

BASE_MODELS = {"minilm-l6": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0")}
"""Packaged backbones: name on the hub, license. Of others the license is not known here, so their cards name none."""

WARNINGS = {
    "minilm-l6": "The backbone's makers trained it on sentence pairs (NLI, Quora, SQuAD among others): keep that in\n"
    "mind beside MNLI, QQP and QNLI."
}

NAMES = {"matthews": "Matthews correlation", "f1": "F1", "pearson": "Pearson", "spearman": "Spearman"}
"""Metrics as they are written; others only get a capital."""

WEIGHTS = {"int1": "1-bit", "ternary": "ternary", "int2": "2-bit", "int4": "4-bit"}


def model_card(
    result: Result, recipe: Recipe, phases: Sequence[Progress] = (), *, not_replayable: str | None = None
) -> str:
    """The card in Markdown, with front matter for the hub.

    Args:
        result: figures of one program. phases: how each phase of the recipe went, in order.
        not_replayable: where the recipe does not lead to these weights again: why, as the end of a sentence.
    """
    program, metric, network = result.spiking[0], result.metric, recipe.network
    base_model, license_name = BASE_MODELS.get(recipe.backbone, (recipe.backbone, None))
    template = resources.files(__package__).joinpath("card.md").read_text(encoding="utf-8")
    others = [f"\n| {_name(other)} | {value:.4f} |" for other, value in program.metrics.items() if other != metric]
    return template.format(
        license=f"license: {license_name}\n" if license_name else "",
        base_model=base_model,
        model=result.model,
        task=result.task,
        backbone=recipe.backbone,
        weights=WEIGHTS[str(network.get("weights", "int1"))],
        bits=network.get("activation_bits", 4),
        silence_per=program.silence_per or "neuron",
        dead_zone=_dead_zone(program.k, network.get("dead_zones", {})),
        metric=_name(metric),
        n=result.n,
        value=_figure(program, metric),
        interval=_interval(program),
        teacher=_figure(result.teacher, metric),
        quantized=_figure(result.quantized, metric),
        others="".join(others),
        intermediate=program.intermediate or "not noted",
        silent_share=_share(program.silent_share),
        quiet_share=_share(program.quiet_share),
        events="not noted" if program.events_per_token is None else f"{program.events_per_token:.0f}",
        verified=_verified(program.verify, result.n),
        seed=result.seed,
        date=result.date,
        selection_rows=recipe.selection_rows,
        texts=_texts(recipe),
        start=_start(recipe),
        phases="".join(_phase(number, recipe, progress) for number, progress in enumerate(phases)),
        replay=f" Its history cannot be replayed: {not_replayable}." if not_replayable else "",
        command=result.command,
        warning="\n" + WARNINGS[recipe.backbone] if recipe.backbone in WARNINGS else "",
    )


def _name(metric: str) -> str:
    return NAMES.get(metric, metric.capitalize().replace("_", ", "))


def _figure(scores: Scores | None, metric: str) -> str:
    return f"{scores.metrics[metric]:.4f}" if scores else "not measured"


def _interval(scores: Scores) -> str:
    """The 95 % interval of the main metric, if it is known, in front of what else is in brackets."""
    return "" if scores.low is None or scores.high is None else f"95 %: {scores.low:.4f}–{scores.high:.4f}; "


def _share(share: float | None) -> str:
    return "not noted" if share is None else f"{share:.4f}"


def _dead_zone(k: int, narrower: dict[str, int]) -> str:
    return f"{k}" + "".join(f" ({population}: {min(k, own)})" for population, own in narrower.items())


def _verified(report: Verification | None, n: int) -> str:
    if report is None:
        return "not yet"
    rows = f"{report.n} rows" if report.n == n else f"{report.n} of {n} rows"
    backends = ", ".join(report.backends)
    return (
        f"{rows}, {report.levels_compared:,} levels, {report.levels_different} different; "
        f"logits different: {report.logits_different} ({backends})"
    )


def _start(recipe: Recipe) -> str:
    if recipe.start is None:
        return ""
    return f" It starts from {recipe.start if isinstance(recipe.start, str) else recipe.start.file}."


def _texts(recipe: Recipe) -> str:
    tasks, each = ", ".join(recipe.texts), f"{recipe.texts_each:,}"
    learned = f"The network also learned on up to {each} training rows each of {tasks}: no labels."
    made = {
        "{:,} more rows are training rows with a piece exchanged for another row's.": recipe.recombined,
        "{:,} more rows are training rows with one token too many, too few or out of place.": recipe.edited,
        "Up to {:,} more rows are pairs of sentences from different training rows.": recipe.rematched,
        "{:,} more rows are training rows in other words, without labels too.": recipe.reworded,
    }
    sentences = [learned] if recipe.texts else []
    sentences += [sentence.format(count) for sentence, count in made.items() if count]
    return "".join(f"\n{sentence}" for sentence in sentences)


def _phase(number: int, recipe: Recipe, progress: Progress) -> str:
    zone, best = recipe.phases[number].dead_zone, progress.best_step
    figures = next((entry for entry in progress.history if entry["step"] == best), {})
    reached = f", divergence {figures['divergence']:.3f} from the teacher" if "divergence" in figures else ""
    return (
        f" Phase {number} (k = {zone}): best of {len(progress.history)} evaluations at step {best}{reached} on the "
        "rows held out."
    )
