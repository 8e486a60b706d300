"""What the numbers of devices and circuits may be: dimension and range of each kind, in SI."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from ..quantity import Quantity, within

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
