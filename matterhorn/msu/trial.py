"""One array to try: drawn or given weights and pulses, for netlists and for the comparison with ngspice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coding import Code, encode, kernel, level_histogram, most_frequent
from ..errors import InputError
from .bank import ArrayBank
from .circuit import Circuit, only, resized
from .connection import ProgrammedConnection
from .device import Device
from .readout import Ramp

STATIC_DEVICE_PARTS = ("programming", "stuck", "drift", "nonlinearity")
STATIC_CIRCUIT_PARTS = ("wires", "mismatch", "leak", "comparator")
"""What a netlist can hold: all that is drawn once per chip. Noise of each read, rails and converters stay out."""

LARGEST = 512
"""Largest weight or kernel that files may hold."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A programmed array, the kernel that drives it and the ramp that reads it."""

    connection: ProgrammedConnection
    kernel: Tensor
    ramp: Ramp


def make_trial(weights: Tensor, pulses: Tensor, device: Device, circuit: Circuit, code: Code, seed: int) -> Trial:
    """An array just large enough for ``weights [out, in]``, its ramp spanning the potentials of ``pulses [in]``."""
    fan_out, fan_in = weights.shape
    bank = ArrayBank(
        only(device, *STATIC_DEVICE_PARTS), resized(only(circuit, *STATIC_CIRCUIT_PARTS), fan_in, 2 * fan_out), seed
    )
    full_scale = max(float((weights.double() @ pulses.double()).abs().max()), 1.0)
    top = max(int(pulses.abs().max()), 1)
    connection = bank.program(weights, kernel_top=top, kernel_unit=code.unit, full_scale=full_scale)
    middle = torch.tensor(code.top / 2, dtype=torch.float64)
    return Trial(connection, pulses, Ramp.linear(middle / full_scale, middle, code))


def choose_trial(
    device: Device,
    circuit: Circuit,
    size: tuple[int, int],
    seed: int,
    seconds: float = 0.0,
    kernel_file: Path | None = None,
    weights_file: Path | None = None,
) -> Trial:
    """A trial from npy files where given, else drawn for an array of ``size`` (word lines, bit lines)."""
    rows, columns = size
    if columns % 2:
        raise InputError(f"{columns} bit lines", field="cols", cure="a neuron takes two, give an even number")
    weights = drawn_weights(rows, columns // 2, seed) if weights_file is None else _integers(weights_file, 2)
    pulses, code = drawn_pulses(weights.shape[1], seed)
    if kernel_file is not None:
        pulses = _integers(kernel_file, 1)
    if pulses.shape[0] != weights.shape[1]:
        raise InputError(
            f"{pulses.shape[0]} pulses for {weights.shape[1]} rows", file=kernel_file, cure="give one pulse per row"
        )
    trial = make_trial(weights, pulses, device, circuit, code, seed)
    return replace(trial, connection=trial.connection.at(seconds))


def _integers(file: Path, dimensions: int) -> Tensor:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError("not an npy file", file=file, cure="write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.ndim != dimensions:
        raise InputError("wrong content", file=file, cure=f"give integers in {dimensions} dimension(s)")
    if array.size == 0 or np.abs(array.astype(np.int64)).max() > LARGEST:
        raise InputError("empty, or numbers beyond reason", file=file, cure=f"give integers up to ± {LARGEST}")
    return torch.from_numpy(array.astype(np.int16))


def drawn_weights(rows: int, neurons: int, seed: int) -> Tensor:
    """1-bit weights, int8 ``[neurons, rows]``."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randint(2, (neurons, rows), generator=generator) - 1).to(torch.int8)


def drawn_pulses(rows: int, seed: int) -> tuple[Tensor, Code]:
    """Kernel of rows whose levels are Laplace distributed, as a transformer's are: 4-bit M-TTFS, no dead zone."""
    generator = torch.Generator().manual_seed(seed + 1)
    uniform = torch.rand(rows, generator=generator) - 0.5
    levels = (7 - 2.5 * uniform.sign() * (1 - 2 * uniform.abs()).log()).round().clamp(0, 15).to(torch.uint8)
    code = Code(4, most_frequent(level_histogram(levels[:, None], 4))[0])
    return kernel(encode(levels, code), code), code
