"""What the numbers of a chip may be: dimension and range of each kind, in SI."""

from __future__ import annotations

from typing import Annotated

from ..quantity import Quantity, within

Energy = Annotated[Quantity, within("J", 0, 1e-6)]
BitEnergy = Annotated[Quantity, within("J/bit", 0, 1e-6)]
WireEnergy = Annotated[Quantity, within("J/bit/m", 0, 1e-6)]
Count = Annotated[Quantity, within("1", 0, 1e6)]
Positive = Annotated[Quantity, within("1", 1, 1e6)]
Bits = Annotated[Quantity, within("bit", 0, 1e12)]
Time = Annotated[Quantity, within("s", 1e-12, 1e-3)]
Area = Annotated[Quantity, within("m2", 1e-12, 1.0)]
Length = Annotated[Quantity, within("m", 1e-9, 1e-6)]
Power = Annotated[Quantity, within("W", 0, 1e3)]
Voltage = Annotated[Quantity, within("V", 0, 10)]
Conductance = Annotated[Quantity, within("S", 0, 1)]
