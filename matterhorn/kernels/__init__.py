"""All compiled loops: pure functions on NumPy arrays, no classes. Thin wrappers are one floor up.

Compiled on first use and kept (:mod:`.compile`). Unless a kernel says otherwise, arithmetic is that of the source,
operation by operation: no fast-math, no contraction, so floating-point kernels give the bits of their definitions.
"""
