"""Compiled kernels: pure functions on NumPy arrays, no torch, no classes. Thin wrappers are one floor up.

Compiled on first use and kept (``cache=True``). Arithmetic is that of the source, operation by operation: no fast-math,
no contraction, so floating-point kernels give the bits of their torch definitions in :mod:`matterhorn.nn.digital`.
"""
