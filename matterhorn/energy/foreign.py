"""A dense encoder of Hugging Face, billed from its configuration alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..program.steps import digital_steps
from ..program.trace import Trace
from ..reading import read_mapping
from ..topology import CONNECTIONS, Shape
from .activity import Activity
from .billing import Bill
from .chip import Chip
from .library import DEFAULT, load, with_value
from .mapping import hardware_of
from .rivals import Side
from .shapes import PAPER_LENGTH

SIZES = {
    "layers": ("num_hidden_layers", "n_layers"),
    "width": ("hidden_size", "dim"),
    "heads": ("num_attention_heads", "n_heads"),
    "intermediate": ("intermediate_size", "hidden_dim"),
}
"""Sizes of a shape, as configurations name them."""

ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "deberta", "albert")
"""Model types whose blocks are those of :mod:`matterhorn.topology`."""


def encoder_of(
    config: str | Path,
    tokens: int = PAPER_LENGTH,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
) -> tuple[tuple[Activity, ...], Trace]:
    """What a dense encoder does for one sentence: activities, and a trace that has its shape and digital steps.

    Args:
        config: ``config.json`` of Hugging Face, or its folder. weight_bits, activation_bits: in place of those that it
            says (``quantization_config``, else the width of its floats).

    Raises:
        InputError: it is no encoder, a size is missing, or its number of bits is not known.
    """
    path = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
    plain = read_mapping(path, "give config.json of a model of Hugging Face, or its folder")
    kind = str(plain.get("model_type"))
    if kind not in ENCODERS:
        cure = f"give one of {', '.join(ENCODERS)}, or its layers as a table (--layers)"
        raise InputError(f"no encoder that is known: {kind!r}", file=path, field="model_type", cure=cure)
    names = {own: next((name for name in theirs if name in plain), theirs[0]) for own, theirs in SIZES.items()}
    for name in names.values():
        if not isinstance(plain.get(name), int) or not 0 < plain[name] <= 2**20:
            raise InputError("no size", file=path, field=name, cure="give a number from 1 on")
    first = any(str(one).endswith("ForSequenceClassification") for one in plain.get("architectures") or ())
    shape = Shape(**{own: plain[name] for own, name in names.items()}, first_only=first)
    bits = weight_bits, activation_bits
    if None in bits:
        known = quantized_bits(plain, path)
        bits = weight_bits or known[0], activation_bits or known[1]
    labels, table = len(plain.get("id2label") or "01"), plain.get("embedding_size") or shape.width
    trace = Trace(shape, plain.get("vocab_size", 1), labels, lengths={tokens: 1})
    bias = "relative_attention_num_buckets" in plain or bool(plain.get("relative_attention"))
    trace.digital = {
        step.name: step for step in digital_steps(shape, [tokens], labels, table_width=table, position_bias=bias)
    }
    return tuple(_dense(shape, tokens, *bits)), trace  # type: ignore[arg-type]


def quantized_bits(config: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Bits of weights and activations that a configuration says: of ``quantization_config`` as bitsandbytes, GPTQ, AWQ,
    quanto and compressed-tensors write it, else of its floats. Activations that nothing is said of are floats.

    Raises:
        InputError: there is a ``quantization_config`` that says nothing of the kind.
    """
    floats = {"float32": 32, "float64": 64}.get(str(config.get("torch_dtype", config.get("dtype", "float32"))), 16)
    given = config.get("quantization_config")
    if not given:
        return floats, floats
    group = next(iter((given.get("config_groups") or {}).values()), given)
    weights = [given.get("bits"), given.get("w_bit"), _bits(group.get("weights"))]
    weights += [4 if given.get("load_in_4bit") else 8 if given.get("load_in_8bit") else None]
    found = next((bits for bits in weights if isinstance(bits, int) and bits > 0), None)
    if found is None:
        cure = "give --weight-bits and --activation-bits"
        raise InputError("bits of its weights are not known", file=path, field="quantization_config", cure=cure)
    activations = _bits(group.get("input_activations", given.get("activations")))
    return found, activations or (8 if given.get("load_in_8bit") else floats)


def _bits(given: Any) -> int | None:
    """Of ``{"num_bits": 8}`` or ``"int8"``."""
    if isinstance(given, dict):
        return given.get("num_bits")
    digits = "".join(filter(str.isdigit, str(given or "")))
    return int(digits) if digits else None


def _dense(shape: Shape, tokens: int, weight_bits: int, level_bits: int) -> Iterable[Activity]:
    """Words of ``level_bits``; levels are taken as uniform, keys and values are kept in as many bits."""
    for block in range(shape.layers):
        for kind in CONNECTIONS:
            windows = float(shape.windows(block, kind.name, tokens))
            fan_in, fan_out = shape.fans(kind.name)
            products = windows * shape.fan_out(kind.name, tokens)
            heads, bits = shape.heads_of(kind.name), level_bits if kind.dynamic else weight_bits
            yield Activity(
                block=block, connection=kind.name, form="word", fan_in=fan_in, fan_out=fan_out, heads=heads,
                level_bits=level_bits, operand_bits=bits, digits=bits, key_bits=level_bits,
                vectors=float(shape.tokens(block, kind.name, tokens) * heads), windows=windows, products=products,
                adds=min(level_bits, bits), steps=0, events=windows, active=windows, operations=products,
                threshold_words=2, kappa=windows * 2**level_bits / 4, squares=windows * 4.0**level_bits / 12,
                pulses=windows * level_bits / 2,
            )  # fmt: skip


def bill_encoder(
    config: str | Path,
    chip: Chip | str = DEFAULT,
    tokens: int = PAPER_LENGTH,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
) -> tuple[Bill, dict[str, float]]:
    """What a dense encoder of Hugging Face costs for one sentence: see :func:`encoder_of`.

    Returns: the bill on the cheaper arrays of the chip, digital ones reading a weight once for all tokens; and the J by
        where products are made (:meth:`.rivals.Side.dense_j`).

    Raises:
        InputError: also where the chip's mesh is too small.
    """
    on = load(chip) if isinstance(chip, str) else chip
    side = Side.of(*encoder_of(config, tokens, weight_bits=weight_bits, activation_bits=activation_bits), on)
    bills = [side.bill(with_value(on, "weights.reuse", tokens), kind) for kind in hardware_of(on)]
    return min(bills, key=lambda bill: bill.total), side.dense_j(on)
