"""Training: recipes, the loop that runs their phases, silence that is held, rows made of others. Needs torch."""

from .recipe import Distilling, Phase, Recipe, load_recipe, read_recipe, shipped_recipes
from .silence import Silence
from .verb import distill

__all__ = ["Distilling", "Phase", "Recipe", "Silence", "distill", "load_recipe", "read_recipe", "shipped_recipes"]
