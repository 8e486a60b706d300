"""A chip's answer: every static connection through the arrays of one chip, all the rest as in ``exact``.

Q·Kᵀ and P·V are products of spikes with stored bits in digital logic, so they stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from ..coding import Code, kernel
from ..errors import InputError
from ..models.spiking import Connection, Population, SpikingNetwork
from ..msu import ArrayBank, ProgrammedConnection
from .exact import ExactEngine, narrow_kernel
from .forward import classify
from .kernels.connection import NARROW
from .limits import check_sums
from .prepare import joined, kernel_code
from .record import SlotRecorder

Progress = Callable[[Iterable], Iterable]

WEAKEST = 1 / 32
"""A digital scale amplifies no output further than this share of its signal asks for."""


class AnalogEngine(ExactEngine):
    """Runs one network on one chip.

    Read-outs are divided by what the chip leaves of each output (``column_gains``, as a digital scale that is measured
    at the time of use restores it) and rounded to whole kernel steps.

    Args:
        network: what is written; the engine runs no other.
        bank: the chip. The same seed gives the same cells, also for connections programmed one by one elsewhere under
            the names of :func:`static_connections`.
        seconds: time since programming.
        sample: kernels per connection (:func:`sample_kernels`) for which capacitors are sized; None sizes them for the
            largest potential there can be.
        read_seed: of read noise and jitter, which are new in every read.
        progress: follows the connections while they are written.
    """

    name = "analog"
    draws = True

    def __init__(
        self,
        network: SpikingNetwork,
        bank: ArrayBank,
        *,
        seconds: float = 0.0,
        sample: Mapping[str, Tensor] | None = None,
        read_seed: int = 0,
        progress: Progress = iter,
    ) -> None:
        self.generator = torch.Generator().manual_seed(read_seed)
        self.programmed: dict[Connection, ProgrammedConnection] = {}
        self.gains: dict[Connection, Tensor] = {}
        for name, (connection, source) in progress(static_connections(network).items()):
            kernels = None if sample is None else sample[name]
            written = write(bank, name, connection, source.code, kernels).at(seconds)
            self.programmed[connection] = written
            self.gains[connection] = written.column_gains.clamp(min=WEAKEST)

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        check_sums(connection, code)
        if connection not in self.programmed:
            raise InputError("a connection that is not on this chip", field="network", cure="build an engine for it")
        rows = slots.reshape(-1, slots.shape[-1]).contiguous()
        narrow = kernel_code(code, rows.shape[1]).reach <= NARROW
        kappa = narrow_kernel(rows, code) if narrow else kernel(rows, code)
        scale, shift = 1 / self.gains[connection], connection.offset.to(torch.float32)
        sums = self.programmed[connection].in_steps(kappa, scale, shift, self.generator)
        return sums.view(*slots.shape[:-1], -1)


def static_connections(network: SpikingNetwork) -> dict[str, tuple[Connection, Population]]:
    """What a chip holds, and which population drives it; query, key and value share their rows."""
    found: dict[str, tuple[Connection, Population]] = {}
    for i, block in enumerate(network.layers()):
        found[f"block.{i}.query-key-value"] = joined(block), block.input
        found[f"block.{i}.output"] = block.output, block.mixed
        found[f"block.{i}.ffn1"] = block.ffn1, block.hidden
        found[f"block.{i}.ffn2"] = block.ffn2, block.middle
    return found


def write(
    bank: ArrayBank, name: str, connection: Connection, code: Code, kernels: Tensor | None = None
) -> ProgrammedConnection:
    """One connection on a chip, its capacitors sized (and rows chosen) for ``kernels [..., in]`` where given."""
    reach = kernel_code(code, connection.weights.shape[1]).reach
    importance = None if kernels is None else kernels.flatten(0, -2).double().square().mean(0)
    written = bank.program(
        connection.weights, name=name, kernel_top=reach, kernel_unit=code.unit, importance=importance
    )
    return written if kernels is None else written.sized_for(kernels)


def sample_kernels(network: SpikingNetwork, tokens: Tensor, types: Tensor, present: Tensor) -> dict[str, Tensor]:
    """Kernels int8 or wider ``[tokens, in]`` of each static connection when ``exact`` runs a batch.

    Args:
        tokens, types: int64 ``[batch, L]``. present: bool ``[batch, L]``.
    """
    recorder = SlotRecorder()
    classify(network, tokens, types, present, ExactEngine(), recorder)
    sources = {population: name for name, population in network.populations().items()}
    return {
        name: kernel(recorder.slots[sources[source]][present], source.code)
        for name, (_, source) in static_connections(network).items()
    }
