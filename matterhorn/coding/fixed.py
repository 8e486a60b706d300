"""Fixed-point formats of the digital steps: norms, the head, and the softmax."""

FRACTION = 4096.0
"""Steps per 1 of what norms and the head read: there are 12 fractional bits."""

EXP_ONE = 2.0**14
"""exp(0) in the softmax's table."""

LIMIT = 127.0
"""Largest magnitude. Larger values saturate."""
