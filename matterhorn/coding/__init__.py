"""How integers become spikes: levels, slots, silent levels and dead zones. Pure functions on NumPy arrays."""

from .code import EIGHTHS, MAX_BITS, SILENT, Code, frozen
from .silence import level_histogram, mean_of_silent, most_frequent, silent_share
from .spikes import count_events, decode, encode, is_silent, kappa

__all__ = [
    "EIGHTHS",
    "MAX_BITS",
    "SILENT",
    "Code",
    "count_events",
    "decode",
    "encode",
    "frozen",
    "is_silent",
    "kappa",
    "level_histogram",
    "mean_of_silent",
    "most_frequent",
    "silent_share",
]
