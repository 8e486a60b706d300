"""One array of a real connection and the pulses that a real token sends into it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenizers import Tokenizer
from torch import Tensor

from ..coding import Code, kernel
from ..engines import ExactEngine
from ..engines.answer import record_slots
from ..errors import InputError
from ..models.spiking import SOURCES, SpikingNetwork
from ..msu import Circuit, Device
from ..msu.trial import Trial, make_trial


@dataclass(frozen=True, eq=False)
class RealArray:
    """Weights ``[neurons, rows]``, kernel ``[rows]``, and a code with one silent level: the ramp takes it."""

    weights: Tensor
    kernel: Tensor
    code: Code

    def trial(self, device: Device, circuit: Circuit, seed: int, seconds: float) -> Trial:
        """The array on a chip."""
        trial = make_trial(self.weights, self.kernel, device, circuit, self.code, seed)
        return replace(trial, connection=trial.connection.at(seconds))


def real_array(
    network: SpikingNetwork, tokenizer: Tokenizer, text: str, name: str, token: int, size: tuple[int, int]
) -> RealArray:
    """The first ``size`` word and bit lines (two per neuron) of a connection, driven by one token of a sentence."""
    rows, columns = size
    if columns % 2:
        raise InputError(f"{columns} bit lines", field="cols", cure="a neuron takes two, give an even number")
    connections = network.connections()
    if name not in connections:
        known = f"block.0.query … {list(connections)[-1]}"
        raise InputError(f"no connection {name!r}", field="connection", cure=f"give one of {known}")
    block, role = name.rsplit(".", 1)
    source = f"{block}.{SOURCES[role]}"
    slots = record_slots(network, tokenizer, text, ExactEngine()).slots[source][0]
    if token >= len(slots):
        raise InputError(f"no token {token}", field="token", cure=f"the sentence has 0 … {len(slots) - 1}")
    code = network.populations()[source].code
    weights = connections[name].weights[: columns // 2, :rows]
    pulses = kernel(slots, code)[token, :rows]
    if not bool(pulses.any()):
        raise InputError("no spike in these rows", field="token", cure="take another token, or more --rows")
    reads = None if code.reads is None else code.reads.reshape(-1)[:1]
    return RealArray(weights, pulses, Code(code.bits, code.silent.reshape(-1)[:1], code.dead_zone, reads))
