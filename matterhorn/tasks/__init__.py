"""Tasks as data, rows from any source, tokens, metrics, evaluation with an engine, and result files. Needs no torch."""

from .describe import describe
from .rows import Examples, load_examples, read_rows, stream_rows
from .task import Task, get_task, tasks

__all__ = ["Examples", "Task", "describe", "get_task", "load_examples", "read_rows", "stream_rows", "tasks"]
