"""The fixed-point format in which norms and the head read the residual stream."""

FRACTION = 4096.0
"""Steps per 1: there are 12 fractional bits."""

LIMIT = 127.0
"""Largest magnitude. Larger values saturate."""
