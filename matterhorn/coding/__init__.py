"""Levels, slots, silent levels and dead zones: how integers become spikes. Knows nothing of networks."""

from .code import READ_UNIT, SILENT, Code
from .rate import decode_rate, encode_rate
from .silence import least_cost, level_histogram, mean_of_silent, most_frequent, silent_share
from .spikes import count_events, decode, encode, is_silent, kernel

__all__ = [
    "READ_UNIT",
    "SILENT",
    "Code",
    "count_events",
    "decode",
    "decode_rate",
    "encode",
    "encode_rate",
    "is_silent",
    "kernel",
    "least_cost",
    "level_histogram",
    "mean_of_silent",
    "most_frequent",
    "silent_share",
]
