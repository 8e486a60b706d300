"""Speed measurements against other implementations. Contestants take turns in one process.

Results are medians with their spread, and ratios of times from the same run.
"""

from .clock import BENCH_FORMAT, Row, as_json, interleave
from .suite import FULL, PARTS, QUICK, Plan, run_plan

__all__ = ["BENCH_FORMAT", "FULL", "PARTS", "QUICK", "Plan", "Row", "as_json", "interleave", "run_plan"]
