"""The spiking network: integers only, no engine in it. What runs it is in :mod:`matterhorn.engines`.

Modules here hold buffers and facts; they have no ``forward``. All that a connection needs is an integer: weights,
thresholds, silent levels, the constant of the silent state. Real numbers remain only in digital steps.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..coding import READ_UNIT, Code
from ..nn import QuantisedEmbeddings
from .config import KINDS, MatterhornConfig

REACH = 2**24 - 1
"""No potential is larger: float32 holds every integer up to here, and conversion refuses networks that go beyond."""


class Population(nn.Module):
    """Neurons that send events to one or more connections.

    Buffers: ``silent`` int16 ``[n or 1]``, ``reads`` int16 (eighths of a level), ``step`` float32 scalar, ``gain``
    float32 ``[gains]``: receivers read g · x (None: x).
    """

    silent: Tensor
    reads: Tensor
    step: Tensor
    gain: Tensor | None

    def __init__(self, neurons: int, bits: int, *, signed: bool, dead_zone: int, gains: int = 0):
        super().__init__()
        self.bits, self.zero, self.dead_zone = bits, 2 ** (bits - 1) if signed else 0, dead_zone
        self.register_buffer("silent", torch.full((neurons,), self.zero, dtype=torch.int16))
        self.register_buffer("reads", torch.full((neurons,), READ_UNIT * self.zero, dtype=torch.int16))
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("gain", torch.ones(gains) if gains else None)
        self._code: Code | None = None

    @property
    def code(self) -> Code:
        """The population's code (made once, after loading)."""
        if self._code is None:
            fraction = bool((self.reads != READ_UNIT * self.silent).any())
            self._code = Code(self.bits, self.silent, self.dead_zone, self.reads if fraction else None)
        return self._code

    @property
    def pitch(self) -> Tensor:
        """Distance of two levels before the gain: s/g, float32 ``[gains]``, or s where there are no gains."""
        return self.step if self.gain is None else self.step / self.gain

    @property
    def constant(self) -> Tensor:
        """What silence stands for, relative to the zero point, in kernel steps: r − z, int32 ``[n or 1]``."""
        return self.code.read_level - self.code.unit * self.zero


class Coder(Population):
    """A population whose levels come from a digital step: x → clamp(round(x/p) + z), with the pitch p = s/g."""

    def levels(self, x: Tensor) -> Tensor:
        """Real values, any shape → uint8 levels before masking."""
        return ((x / self.pitch).round() + self.zero).clamp(0, self.code.top).to(torch.uint8)


class Firing(Population):
    """A population that fires straight from potentials: level ≥ l where the potential reaches threshold l.

    Buffer ``thresholds``: int32 ``[n, T]``, rising with l; gains are folded into them.
    """

    thresholds: Tensor

    def __init__(self, neurons: int, bits: int, *, signed: bool, dead_zone: int, rows: int, gains: int = 0):
        super().__init__(neurons, bits, signed=signed, dead_zone=dead_zone, gains=gains)
        self.register_buffer("thresholds", torch.zeros(rows, 2**bits - 1, dtype=torch.int32))

    def levels(self, potentials: Tensor) -> Tensor:
        """Integer potentials ``[..., n]`` → uint8 levels before masking: how many thresholds are reached."""
        levels = torch.zeros(potentials.shape, dtype=torch.uint8)
        for threshold in self.thresholds.unbind(-1):
            levels += potentials >= threshold
        return levels


class Store(nn.Module):
    """Keys or values, stored in ``bits`` per element: ±1 for one bit, else a signed integer.

    Buffers: ``thresholds`` int32 ``[n, 2^bits − 1]``, ``step`` float32 scalar.
    """

    thresholds: Tensor
    step: Tensor

    def __init__(self, neurons: int, bits: int):
        super().__init__()
        self.bits = bits
        self.register_buffer("thresholds", torch.zeros(neurons, 2**bits - 1, dtype=torch.int32))
        self.register_buffer("step", torch.ones(()))

    def operand(self, potentials: Tensor) -> Tensor:
        """Integer potentials ``[..., n]`` → int8 operand."""
        level = torch.zeros(potentials.shape, dtype=torch.int8)
        for threshold in self.thresholds.unbind(-1):
            level += potentials >= threshold
        return 2 * level - 1 if self.bits == 1 else level - 2 ** (self.bits - 1)


