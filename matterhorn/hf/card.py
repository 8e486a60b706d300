"""A model card: what a shipped network is, what it reaches, what it was trained on, and the command that shows it."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training.recipe import Recipe
    from ..training.results import Result, Scores, Verification

BASE_MODELS = {"minilm-l6": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0")}
"""Packaged backbones: name on the hub, licence. Of others the licence is not known here, so their cards name none."""

WARNINGS = {
    "minilm-l6": "The backbone's makers trained it on sentence pairs (NLI, Quora, SQuAD among others): keep that in\n"
    "mind beside MNLI, QQP and QNLI."
}

NAMES = {"matthews": "Matthews correlation", "f1": "F1", "pearson": "Pearson", "spearman": "Spearman"}
"""Metrics as they are written; others only get a capital."""


def model_card(result: Result, recipe: Recipe, histories: list[dict[str, Any]]) -> str:
    """The card in Markdown.

    ``histories``: of each round, in order, its evaluations (``history``), ``best`` and ``best_step``.
    """
    spiking, metric = result.spiking[0], result.metric
    base_model, licence = BASE_MODELS.get(recipe.backbone, (recipe.backbone, None))
    template = resources.files(__package__).joinpath("card.md").read_text(encoding="utf-8")
    weights = str(recipe.network.get("weight_bits", "1"))
    others = [f"\n| {_name(other)} | {value:.4f} |" for other, value in spiking.metrics.items() if other != metric]
    return template.format(
        licence=f"license: {licence}\n" if licence else "",
        base_model=base_model,
        model=result.model,
        task=result.task,
        backbone=recipe.backbone,
        weights=f"{weights}-bit" if weights.isdigit() else weights,
        bits=recipe.network.get("activation_bits", 4),
        silence_per=spiking.silence_per,
        dead_zone=_dead_zone(spiking.k, recipe.network.get("narrower", {})),
        metric=_name(metric),
        n=result.n,
        value=f"{spiking.metrics[metric]:.4f}",
        teacher=_figure(result.teacher, metric),
        quantised=_figure(result.quantised, metric),
        others="".join(others),
        width=spiking.ffn_neurons or "not noted",
        silent_share=f"{spiking.silent_share:.4f}",
        events=f"{spiking.events_per_token:.0f}",
        verified=_verified(spiking.verify, result.n),
        seed=result.seed,
        date=result.date,
        selection_rows=recipe.selection_rows,
        texts=_texts(recipe),
        start=f" It starts from the run `{recipe.start_from}`." if recipe.start_from else "",
        rounds=" ".join(_round(number, recipe, history) for number, history in enumerate(histories)),
        command=result.command,
        warning="\n" + WARNINGS[recipe.backbone] if recipe.backbone in WARNINGS else "",
    )


def _name(metric: str) -> str:
    return NAMES.get(metric, metric.capitalize().replace("_", ", "))


def _figure(scores: Scores | None, metric: str) -> str:
    return f"{scores.metrics[metric]:.4f}" if scores else "not measured"


def _dead_zone(k: int, narrower: dict[str, int]) -> str:
    return f"{k}" + "".join(f" ({kind}: {min(k, own)})" for kind, own in narrower.items())


def _verified(report: Verification | None, n: int) -> str:
    if report is None:
        return "not yet"
    rows = f"{report.n} rows" if report.n == n else f"{report.n} of {n} rows"
    engines = ", ".join(report.engines)
    return (
        f"{rows}, {report.levels_compared:,} levels, {report.levels_different} different; "
        f"logits different: {report.logits_different} ({engines})"
    )


def _texts(recipe: Recipe) -> str:
    told = ""
    if recipe.tutor:
        told += f"\nThe teacher learned from a tutor, {recipe.tutor.backbone}, a larger model that was fine-tuned"
        told += "\non training rows and said what all of them mean."
    if recipe.texts:
        tasks = ", ".join(recipe.texts)
        told += f"\nThe network also learned on up to {recipe.texts_each:,} training rows each of {tasks}: no labels."
    if recipe.recombined:
        told += f"\n{recipe.recombined:,} more rows are training rows with a piece exchanged for another row."
    if recipe.edited:
        told += f"\n{recipe.edited:,} more rows are training rows with a token too many, too few or out of place."
    if recipe.rematched:
        told += f"\nUp to {recipe.rematched:,} more rows are pairs of sentences from different training rows."
    if recipe.reworded:
        told += f"\n{recipe.reworded:,} more rows are training rows in other words, without labels too."
    return told


def _round(number: int, recipe: Recipe, history: dict[str, Any]) -> str:
    zone, tried = recipe.rounds[number].dead_zone, len(history["history"])
    figure = f"divergence {-history['best']:.3f} from the teacher" if history["best"] < 0 else f"{history['best']:.3f}"
    means = [
        entry["mean_of"] for entry in history["history"] if entry["step"] == history["best_step"] and "mean_of" in entry
    ]
    mean = f" (mean of the weights at the last {means[0]})" if means else ""
    return (
        f"Round {number} (k = {zone}): best of {tried} evaluations at step {history['best_step']}{mean}, "
        f"{figure} on the rows held out."
    )
