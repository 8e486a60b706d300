"""What a program is worth on real chips: scores over chip instances, studies of one property at a time."""

from .chips import Run, sizing_sample, spread
from .journal import Journal
from .points import Plan, Study, load_plan, set_to
from .run import needed, run_plan

__all__ = ["Journal", "Plan", "Run", "Study", "load_plan", "needed", "run_plan", "set_to", "sizing_sample", "spread"]
