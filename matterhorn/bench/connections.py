"""One connection with events drawn at a given silence, and one whole spiking layer against peers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..coding import SILENT, Code, kernel
from ..engines import Engine, get_engine
from ..engines.events import EventsEngine
from ..models.spiking import Connection, Firing

BITS = 4


def random_connection(fan_in: int, fan_out: int) -> Connection:
    """±1 weights."""
    connection = Connection(fan_in, fan_out, "1")
    draw = torch.Generator().manual_seed(0)
    connection.weights.copy_(2 * torch.randint(0, 2, (fan_out, fan_in), generator=draw) - 1)
    return connection


def random_slots(rows: int, neurons: int, silent_share: float) -> Tensor:
    """Slots of levels four to six away from the silent one, where they are not silent."""
    draw = torch.Generator().manual_seed(1)
    distance = torch.randint(4, 7, (rows, neurons), generator=draw)
    side = 2 * torch.randint(0, 2, (rows, neurons), generator=draw) - 1
    slots = (7 - distance * side).to(torch.uint8)
    return slots.masked_fill(torch.rand(rows, neurons, generator=draw) < silent_share, SILENT)


def middle_code() -> Code:
    """The silent level in the middle."""
    return Code(BITS, torch.tensor(8))


Contestants = dict[str, Callable[[], object]]


BASELINES = ("fp32", "int8-dynamic", "exact")


def connection_contestants(rows: int, fan_in: int, fan_out: int, silent_share: float) -> Contestants:
    """A product in fp32, bf16 and PyTorch's dynamic int8, ours exact, ours by events."""
    connection, code = random_connection(fan_in, fan_out), middle_code()
    slots = random_slots(rows, fan_in, silent_share)
    dense, weights = kernel(slots, code).to(torch.float32), connection.weights.to(torch.float32)

    def ours(engine: Engine) -> Callable[[], object]:
        return lambda: engine.integrate(slots, code, connection)

    narrow, narrow_weights, eight = dense.to(torch.bfloat16), weights.to(torch.bfloat16), _dynamic(weights)
    found: Contestants = {
        "fp32": lambda: F.linear(dense, weights),
        "bf16": lambda: F.linear(narrow, narrow_weights),
        "int8-dynamic": lambda: eight(dense),
    }
    return found | {name: ours(get_engine(name)) for name in ("exact", "events")}


def takes_events(engine: EventsEngine, rows: int, fan_in: int, fan_out: int, silent_share: float) -> bool:
    """Whether the cost model has ``events`` add events here, or take the dense product."""
    slots = random_slots(rows, fan_in, silent_share)
    return engine.pays(slots, random_connection(fan_in, fan_out))


def _dynamic(weights: Tensor) -> nn.Module:
    linear = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    linear.load_state_dict({"weight": weights})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(linear), {nn.Linear}, dtype=torch.qint8)


def layer_contestants(rows: int, width: int, silent_share: float) -> Contestants:
    """Connection and neurons: our engines."""
    connection, code, slots = random_connection(width, width), middle_code(), random_slots(rows, width, silent_share)
    population = Firing(width, BITS, signed=True, dead_zone=3, rows=width)
    population.thresholds.copy_(torch.linspace(-150, 150, 15).round().expand(width, -1))

    def ours(engine: Engine) -> Callable[[], object]:
        return lambda: engine.fire(engine.integrate(slots, code, connection), population)

    return {name: ours(get_engine(name)) for name in ("stepped", "exact", "events")}
