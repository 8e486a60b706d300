"""Measuring speed: contestants run in turn in one process, medians with spread, ratios within one run."""

from .clock import Timing, interleave
from .rows import Row, as_json
from .suite import Plan, full_plan, quick_plan, run_plan

__all__ = ["Plan", "Row", "Timing", "as_json", "full_plan", "interleave", "quick_plan", "run_plan"]
