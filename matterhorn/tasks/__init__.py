"""Rows and metrics: GLUE as data, tokens, evaluation with an engine, result files. Needs no torch."""

from .rows import Examples, load_examples
from .task import Task, get_task, tasks

__all__ = ["Examples", "Task", "get_task", "load_examples", "tasks"]
