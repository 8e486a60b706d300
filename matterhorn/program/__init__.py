"""The converted network: :class:`Program`, its files and its trace. Needs neither torch nor an engine."""

from .config import Config
from .files import find, load, shipped
from .program import Program
from .trace import Trace

__all__ = ["Config", "Program", "Trace", "find", "load", "shipped"]
