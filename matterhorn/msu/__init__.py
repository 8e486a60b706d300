"""The memristive synapse unit: a physical model of devices, arrays and neurons, checked against SPICE.

>>> import numpy as np
>>> weights, kappa = np.ones((4, 16), np.int8), np.ones((2, 16), np.int8)  # [out, in], [..., in]
>>> bank = ArrayBank.of("rram-wan", "array-128", seed=3)
>>> connection = bank.program(weights, name="block.0.output")
>>> connection.at(86400).integrate(kappa).shape  # [..., out], in weight times step of κ
(2, 4)
"""

from .bank import ArrayBank
from .cells import weight_deviation
from .circuit import PARTS, Circuit, only, resized
from .connection import ProgrammedConnection
from .correction import Correction
from .device import Device, deviating
from .files import circuit_names, device_names, load_circuit, load_device
from .readout import Ramp
from .wires import WireCache, default_folder

__all__ = [
    "PARTS",
    "ArrayBank",
    "Circuit",
    "Correction",
    "Device",
    "ProgrammedConnection",
    "Ramp",
    "WireCache",
    "circuit_names",
    "default_folder",
    "deviating",
    "device_names",
    "load_circuit",
    "load_device",
    "only",
    "resized",
    "weight_deviation",
]
