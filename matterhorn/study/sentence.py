"""One array of a program's connection, driven by the events of a token."""

from __future__ import annotations

from ..coding import Code, kappa
from ..errors import InputError
from ..msu import Circuit, Device
from ..msu.trial import Trial, make_trial, neurons_of
from ..program import Program
from ..runtime import Engine, SlotRecorder
from ..topology import SOURCE, STATIC, Site


def real_trial(
    program: Program,
    text: str,
    name: str,
    token: int,
    size: tuple[int, int],
    device: Device,
    circuit: Circuit,
    seed: int,
) -> Trial:
    """Make a trial of the first ``size`` word and bit lines of a connection, driven by one token of a sentence.

    A neuron has two bit lines. The ramp of the trial has a single silent level, that of the first row.

    Raises:
        InputError: there is no such connection or token, or the token drives none of these rows.
    """
    rows, neurons = size[0], neurons_of(size[1])
    known = {str(Site(i, part)): Site(i, part) for i in range(len(program.blocks)) for part in STATIC}
    if name not in known:
        cure = f"give one of block.0.query … {list(known)[-1]}"
        raise InputError(f"no connection {name!r}", field="connection", cure=cure)
    site, recorder = known[name], SlotRecorder()
    Engine(program, "events")(**program.encode([text]), watcher=recorder)
    slots = recorder.slots[Site(site.block, SOURCE[site.part])]
    if token >= len(slots):
        raise InputError(f"no token {token}", field="token", cure=f"it reads 0 … {len(slots) - 1}")
    block = program.blocks[site.block]
    code = block.populations[SOURCE[site.part]].code
    pulses = kappa(slots, code)[token, :rows]
    if not pulses.any():
        raise InputError("no spike in these rows", field="token", cure="take another token, or more --rows")
    value = None if code.silent_value is None else code.silent_value.reshape(-1)[:1]
    code_of_first = Code(code.bits, code.silent.reshape(-1)[:1], code.dead_zone, value)
    weights = block.connections[site.part].weights[:neurons, :rows]
    return make_trial(weights, pulses, device, circuit, code_of_first, seed)
