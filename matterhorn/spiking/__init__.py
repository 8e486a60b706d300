"""From your classifier and rows to a spiking network, in one call. Needs torch."""

from ..extras import need

need("train", "torch", "transformers", "accelerate")

from .forecast import forecast
from .plan import make_plan
from .settings import Settings
from .verb import Spiked, prepare, spike

__all__ = ["Settings", "Spiked", "forecast", "make_plan", "prepare", "spike"]
