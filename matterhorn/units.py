"""Quantities: every number in a data file has a value, a unit and a source.

Computations use SI units. Printed values have engineering prefixes.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from .reading import Strict

PREFIXES = {"a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}
PRINTED = (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12), ("f", 1e-15), ("a", 1e-18))
"""Prefixes of printed values, largest first."""
BASES = ("bit", "ohm", "J", "s", "m2", "m", "W", "V", "S", "F", "K", "1")
_TEXT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(\S*)\s*")


def _factor(symbol: str) -> tuple[float, str]:
    """Prefix factor and base of one symbol, e.g. ``pJ`` → (1e-12, "J"). The prefix of an area is squared."""
    if symbol == "%":
        return 0.01, "1"
    for base in BASES:
        prefix = symbol.removesuffix(base)
        if symbol.endswith(base) and prefix in PREFIXES:
            return PREFIXES[prefix] ** (2 if base == "m2" else 1), base
    raise ValueError(f"unknown unit {symbol!r}")


@lru_cache
def si_factor(unit: str) -> tuple[float, str]:
    """SI factor and dimension of a unit: ``pJ/bit/mm`` → (1e-9, "J/bit/m"), ``%`` → (0.01, "1").

    Raises:
        ValueError: the unit is unknown.
    """
    (factor, base), *divisors = [_factor(symbol) for symbol in unit.split("/")]
    for scale, _ in divisors:
        factor /= scale
    return factor, "/".join([base, *(base for _, base in divisors)])


def _refuse_other_types(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError(f"{str(given).lower()} is not a number")
    if isinstance(given, str):
        raise ValueError(f"the text {given!r} is not a number")
    return given


Number = Annotated[float, BeforeValidator(_refuse_other_types)]
"""A number in a data file. Booleans and texts are refused."""

Source = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3)]
"""Where a number in a data file comes from. It must not be blank."""


class Quantity(Strict):
    """One number of a data file, e.g. ``{value: 40, unit: uS, source: "Wan 2022"}``.

    ``low`` and ``high``, if known, are its bounds in the same unit.
    """

    value: Number = Field(allow_inf_nan=False)
    unit: str
    source: Source
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Quantity:
        for name, bound, wrong in (("low", self.low, "above"), ("high", self.high, "below")):
            if bound is not None and (bound > self.value if name == "low" else bound < self.value):
                raise ValueError(f"its {name}, {bound:g}, is {wrong} its value, {self.value:g}")
        return self

    @property
    def si(self) -> float:
        """Value in SI units; for ``%`` a share of 1."""
        return self.value * si_factor(self.unit)[0]

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value in the same unit. An unknown bound is assumed to be a factor of two away."""
        return bounds(self.value, self.low, self.high)

    @property
    def text(self) -> str:
        """Value with its unit, as in the file."""
        return f"{self.value:g}" if self.unit == "1" else f"{self.value:g} {self.unit}"


def bounds(value: float, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the given bounds. An unknown bound is assumed to be a factor of two from the value."""
    return (value / 2 if low is None else low, 2 * value if high is None else high)


def within(dimension: str, low: float, high: float) -> AfterValidator:
    """Make a validator: the unit must have this dimension, and the SI value and its bounds lie in ``low … high``."""

    def check(quantity: Quantity) -> Quantity:
        factor, found = si_factor(quantity.unit)
        if found != dimension:
            raise ValueError(f"unit {quantity.unit!r} is not a unit of {dimension}")
        for number in (quantity.value, quantity.low, quantity.high):
            if number is not None and not low <= number * factor <= high:
                wrong, least, most = (
                    quantity.model_copy(update={"value": own}) for own in (number, low / factor, high / factor)
                )
                raise ValueError(f"{wrong.text} is outside the allowed range {least.value:g} … {most.text}")
        return quantity

    return AfterValidator(check)


def parse(text: str) -> tuple[float, str]:
    """Split ``"1 pJ"`` into value and unit. A bare number has the unit ``1``.

    Raises:
        ValueError: the text is not a finite number with an optional unit.
    """
    match = _TEXT.fullmatch(text)
    if not match:
        raise ValueError(f"cannot read {text!r} as a number with a unit, e.g. '1 pJ'")
    value = float(match[1]) if match[1].count(".") < 2 else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value, match[2] or "1"


def engineering(value: float, unit: str = "J") -> str:
    """Format an SI value with three digits and a prefix: ``3.2e-5, "J"`` → ``32.0 µJ``."""
    if value == 0:
        return f"0 {unit}"
    rounded = abs(float(f"{value:.2e}"))  # 999.6 pJ are 1.00 nJ
    prefix, scale = next((own for own in PRINTED if rounded >= own[1]), PRINTED[-1])
    return f"{value / scale:#.3g}".rstrip(".") + f" {prefix}{unit}"
