"""Numbers about hardware: a value, its unit and where it comes from; SI once read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}


class Strict(BaseModel):
    """Base of everything read from a data file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(Strict):
    """One sourced number, e.g. ``{value: 40, unit: uS, source: "Wan 2022"}``."""

    value: float
    unit: str
    source: str = Field(min_length=3)

    @property
    def si(self) -> float:
        """The value in SI units (a share for ``%``)."""
        return self.value * unit_factor(self.unit)[0]


def unit_factor(unit: str) -> tuple[float, str]:
    """Factor to SI and base unit of a unit such as ``uS``, ``ns``, ``%`` or ``1``.

    Raises:
        ValueError: for a unit nobody knows.
    """
    if unit == "1":
        return 1.0, "1"
    if unit == "%":
        return 0.01, "1"
    for base in ("1/V", "ohm", "S", "V", "s", "F", "J", "K"):
        if unit.endswith(base) and unit[: -len(base)] in PREFIXES:
            return PREFIXES[unit[: -len(base)]], base
    raise ValueError(f"unknown unit {unit!r}")


def within(base: str, low: float, high: float) -> AfterValidator:
    """Validator: the unit measures ``base`` and the SI value lies in ``low … high``."""

    def check(quantity: Quantity) -> Quantity:
        _, found = unit_factor(quantity.unit)
        if found != base:
            raise ValueError(f"unit {quantity.unit!r} does not measure {base!r}")
        if not low <= quantity.si <= high:
            raise ValueError(f"{quantity.value:g} {quantity.unit} lies outside {low:g} … {high:g} {base}")
        return quantity

    return AfterValidator(check)


Conductance = Annotated[Quantity, within("S", 0.0, 1e-2)]
Resistance = Annotated[Quantity, within("ohm", 1e-3, 1e5)]
Voltage = Annotated[Quantity, within("V", 1e-6, 10.0)]
Duration = Annotated[Quantity, within("s", 1e-15, 1e9)]
Temperature = Annotated[Quantity, within("K", 1.0, 500.0)]
Share = Annotated[Quantity, within("1", 0.0, 1.0)]
Steepness = Annotated[Quantity, within("1/V", 1e-6, 20.0)]


def _whole(quantity: Quantity) -> Quantity:
    if quantity.unit != "1" or quantity.value != int(quantity.value) or quantity.value < 1:
        raise ValueError("give a whole number ≥ 1 with unit 1")
    return quantity


Count = Annotated[Quantity, AfterValidator(_whole)]


def engineering(value: float, base: str) -> str:
    """Print an SI value with a prefix: ``engineering(4e-5, "S") == "40 uS"``."""
    for prefix, factor in sorted(PREFIXES.items(), key=lambda item: -item[1]):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {prefix}{base}"
    return f"{value:.4g} {base}"
