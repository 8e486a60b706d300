"""The memristive synapse unit: devices, arrays and neurons as physics, checked against SPICE.

>>> bank = ArrayBank.of("rram-wan", "array-128", seed=3)
>>> connection = bank.program(weights, name="block.0.output")  # int8 [out, in]
>>> potentials = connection.at(86400).integrate(kappa)  # [..., in] -> [..., out], in weight times step of κ
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
