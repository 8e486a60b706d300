"""Training: recipes, the loop that runs their phases, control of silence, and augmented rows. Needs torch."""

import sys
from types import ModuleType

from ..extras import need

need("train", "torch", "transformers", "accelerate")

from .recipe import Distilling, Phase, Recipe, load_recipe, read_recipe, shipped_recipes
from .silence import Silence
from .verb import distill

__all__ = ["Distilling", "Phase", "Recipe", "Silence", "distill", "load_recipe", "read_recipe", "shipped_recipes"]


class _Room(ModuleType):
    """Module that can be called like the function ``distill``.

    Importing the module hides the function of the same name in :mod:`matterhorn`.
    """

    __call__ = staticmethod(distill)


sys.modules[__name__].__class__ = _Room
__doc__ = f"{__doc__}\n\n{distill.__doc__}"
