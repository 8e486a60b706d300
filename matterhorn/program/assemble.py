"""Assemble a program from named arrays. The shape of every array is checked, and all become read-only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..coding import EIGHTHS, Code, frozen
from ..coding.fixed import EXP_ONE
from ..errors import InputError
from ..kernels.layout import Readout, SoftmaxLayout, Table
from ..topology import POPULATIONS, SOURCE, STATIC, TABLES
from ..topology import Population as Kind
from .config import Config
from .decision import ProblemType
from .packing import LEAST_WEIGHT
from .parts import REACH, Array, Block, Connection, Embeddings, Head, Norm, Population, Store
from .program import Program


class _Taker:
    """Takes arrays by name, each once, and checks type and shape."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]):
        self.arrays = arrays
        self.taken: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, kind: Any, *shape: int | None) -> NDArray[Any]:
        """Take an array. ``shape``: None for a dimension of any length."""
        if name not in self.arrays:
            raise InputError("missing array", field=name, cure="convert again")
        values = self.arrays[name]
        if not isinstance(values, (np.ndarray, np.generic)):
            raise InputError(f"a {type(values).__name__}, not an array", field=name, cure="give a NumPy array")
        if len(values.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, values.shape, strict=True)):
            wanted = ["any" if n is None else n for n in shape]
            raise InputError(f"shape {list(values.shape)} instead of {wanted}", field=name, cure="convert again")
        if not np.can_cast(values.dtype, kind, "same_kind"):
            raise InputError(f"{values.dtype} instead of {np.dtype(kind)}", field=name, cure="convert again")
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, which is refused below
            own = values.astype(kind, copy=False)
        if own.dtype.kind == "f" and not np.isfinite(own).all():
            raise InputError("NaN or infinity", field=name, cure="convert again")
        if own.dtype.kind == "i" and own.dtype != values.dtype and (own != values).any():
            raise InputError(f"values out of the range of {own.dtype}", field=name, cure="convert again")
        self.taken[name] = frozen(own)
        return self.taken[name]

    def positive(self, name: str, *shape: int | None) -> NDArray[Any]:
        """Take an array of float32 numbers that must be above 0, e.g. scales."""
        values = self(name, np.float32, *shape)
        if not (values > 0).all():
            raise InputError(f"{values.min():g}, not above 0", field=name, cure="convert again")
        return values

    def integers(self, name: str, kind: Any, low: int, high: int, *shape: int | None) -> NDArray[Any]:
        """Take an array of integers from ``low`` to ``high``."""
        values = self(name, kind, *shape)
        if values.size and not (low <= int(values.min()) and int(values.max()) <= high):
            raise InputError(f"not all from {low} to {high}", field=name, cure="convert again")
        return values

    def check_all_taken(self) -> None:
        """Check that every array was taken.

        Raises:
            InputError: one was not. The message names it.
        """
        if unexpected := [name for name in self.arrays if name not in self.taken]:
            raise InputError("not an array of such a program", field=str(unexpected[0]), cure="leave it out")


def assemble(
    config: Config,
    arrays: Mapping[str, NDArray[Any]],
    *,
    labels: tuple[str, ...],
    task: str | None,
    tokenizer: Tokenizer | None,
    path: Path | None,
    problem_type: ProblemType,
    texts: int | None,
) -> Program:
    """See :meth:`.program.Program.from_arrays`."""
    take = _Taker(arrays)
    width, narrow = config.hidden_size, config.table_width
    sizes = (config.vocab_size, config.max_position_embeddings, config.type_vocab_size)
    word, position, segment = (
        Table(take(f"embeddings.{name}", np.int8, n, narrow), take(f"embeddings.{name}_scale", np.float32, n))
        for name, n in zip(TABLES, sizes, strict=True)
    )
    if not config.type_vocab_size:
        segment = Table(frozen(np.zeros((1, narrow), np.int8)), frozen(np.zeros(1, np.float32)))
    embeddings = Embeddings(word, position, segment, _norm(take, "embeddings.norm", narrow))
    projection = _head(take, "projection", width, narrow) if config.embedding_size else None
    blocks = tuple(_block(take, config, i) for i in range(config.num_hidden_layers))
    pooler, classifier = _head(take, "pooler", width, width), _head(take, "classifier", len(labels), width)
    take.check_all_taken()
    about = (labels, projection, task, tokenizer, path, problem_type, texts)
    return Program(config, embeddings, blocks, pooler, classifier, *about, MappingProxyType(take.taken))


