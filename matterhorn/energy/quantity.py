"""A hardware number: value, unit and source. SI inside, engineering units in print."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PREFIXES = {"a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}
BASES = ("bit", "J", "s", "m2", "m", "W", "V", "S", "1")
_TEXT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(\S*)\s*")


def _factor(symbol: str) -> tuple[float, str]:
    """Prefix factor and base of one symbol, e.g. ``pJ`` → (1e-12, "J"); an area prefix counts twice."""
    for base in BASES:
        prefix = symbol.removesuffix(base)
        if symbol.endswith(base) and prefix in PREFIXES:
            return PREFIXES[prefix] ** (2 if base == "m2" else 1), base
    raise ValueError(f"unknown unit {symbol!r}")


@lru_cache
def si_factor(unit: str) -> tuple[float, str]:
    """Factor to SI and dimension of a unit: ``pJ/bit/mm`` → (1e-9, "J/bit/m")."""
    first, *below = [_factor(symbol) for symbol in unit.split("/")]
    factor = first[0]
    for scale, _ in below:
        factor /= scale
    return factor, "/".join([first[1], *(base for _, base in below)])


class Quantity(BaseModel):
    """One number of a data file. ``low`` and ``high``, where known, bound it in the same unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(allow_inf_nan=False)
    unit: str
    source: str = Field(min_length=3)
    low: float | None = None
    high: float | None = None

    @property
    def si(self) -> float:
        """Value in SI units."""
        return self.value * si_factor(self.unit)[0]

    @property
    def text(self) -> str:
        """Value with its unit, as in the file."""
        return f"{self.value:g}" if self.unit == "1" else f"{self.value:g} {self.unit}"


def parse(text: str) -> tuple[float, str]:
    """Split ``"1 pJ"`` into value and unit; a bare number has the unit ``1``."""
    match = _TEXT.fullmatch(text)
    if not match:
        raise ValueError(f"cannot read {text!r} as a number with a unit, e.g. '1 pJ'")
    return float(match[1]), match[2] or "1"


def _checked(dimension: str, low: float, high: float) -> AfterValidator:
    """Validator: the dimension fits and the SI value lies in the allowed range."""

    def check(quantity: Quantity) -> Quantity:
        factor, found = si_factor(quantity.unit)
        if found != dimension:
            raise ValueError(f"unit {quantity.unit!r} is not a unit of {dimension}")
        if not low <= quantity.si <= high:
            raise ValueError(
                f"{quantity.text} is outside the allowed range {low / factor:g} … {high / factor:g} {quantity.unit}"
            )
        return quantity

    return AfterValidator(check)


Energy = Annotated[Quantity, _checked("J", 0, 1e-6)]
BitEnergy = Annotated[Quantity, _checked("J/bit", 0, 1e-6)]
WireEnergy = Annotated[Quantity, _checked("J/bit/m", 0, 1e-6)]
Count = Annotated[Quantity, _checked("1", 0, 1e6)]
Positive = Annotated[Quantity, _checked("1", 1, 1e6)]
Bits = Annotated[Quantity, _checked("bit", 0, 1e12)]
Time = Annotated[Quantity, _checked("s", 1e-12, 1e-3)]
Area = Annotated[Quantity, _checked("m2", 1e-12, 1.0)]
Length = Annotated[Quantity, _checked("m", 1e-9, 1e-6)]
Power = Annotated[Quantity, _checked("W", 0, 1e3)]
Voltage = Annotated[Quantity, _checked("V", 0, 10)]
Conductance = Annotated[Quantity, _checked("S", 0, 1)]


def engineering(value: float, unit: str = "J") -> str:
    """Print an SI value with three digits and a prefix: ``3.2e-5, "J"`` → ``32.0 µJ``."""
    if value == 0:
        return f"0 {unit}"
    for prefix, scale in (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12), ("f", 1e-15)):
        if abs(value) >= scale:
            return f"{value / scale:#.3g}".rstrip(".") + f" {prefix}{unit}"
    return f"{value / 1e-18:.3g} a{unit}"
