"""What a network is worth on real chips: scores over chip instances, studies of one property at a time."""

from .chips import Run, sizing_sample
from .journal import Journal
from .needed import needed
from .points import Plan, Study, load_plan, set_to
from .run import run_plan

__all__ = ["Journal", "Plan", "Run", "Study", "load_plan", "needed", "run_plan", "set_to", "sizing_sample"]
