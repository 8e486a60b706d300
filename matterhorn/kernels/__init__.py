"""All compiled loops: pure functions on NumPy arrays, without classes. Their callers wrap them thinly.

Kernels are compiled on first use and cached (:mod:`.compile`). Unless a kernel states otherwise, its arithmetic follows
the source operation by operation, without fast-math or contraction. Floating-point kernels are therefore bit-identical
to their definitions.
"""