def _block(take: _Taker, config: Config, index: int) -> Block:
    name, shape = f"blocks.{index}", config.shape
    populations = {kind.name: _population(take, f"{name}.{kind.name}", config, kind) for kind in POPULATIONS}
    connections = {own: _connection(take, f"{name}.{own}", config, own) for own in STATIC}
    for own, connection in connections.items():
        _check_reach(f"{name}.{own}", connection, populations[SOURCE[own]])
    _check_scores(f"{name}.qk", config, populations["queries"])
    _check_contexts(f"{name}.pv", config, populations["probabilities"])
    keys, values = (_store(take, f"{name}.{own}", config) for own in ("keys", "values"))
    norms = {own: _norm(take, f"{name}.{own}", config.hidden_size) for own in ("attention_norm", "feed_forward_norm")}
    table = _table(take, f"{name}.table")
    joined = (("query",), ("key", "value")) if shape.is_cut(index) else (("query", "key", "value"),)
    arrays = {
        "-".join(group): Array.of(f"block.{index}.{'-'.join(group)}", [connections[own] for own in group], source)
        for group in (*joined, ("output",), ("ffn1",), ("ffn2",))
        for source in (SOURCE[group[0]],)
    }
    return Block(
        connections=connections,
        populations=populations,
        keys=keys,
        values=values,
        table=table,
        attention_norm=norms["attention_norm"],
        feed_forward_norm=norms["feed_forward_norm"],
        arrays=arrays,
        softmax=SoftmaxLayout(
            table,
            _relative_bias(take, name, config, populations["queries"].code.unit),
            populations["probabilities"].scale,
            config.digital == "shift",
        ),
        attention_readout=_readout(connections["output"], norms["attention_norm"], config),
        feed_forward_readout=_readout(connections["ffn2"], norms["feed_forward_norm"], config),
        heads=config.num_attention_heads,
        cut=shape.is_cut(index),
    )


def _table(take: _Taker, name: str) -> NDArray[np.float32]:
    """Take the softmax's table: integers that fall from at most :data:`EXP_ONE` to 0."""
    table = take(name, np.float32, None)
    valid = table.size and table[0] <= EXP_ONE and table[-1] == 0 and (table == np.rint(table)).all()
    if not valid or (table[1:] > table[:-1]).any():
        problem = f"not integers that fall from at most {EXP_ONE} to 0"
        raise InputError(problem, field=name, cure="convert again")
    return table


def _relative_bias(take: _Taker, name: str, config: Config, unit: int) -> NDArray[np.int32]:
    """Return a block's relative position bias in steps of κ, for every distance that a text can have."""
    heads, far, longest = config.num_attention_heads, config.relative_distance, config.max_position_embeddings
    if not far:
        return frozen(np.zeros((heads, 0), np.int32))
    steps = take(f"{name}.relative_bias", np.int32, heads, 2 * far + 1)
    largest = int(np.abs(steps, dtype=np.int64).max()) * unit
    if largest > REACH:
        problem = f"a bias of {largest} steps, over {REACH}"
        raise InputError(problem, field=f"{name}.relative_bias", cure="convert again")
    distances = np.arange(1 - longest, longest).clip(-far, far)
    return frozen(unit * steps[:, far + distances])


def _population(take: _Taker, name: str, config: Config, kind: Kind) -> Population:
    neurons, bits = config.shape.neurons(kind.name), config.activation_bits
    levels = neurons if config.silence_per == "neuron" else 1
    silent = take(f"{name}.silent", np.int16, levels)
    value = take(f"{name}.silent_value", np.int16, levels)
    is_fraction = bool((value != EIGHTHS * silent).any())
    try:
        code = Code(bits, silent, config.zone(kind.name), value if is_fraction else None)
    except InputError as error:
        raise InputError(str(error), field=name) from error
    return Population(
        name=kind.name,
        neurons=neurons,
        code=code,
        scale=np.float32(take.positive(f"{name}.scale")),
        gain=take.positive(f"{name}.gain", neurons) if config.gains(kind.name) else None,
        zeros=take(f"{name}.zeros", np.int16, neurons) if config.zeros(kind.name) else None,
        thresholds=_thresholds(take, name, neurons, code.top) if kind.fires else None,
    )


def _connection(take: _Taker, name: str, config: Config, own: str) -> Connection:
    fan_in, fan_out = config.shape.fans(own)
    return Connection(
        kind=config.weights,
        weights=_weights(take, f"{name}.weights", config.weights, fan_out, fan_in),
        offset=take(f"{name}.offset", np.int32, fan_out),
        scale=take(f"{name}.scale", np.float32, fan_out),
        bias=take(f"{name}.bias", np.float32, fan_out),
    )


