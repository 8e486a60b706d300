"""Memristive devices as data: what a cell can hold, and how far it deviates. Each non-ideality has its own class."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from ..reading import Strict
from ..units import Number, Quantity, Source, si_factor, within

Conductance = Annotated[Quantity, within("S", 0.0, 1e-2)]
Resistance = Annotated[Quantity, within("ohm", 1e-3, 1e5)]
Voltage = Annotated[Quantity, within("V", 1e-6, 10.0)]
Duration = Annotated[Quantity, within("s", 1e-15, 1e9)]
Temperature = Annotated[Quantity, within("K", 1.0, 500.0)]
Share = Annotated[Quantity, within("1", 0.0, 1.0)]
Steepness = Annotated[Quantity, within("1/V", 1e-6, 20.0)]


def _whole(quantity: Quantity) -> Quantity:
    if quantity.unit != "1" or not quantity.value.is_integer() or not 1 <= quantity.value <= 2**16:
        raise ValueError(f"give a whole number, 1 … {2**16}, with unit 1")
    return quantity


Count = Annotated[Quantity, AfterValidator(_whole)]

Cells = NDArray[np.floating]
"""One number per cell, in an array of any shape."""


class Polynomial(Strict):
    """Conductance spread as a polynomial with ascending coefficients.

    With ``argument: uS`` (or another conductance unit) it is a function of the conductance; with ``argument: "1"``, of
    the conductance relative to the device's highest one. ``unit`` is the unit of the result.
    """

    coefficients: list[Number] = Field(min_length=1, max_length=8)
    argument: Literal["S", "mS", "uS", "nS", "1"]
    unit: Literal["S", "mS", "uS", "nS"]
    source: Source

    def __call__(self, conductance: Cells, high: float) -> Cells:
        """Return the value in siemens, at least 0. ``conductance`` and ``high`` are in siemens."""
        x = conductance / (high if self.argument == "1" else si_factor(self.argument)[0])
        value = np.zeros_like(x)
        for coefficient in reversed(self.coefficients):
            value = value * x + coefficient
        return np.maximum(value * si_factor(self.unit)[0], 0)


class LogLine(Strict):
    """``clamp(slope · ln(G / G_high) + intercept, low, high)``: dependence of drift exponents on conductance."""

    slope: Number
    intercept: Number
    low: Number = Field(ge=0)
    high: Number = Field(ge=0, le=1)
    source: Source

    @model_validator(mode="after")
    def _ordered(self) -> LogLine:
        if self.low > self.high:
            raise ValueError(f"its low, {self.low:g}, is above its high, {self.high:g}")
        return self

    def __call__(self, share: Cells) -> Cells:
        """Return the value at ``share = G / G_high``."""
        return np.clip(self.slope * np.log(np.maximum(share, 1e-7)) + self.intercept, self.low, self.high)


class Programming(Strict):
    """Programming noise. A written cell deviates by a Gaussian of this spread, drawn once per write."""

    spread: Polynomial


class Flicker(Strict):
    """1/f noise (Nandakumar et al., ICECS 2019, as in aihwkit).

    Its relative spread is ``min(coefficient · (G/G_high)^-exponent, ceiling) · sqrt(ln((t + t_r) / (2 t_r)))``, with
    the conductance G as programmed, the time t since programming, and the length t_r of a read. Nothing is known of
    reads before ``start``; they are taken to be as noisy as at that time.
    """

    coefficient: Number = Field(ge=0)
    exponent: Number = Field(ge=0, le=2)
    ceiling: Share
    read_time: Duration
    start: Duration
    source: Source

    def __call__(self, share: Cells, seconds: float) -> Cells:
        """Return the relative spread at ``share = G / G_high``, as programmed, ``seconds`` after programming."""
        passed = max(seconds, self.start.si) + self.read_time.si
        growth = math.sqrt(math.log(max(passed / (2 * self.read_time.si), 1)))
        return np.minimum(self.coefficient * np.maximum(share, 1e-7) ** -self.exponent, self.ceiling.si) * growth


class Read(Strict):
    """Read noise, drawn anew in every read: a relative spread, and 1/f noise if known."""

    relative: Share
    flicker: Flicker | None = None

    def spread(self, share: Cells, seconds: float) -> Cells:
        """Return the spread of one read, relative to the cell's present conductance, at ``share = G / G_high`` as
        programmed.
        """
        white = np.full_like(share, self.relative.si)
        return white if self.flicker is None else np.hypot(white, self.flicker(share, seconds))


class Drift(Strict):
    """Drift ``G(t) = G · (t / start)^-ν`` for t > start, with ν drawn per cell."""

    start: Duration
    exponent: LogLine
    exponent_spread: LogLine


class Stuck(Strict):
    """Shares of cells that are stuck at the lowest and at the highest conductance."""

    low: Share
    high: Share


class Device(Strict):
    """One kind of memristor. All parts are optional. A device without any is ideal.

    ``levels`` is the number of conductances that can be written to a cell. Without it, any value in the range is
    possible. The ``nonlinearity`` α makes the current ``I(v) = G · V_read · sinh(α v) / sinh(α V_read)``.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    describes: str
    conductance_low: Conductance
    conductance_high: Conductance
    levels: Count | None = None
    temperature: Temperature | None = None
    programming: Programming | None = None
    read: Read | None = None
    drift: Drift | None = None
    stuck: Stuck | None = None
    nonlinearity: Steepness | None = None

    @property
    def low(self) -> float:
        """Lowest conductance, in S."""
        return self.conductance_low.si

    @property
    def high(self) -> float:
        """Highest conductance, in S."""
        return self.conductance_high.si

    @property
    def steepness(self) -> float:
        """α of the nonlinearity, in 1/V; 0 for linear cells."""
        return self.nonlinearity.si if self.nonlinearity is not None else 0.0

    @model_validator(mode="after")
    def _sound(self) -> Device:
        if self.low >= self.high:
            raise ValueError("conductance_low must lie below conductance_high")
        if self.levels is not None and self.levels.value < 2:
            raise ValueError("levels: a cell needs at least two")
        if self.stuck is not None and self.stuck.low.si + self.stuck.high.si > 1:
            raise ValueError("stuck: low and high together exceed all cells")
        if self.programming is not None and any(self.programming.spread.coefficients):
            largest = float(self.programming.spread(np.linspace(self.low, self.high, 257), self.high).max())
            if not 0 < largest <= self.high:
                span = f"its largest value over the range of conductances is {largest * 1e6:.3g} uS"
                raise ValueError(f"programming.spread.coefficients: {span}, give one up to {self.high * 1e6:.3g} uS")
        return self


def deviating(device: Device, share: float) -> Device:
    """Return a device whose programming noise has one relative spread for all conductances G: σ = share · G."""
    source = "asked for: one relative deviation for all cells"
    spread = Polynomial(coefficients=[0.0, share], argument="S", unit="S", source=source)
    return device.model_copy(update={"name": f"{device.name}-{share:g}", "programming": Programming(spread=spread)})
