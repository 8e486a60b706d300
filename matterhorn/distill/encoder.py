"""Export the result of a run without a task as a folder from which ``matterhorn spike`` can start.

Run ``python -m matterhorn.distill.encoder RUN FOLDER``. An encoder that is already in the folder is replaced, with its
card. Other files stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import InputError
from ..models.general import write_general
from ..models.quantized import read_network
from .recipe import read_recipe
from .start import RECIPE_FILE, finished_phases
from .state import read_progress
from .teacher import load_classifier, locate

STORED_FIGURES = ("silent", "quiet", "hidden_error", "cosine", "pearson")
"""Figures of the network's evaluation that are stored with the encoder, as far as there are any."""


def write_encoder(run: Path, folder: Path) -> None:
    """Write the blocks of the network that a finished run's last phase kept.

    Raises:
        InputError: the run has a task, or has not finished.
    """
    recipe, phases = read_recipe(run / RECIPE_FILE), finished_phases(run)
    if recipe.task is not None or not phases:
        raise InputError("not a finished run without a task", file=run, cure="train a recipe without one first")
    kept = read_progress(phases[-1] / "last").kept
    figures = {name: round(kept[name], 4) for name in STORED_FIGURES if name in kept}
    about = {"backbone": recipe.backbone, "compares": recipe.teacher is not None, "figures": figures}
    write_general(read_network(phases[-1] / "best"), load_classifier(locate(recipe.backbone)), folder, about)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m matterhorn.distill.encoder RUN FOLDER")
    try:
        write_encoder(*map(Path, sys.argv[1:]))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
