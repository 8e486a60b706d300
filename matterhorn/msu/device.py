"""Memristive devices as data: what a cell can hold and how far it strays from it. One class per non-ideality."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..quantity import Quantity, Strict, si_factor
from .ranges import Conductance, Count, Duration, Share, Steepness, Temperature


class Polynomial(Strict):
    """Conductance spread as a polynomial, ascending coefficients.

    ``argument: uS`` (or another conductance unit) takes the conductance itself, ``argument: "1"`` its share of the
    device's highest conductance. ``unit`` is the unit of the result.
    """

    coefficients: list[float] = Field(min_length=1, max_length=8)
    argument: Literal["S", "mS", "uS", "nS", "1"]
    unit: Literal["S", "mS", "uS", "nS"]
    source: str = Field(min_length=3)

    def __call__(self, conductance: Tensor, high: float) -> Tensor:
        """Value in siemens, never below 0. ``conductance`` and ``high`` in siemens."""
        x = conductance / (high if self.argument == "1" else si_factor(self.argument)[0])
        value = torch.zeros_like(x)
        for coefficient in reversed(self.coefficients):
            value = value * x + coefficient
        return (value * si_factor(self.unit)[0]).clamp(min=0)


class LogLine(Strict):
    """``clamp(slope · ln(G / G_high) + intercept, low, high)``: how drift exponents depend on conductance."""

    slope: float
    intercept: float
    low: float = Field(ge=0)
    high: float = Field(ge=0, le=1)
    source: str = Field(min_length=3)

    def __call__(self, share: Tensor) -> Tensor:
        """Value at ``share = G / G_high``."""
        return (self.slope * share.clamp(min=1e-7).log() + self.intercept).clamp(self.low, self.high)


class Programming(Strict):
    """Programming noise: a written cell is off by a Gaussian of this spread, drawn once per write."""

    spread: Polynomial


class Flicker(Strict):
    """1/f noise: relative spread ``min(coefficient · (G/G_high)^-exponent, ceiling) · sqrt(ln((t + t_r) / (2 t_r)))``
    at time t since programming for reads of length t_r (Nandakumar et al., ICECS 2019, as in aihwkit)."""

    coefficient: float = Field(ge=0)
    exponent: float = Field(ge=0, le=2)
    ceiling: Share
    read_time: Duration
    source: str = Field(min_length=3)

    def __call__(self, share: Tensor, seconds: float) -> Tensor:
        """Relative spread at ``share = G / G_high``, ``seconds`` after programming."""
        growth = torch.tensor((seconds + self.read_time.si) / (2 * self.read_time.si)).clamp(min=1).log().sqrt()
        return (self.coefficient * share.clamp(min=1e-7) ** -self.exponent).clamp(max=self.ceiling.si) * growth


class Read(Strict):
    """Read noise, drawn anew in every read: a relative spread, and 1/f noise where known."""

    relative: Share
    flicker: Flicker | None = None


class Drift(Strict):
    """Drift ``G(t) = G · (t / start)^-ν`` for t > start, with ν drawn per cell."""

    start: Duration
    exponent: LogLine
    exponent_spread: LogLine


class Stuck(Strict):
    """Shares of cells stuck at the lowest and at the highest conductance."""

    low: Share
    high: Share


class Device(Strict):
    """One kind of memristor. All parts are optional; a device with none of them is ideal.

    ``levels`` is the number of conductances a cell can be told to hold; none given: any value in the range.
    ``nonlinearity`` α makes the current ``I(v) = G · V_read · sinh(α v) / sinh(α V_read)``.
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
        """Lowest conductance, S."""
        return self.conductance_low.si

    @property
    def high(self) -> float:
        """Highest conductance, S."""
        return self.conductance_high.si

    @property
    def on_off(self) -> float:
        """Ratio of the highest to the lowest conductance."""
        return self.high / self.low if self.low else float("inf")

    @model_validator(mode="after")
    def _sound(self) -> Device:
        if self.low >= self.high:
            raise ValueError("conductance_low must lie below conductance_high")
        if self.levels is not None and self.levels.value < 2:
            raise ValueError("levels: a cell needs at least two")
        if self.stuck is not None and self.stuck.low.si + self.stuck.high.si > 1:
            raise ValueError("stuck: low and high together exceed all cells")
        return self


def deviating(device: Device, share: float) -> Device:
    """The device with programming noise of one relative spread for all cells, σ = share · G, and nothing else of it."""
    source = "asked for: one relative deviation for all cells"
    quantity = Quantity(value=share, unit="1", source=source)
    spread = Polynomial(coefficients=[0.0, quantity.value], argument="S", unit="S", source=source)
    return device.model_copy(update={"name": f"{device.name}-{share:g}", "programming": Programming(spread=spread)})
