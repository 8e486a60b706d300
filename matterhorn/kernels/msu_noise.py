"""Gaussian noise, 64 numbers at a time: hashed counters with the Box-Muller transform.

A number depends only on its seed and position, so noise may be drawn in any order. Logarithm, sine and cosine are
polynomials. Their relative error is at most 3e-5. No number exceeds 6.7 standard deviations.
"""

from __future__ import annotations

import math

import numpy as np

from .compile import contracted_kernel
from .lanes import LANES

ONE, HALF, QUARTER = np.float32(1), np.float32(0.5), np.float32(math.pi / 4)
ANGLE = np.float32(math.pi / 2 * 2.0**-30)
ROOT_HALF = np.int32(0x3F3504F3)
"""√½ as the bits of a float32."""
EXPONENT, MANTISSA, WHOLE = np.int32(23), np.int32(0x7FFFFF), np.int32(31 << 23)
"""Of a float32: position of the exponent, mask of the mantissa, and 31 as an exponent (a factor of 2³¹)."""
GOLDEN, GOLDEN_WIDE = np.uint32(0x9E3779B9), np.uint64(0x9E3779B97F4A7C15)
"""2³² and 2⁶⁴ divided by the golden ratio: odd steps that spread counters evenly."""

# Chebyshev fits of −ln(1 + m) / m for m in √½ − 1 … √2 − 1, and of sin(t) / t and cos(t) in t² for t within ± π/4.
L0, L1, L2 = np.float32(-1.0000046), np.float32(0.4999036), np.float32(-0.3325676)
L3, L4, L5 = np.float32(0.25397864), np.float32(-0.22070539), np.float32(0.14338474)
S0, S1, S2 = np.float32(0.999999), np.float32(-0.16663274), np.float32(0.00816789)
C0, C1, C2 = np.float32(0.99999306), np.float32(-0.49976332), np.float32(0.04051158)
MINUS_LN_2 = np.float32(-math.log(2))


@contracted_kernel
def hashed(x):
    """A bijection of uint32 whose output bits look random (Wellons' lowbias32)."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@contracted_kernel
def key_of(seed, place):
    """Return 64 bits that look random for a seed and a place (splitmix64). ``uint64, int → uint64``."""
    x = np.uint64(seed + np.uint64(place) * GOLDEN_WIDE)
    x = np.uint64((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    x = np.uint64((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint64(x ^ (x >> np.uint64(31)))


@contracted_kernel
def add_noise(sums, powers, factor, more, key, place, stride):
    """Add a Gaussian random number of variance ``powers[i] · factor[j] + more`` to each ``sums[i, j]``.

    ``sums float32 [n, 64]``, ``powers float32 [n]``, ``factor float32 [64]``. Row i draws its numbers from ``key``
    (uint64) and the place ``place + i · stride``. For a pair of neurons, one uniform number u gives the radius, and
    another one the angle within a quadrant and the two signs.
    """
    half = LANES // 2
    for i in range(len(powers)):
        power = powers[i]
        if power == 0 and more == 0:
            continue
        own, row = key_of(key, place + i * stride), sums[i]
        first, second = np.uint32(own), np.uint32(own >> np.uint64(32))
        for j in range(half):
            size = hashed(np.uint32(first + np.uint32(np.uint32(j) * GOLDEN)))
            turn = np.uint32(np.uint32(size ^ second) * GOLDEN)
            turn = np.uint32(turn ^ (turn >> np.uint32(15)))
            share = np.float32(np.float32(np.int32(size >> np.uint32(1))) + HALF)  # u · 2³¹
            bits = np.int32(share.view(np.int32) - (ROOT_HALF + WHOLE))  # u = 2^exponent · (1 + m)
            m = np.int32((bits & MANTISSA) + ROOT_HALF).view(np.float32) - ONE
            rest = L0 + m * (L1 + m * (L2 + m * (L3 + m * (L4 + m * L5))))
            squared = np.float32(bits >> EXPONENT) * MINUS_LN_2 + m * rest  # −ln u, half the square of the radius
            t = np.float32(np.int32(turn >> np.uint32(2))) * ANGLE - QUARTER  # the angle less π/4
            q = t * t
            sine, cosine = t * (S0 + q * (S1 + q * S2)), C0 + q * (C1 + q * C2)
            one, two = power * factor[j] + more, power * factor[half + j] + more
            one = np.float32(np.float32(math.sqrt(squared * one)) * (cosine - sine))
            two = np.float32(np.float32(math.sqrt(squared * two)) * (cosine + sine))
            row[j] += np.int32(one.view(np.int32) ^ np.int32(turn << np.uint32(31))).view(np.float32)
            sign = np.int32((turn >> np.uint32(1)) << np.uint32(31))
            row[half + j] += np.int32(two.view(np.int32) ^ sign).view(np.float32)
