"""Measuring speed: contestants run in turn in one process, medians with spread, ratios within one run."""

from .clock import BENCH_FORMAT, Row, as_json, interleave
from .suite import FULL, PARTS, QUICK, Plan, run_plan

__all__ = ["BENCH_FORMAT", "FULL", "PARTS", "QUICK", "Plan", "Row", "as_json", "interleave", "run_plan"]