class Connection(nn.Module):
    """A synapse array.

    Buffers: ``weights`` int8 ``[out, in]``; ``offset`` int32 ``[out]``, what the silent state adds; ``scale``, ``bias``
    float32 ``[out]``, from integer potentials to real ones (where a spike follows at once, thresholds stand for them).
    """

    weights: Tensor
    offset: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, fan_in: int, fan_out: int, kind: str):
        super().__init__()
        self.kind = kind
        self.register_buffer("weights", torch.zeros(fan_out, fan_in, dtype=torch.int8))
        self.register_buffer("offset", torch.zeros(fan_out, dtype=torch.int32))
        self.register_buffer("scale", torch.ones(fan_out))
        self.register_buffer("bias", torch.zeros(fan_out))

    def values(self, potentials: Tensor) -> Tensor:
        """Read-out: integer potentials ``[..., out]`` → float32."""
        return potentials.to(torch.float32) * self.scale + self.bias


class Norm(nn.Module):
    """Gain and shift of a LayerNorm. Buffers: ``weight``, ``bias`` float32 ``[n]``."""

    weight: Tensor
    bias: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(width))
        self.register_buffer("bias", torch.zeros(width))


class Head(nn.Module):
    """A digital linear map. Buffers: ``weights`` int8 ``[out, in]``, ``scale``, ``bias`` float32 ``[out]``."""

    weights: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(fan_out, fan_in, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(fan_out))
        self.register_buffer("bias", torch.zeros(fan_out))


class SpikingBlock(nn.Module):
    """Connections, populations and stores of one block, named as in the trace. ``table``: exp for the softmax."""

    table: Tensor

    def __init__(self, config: MatterhornConfig, table_size: int = 1):
        super().__init__()
        width, middle, kind = config.hidden_size, config.intermediate_size, config.weight_bits
        bits, k = config.activation_bits, config.zone_of
        per_neuron = config.silence_per == "neuron"
        one, many = (width, middle) if per_neuron else (1, 1)
        self.input = Coder(one, bits, signed=True, dead_zone=k("input"), gains=width)
        self.query = Connection(width, width, kind)
        self.key = Connection(width, width, kind)
        self.value = Connection(width, width, kind)
        self.queries = Firing(one, bits, signed=True, dead_zone=k("queries"), rows=width)
        self.keys = Store(width, config.stored_bits)
        self.values = Store(width, config.stored_bits)
        self.register_buffer("table", torch.zeros(table_size))
        self.probabilities = Coder(1, bits, signed=False, dead_zone=k("probabilities"))
        self.mixed = Firing(one, bits, signed=True, dead_zone=k("mixed"), rows=width, gains=width)
        self.output = Connection(width, width, kind)
        self.attention_norm = Norm(width)
        self.hidden = Coder(one, bits, signed=True, dead_zone=k("hidden"), gains=width)
        self.ffn1 = Connection(width, middle, kind)
        self.middle = Firing(many, bits, signed=False, dead_zone=k("middle"), rows=middle)
        self.ffn2 = Connection(middle, width, kind)
        self.feed_forward_norm = Norm(width)

    def populations(self) -> dict[str, Population]:
        """Populations by name, in the order in which they run."""
        return {name: getattr(self, name) for name in KINDS}


SOURCES = {
    "query": "input",
    "key": "input",
    "value": "input",
    "scores": "queries",
    "context": "probabilities",
    "output": "mixed",
    "ffn1": "hidden",
    "ffn2": "middle",
}
"""Which population feeds which connection."""


class SpikingNetwork(nn.Module):
    """A converted network: embeddings, blocks, head."""

    def __init__(self, config: MatterhornConfig, table_sizes: list[int] | None = None):
        super().__init__()
        self.config = config
        sizes = table_sizes or [1] * config.num_hidden_layers
        self.embeddings = QuantisedEmbeddings(
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.hidden_size,
            config.layer_norm_eps,
        )
        self.blocks = nn.ModuleList(SpikingBlock(config, size) for size in sizes)
        self.pooler = Head(config.hidden_size, config.hidden_size)
        self.classifier = Head(config.hidden_size, len(config.id2label or {}))
        self.eval().requires_grad_(False)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return [str(name) for _, name in sorted((int(i), n) for i, n in (self.config.id2label or {}).items())]

    def layers(self) -> list[SpikingBlock]:
        """The blocks, typed."""
        return [cast(SpikingBlock, block) for block in self.blocks]

    def populations(self) -> dict[str, Population]:
        """Every population, ``block.<i>.<name>``."""
        return {f"block.{i}.{n}": p for i, block in enumerate(self.layers()) for n, p in block.populations().items()}

    def connections(self) -> dict[str, Connection]:
        """Every static connection, ``block.<i>.<role>``."""
        roles = ("query", "key", "value", "output", "ffn1", "ffn2")
        return {f"block.{i}.{role}": getattr(block, role) for i, block in enumerate(self.layers()) for role in roles}