def _weights(take: _Taker, name: str, kind: str, fan_out: int, fan_in: int) -> NDArray[np.int8]:
    """Take weights, which must be values that their kind can represent."""
    low = LEAST_WEIGHT[kind]
    weights = take.integers(name, np.int8, low, -low if kind in ("int1", "ternary") else -1 - low, fan_out, fan_in)
    if kind == "int1" and not weights.all():
        raise InputError("zeros, which 1-bit weights cannot represent", field=name, cure="convert again")
    return weights


def _check_reach(name: str, connection: Connection, source: Population) -> None:
    """Refuse a connection whose potentials could leave ±:data:`REACH` (float32 and int32 hold every integer there).

    An offset that was given to ``from_arrays`` may differ from the one that conversion computes, so its magnitude is
    added in a check of its own.
    """
    code, offset = source.code, np.abs(connection.offset.astype(np.int64))
    each = np.maximum(2 * code.unit * code.top, code.reach + np.abs(source.layout.constant.astype(np.int64)))
    sizes = np.abs(connection.weights.astype(np.int16))
    if int(sizes.max()) * int(each.sum()) + int(offset.max()) <= REACH:
        return
    _check_potential(name, int((sizes.astype(np.int64) @ each).max()), "use fewer activation or weight bits")
    _check_potential(f"{name}.offset", int((code.reach * sizes.sum(1, np.int64) + offset).max()), "convert again")


def _check_scores(name: str, config: Config, queries: Population) -> None:
    """Refuse a block whose attention scores could leave ±:data:`REACH`, whatever its keys are."""
    layout, zero = queries.layout, queries.layout.zero.astype(np.int64)
    each = np.maximum(layout.unit * np.maximum(zero, layout.top - zero), np.abs(layout.constant))
    largest = int(each.reshape(config.num_attention_heads, -1).sum(1).max()) * _largest_stored(config)
    _check_potential(name, largest, "use fewer activation or kv bits")


def _check_contexts(name: str, config: Config, probabilities: Population) -> None:
    """Refuse a block whose P·V could leave ±:data:`REACH` on the longest text, whatever its values are.

    Probabilities of a row sum to 1, and a level is at most twice the number that it is rounded from, so that the levels
    of a row sum to at most 2 / scale.
    """
    layout, keys = probabilities.layout, config.max_position_embeddings
    levels = int(min(keys * layout.top, 2 / float(probabilities.scale)))
    largest = (layout.unit * levels + keys * abs(int(layout.constant[0]))) * _largest_stored(config)
    _check_potential(name, largest, "use fewer activation or kv bits, or fewer positions")


def _largest_stored(config: Config) -> int:
    """Largest magnitude of a stored key or value."""
    return int(2 ** (config.kv_bits - 1))


def _check_potential(field: str, largest: int, cure: str) -> None:
    if largest > REACH:
        raise InputError(f"potentials up to {largest}, over {REACH}", field=field, cure=cure)


def _store(take: _Taker, name: str, config: Config) -> Store:
    bits = config.kv_bits
    thresholds = _thresholds(take, name, config.hidden_size, 2**bits - 1)
    return Store(bits, np.float32(take.positive(f"{name}.scale")), thresholds)


def _thresholds(take: _Taker, name: str, neurons: int, levels: int) -> NDArray[np.int32]:
    """Take thresholds, which rise with the level."""
    field = f"{name}.thresholds"
    values = take.integers(field, np.int32, -REACH, REACH + 1, neurons, levels)
    if (values[:, 1:] < values[:, :-1]).any():
        raise InputError("thresholds that fall", field=field, cure="convert again")
    return values


def _norm(take: _Taker, name: str, width: int) -> Norm:
    return Norm(take(f"{name}.weight", np.float32, width), take(f"{name}.bias", np.float32, width))


def _head(take: _Taker, name: str, fan_out: int, fan_in: int) -> Head:
    weights = take(f"{name}.weights", np.int8, fan_out, fan_in)
    return Head(weights, take(f"{name}.scale", np.float32, fan_out), take(f"{name}.bias", np.float32, fan_out))


def _readout(connection: Connection, norm: Norm, config: Config) -> Readout:
    by_shifts, eps = config.digital == "shift", float(config.layer_norm_eps)
    return Readout(connection.scale, connection.bias, norm.weight, norm.bias, eps, by_shifts)
