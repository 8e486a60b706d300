"""Model cards: what a program is, its results, its training, and how to try it.

Also decides which texts next to a program are copied with it to another folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..errors import in_markdown, visible
from ..models.encoders import ENCODERS
from ..program import Program
from ..reading import read_text
from ..storage import Manifest, read_manifest, sha256
from ..tasks.results import Result
from ..tasks.task import tasks, texts_of_rows

if TYPE_CHECKING:
    from ..distill.recipe import Recipe
    from ..distill.state import Progress

BASE_MODELS = {
    "minilm-l6": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    "mpnet-base": ("sentence-transformers/all-mpnet-base-v2", "apache-2.0"),
}
"""Backbones of shipped recipes: name on the hub, and license. The cards of models with other backbones name no license.
"""

METRICS = {
    "matthews": ("matthews_correlation", "Matthews correlation"),
    "f1": ("f1", "F1"),
    "macro_f1": ("f1", "Macro F1"),
    "micro_f1": ("f1", "Micro F1"),
    "exact_match": ("exact_match", "Exact match"),
    "pearson": ("pearsonr", "Pearson"),
    "spearman": ("spearmanr", "Spearman"),
}
"""Names of metrics on the hub, and in text. Other metrics keep their name, with a capital in text."""

WEIGHTS = {"int1": "1-bit", "ternary": "ternary", "int2": "2-bit", "int4": "4-bit"}

NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""Possible names of models on the hub."""

TEXTS = ("README.md", "results.json", "recipe.yaml")
"""Files that are copied together with a program."""


def model_card(
    program: Program,
    result: Result | None = None,
    recipe: Recipe | None = None,
    phases: Sequence[Progress] = (),
    *,
    name: str,
    teacher: str | None = None,
) -> str:
    """Return a model card in Markdown, with metadata for the hub, which include metrics and their intervals.

    Args:
        program: the program.
        result: its results; the program is the first of their spiking networks.
        recipe: recipe by which it was trained.
        phases: results of the recipe's phases, in order.
        name: name of the model.
        teacher: folder or name on the hub of the model that it was made from, if there is no recipe.
    """
    backbone = recipe.backbone if recipe else teacher
    base_model, license_name = BASE_MODELS.get(backbone or "", (_on_hub(backbone), None))
    data = ModelCardData(
        license=license_name,
        base_model=base_model,
        library_name="matterhorn-snn",
        pipeline_tag="text-classification",
        tags=["spiking-neural-network", "m-ttfs", f"{WEIGHTS[program.config.weights]}-weights"],
        model_name=name,
        eval_results=list(_metrics(result)) if result else None,
    )
    card = ModelCard.from_template(
        data,
        template_path=str(Path(__file__).with_name("card.md")),
        name=name,
        backbone=backbone if base_model or backbone is None else Path(backbone).name,
        program=program,
        config=program.config,
        pairs=texts_of_rows(program.task, program.texts) == 2,
        weights=WEIGHTS[program.config.weights],
        result=result,
        scores=result.spiking[0] if result else None,
        metric_name=_display_name,
        md=in_markdown,
        visible=visible,
        labels=list(map(in_markdown, program.labels)),
        recipe=recipe,
        phases=list(zip(recipe.phases, phases, strict=False)) if recipe else [],
    )
    return str(card)


def texts_beside(program: Program, folder: Path) -> dict[str, str]:
    """Return the files to write next to a program, by name.

    They are the card and the results that belong to exactly this program (renamed outputs make it another one), or else
    a new card; its recipe; and a card in the destination that was edited there. Files in the destination that are not
    ours are left alone.

    Args:
        program: the program.
        folder: the destination.
    """
    texts, ours = {"README.md": model_card(program, name=folder.resolve().name)}, _manifest(folder).files
    for place in dict.fromkeys((program.path or folder, folder)):
        known = _manifest(place)
        is_same = known.about.get("program") == program.hash
        for path in (place / name for name in TEXTS if (place / name).is_file()):
            is_recipe = path.name == "recipe.yaml" and place == program.path
            is_edited = path.name == "README.md" and place == folder and sha256(path) != known.files.get(path.name)
            if is_same or is_recipe or is_edited:
                texts[path.name] = read_text(path)
    return {name: text for name, text in texts.items() if name in ours or not (folder / name).exists()}


def _manifest(folder: Path) -> Manifest:
    return read_manifest(folder) or Manifest()


def _on_hub(name: str | None) -> str | None:
    """Return a backbone's name if it may be one on the hub, i.e. is neither a folder nor the name of an encoder."""
    is_name = name is not None and NAME.fullmatch(name) and name not in ENCODERS and not Path(name).exists()
    return name if is_name else None


def _metrics(result: Result) -> Iterator[EvalResult]:
    """Yield a program's metrics for the hub's metadata."""
    is_glue, scores = result.title in tasks(), result.spiking[0]
    for metric, value in scores.metrics.items():
        known = scores.low is not None and metric == result.metric
        yield EvalResult(
            task_type="text-classification",
            dataset_type="nyu-mll/glue" if is_glue else result.task,
            dataset_name=f"GLUE {result.task}" if is_glue else result.title,
            dataset_config=result.task if is_glue else None,
            dataset_split="validation" if is_glue else result.split,
            metric_type=METRICS.get(metric, (metric,))[0],
            metric_name=_display_name(metric),
            metric_value=value,
            metric_args={"confidence": 0.95, "low": scores.low, "high": scores.high} if known else None,
        )


def _display_name(metric: str) -> str:
    return METRICS[metric][1] if metric in METRICS else metric.capitalize().replace("_", ", ")
