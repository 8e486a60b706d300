"""Scores of a program on simulated chips: over several chips, and for different values of one property."""

from .journal import Journal
from .points import Plan, Study, load_plan, set_to
from .run import Run, needed, run_plan, sizing_sample, spread

__all__ = ["Journal", "Plan", "Run", "Study", "load_plan", "needed", "run_plan", "set_to", "sizing_sample", "spread"]
