"""Conversion of a quantized network to a program that gives bit-identical results.

The contribution of silent neurons to each sum, Σ_j w_ij (r_j − z), becomes an integer offset. The steps from a
potential to the next level become integer thresholds. They are found by bisection, evaluating the same expression that
the quantized network uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from ..errors import InputError
from ..nn import ActivationQuantizer, DigitalLinear, QuantizedLinear, quantize_int8
from ..nn.digital import FixedDigitalLinear, exp_table
from ..program import Program
from ..program.parts import REACH
from ..program.text import read_tokenizer
from ..topology import POPULATIONS, STATIC
from .block import Block
from .quantized import QuantizedForSequenceClassification, read_network

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Arrays = dict[str, NDArray[Any]]
Readout = Callable[[Tensor], Tensor]
"""Maps integer potentials ``[neurons]`` to real ones, or to levels."""


@torch.no_grad()
def convert(
    network: QuantizedForSequenceClassification,
    *,
    labels: Sequence[str] | None = None,
    task: str | None = None,
    texts: int | None = None,
    tokenizer: Tokenizer | PreTrainedTokenizerFast | None = None,
    every_token: bool = False,
) -> Program:
    """Convert a quantized network to a program that gives bit-identical levels and logits.

    Args:
        network: a calibrated network (:func:`matterhorn.quantize`, :func:`matterhorn.distill`). It is not changed.
        labels: names of the outputs. None: those in the network's config.
        task: name of the task that it was trained for.
        texts: number of texts per row, 1 or 2 (a pair). Commands refuse rows with another number. Not needed for GLUE
            tasks.
        tokenizer: tokenizer to store with the program, from ``tokenizers`` or a fast one from Hugging Face.
        every_token: whether the last block computes the states of all tokens, which :meth:`matterhorn.Engine.embed`
            needs. A classifier needs only the first token.

    Returns:
        The program. :func:`matterhorn.verify` checks it against the network.

    Raises:
        InputError: ``network`` is not a quantized network, or one with fixed weights; it is not calibrated, its
            potentials could exceed their range, or the number of labels is not that of its outputs.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> network = quantize(teacher, batches=[{"input_ids": np.array([[2, 7, 3], [2, 9, 3]])}])
    >>> program = convert(network, labels=["no", "yes"])
    >>> program.blocks[0].connections["query"].weights.shape, program.labels
    ((16, 16), ('no', 'yes'))
    """
    if not hasattr(network, "check_calibrated"):
        problem = f"a {type(network).__name__}, no quantized network"
        raise InputError(problem, field="network", cure="give what matterhorn.quantize or distill returned")
    if isinstance(network.classifier, FixedDigitalLinear):
        cure = "save the program itself, or give the network that was trained"
        raise InputError("restored from a program, with fixed weights", field="network", cure=cure)
    network.check_calibrated()
    outputs, words = network.classifier.out_features, cast(Any, tokenizer)
    if labels is not None and len(labels) != outputs:
        raise InputError(f"{len(labels)} names of {outputs} outputs", field="labels", cure="give one for each output")
    if network.device.type != "cpu":  # other devices round differently
        network = deepcopy(network).cpu()
    tables = network.embeddings.state_dict()
    arrays = _under("embeddings", {name: _numpy(value) for name, value in tables.items()})
    if network.projection is not None:
        arrays |= _under("projection", _head(network.projection))
    for number, block in enumerate(network.layers()):
        arrays |= _under(f"blocks.{number}", _block(block))
    arrays |= _under("pooler", _head(network.pooler)) | _under("classifier", _head(network.classifier))
    formats = network.config.formats
    return Program.from_arrays(
        replace(formats, first_only=False) if every_token else formats,
        arrays,
        labels=network.config.labels if labels is None else tuple(labels),
        task=task,
        texts=texts,
        problem_type=network.config.problem_type,
        tokenizer=getattr(words, "backend_tokenizer", words),
    )


def convert_folder(source: Path, *, task: str | None = None) -> Program:
    """Convert the quantized network in a folder, together with the ``tokenizer.json`` there, if any.

    Raises:
        InputError: there is no such network, or it cannot be converted.
    """
    network, words = read_network(source), source / "tokenizer.json"
    return convert(network, task=task, tokenizer=read_tokenizer(words) if words.is_file() else None)


def _block(block: Block) -> Arrays:
    """Return the arrays of a block by their names in a program."""
    found: Arrays = {}
    read: dict[str, Readout] = {}
    for name in STATIC:
        arrays, read[name] = _connection(block.connection(name), block.feed(name))
        found |= _under(name, arrays)
    step = block.context_scale / block.population("probabilities").unit
    fired: dict[str, Readout] = {
        "queries": read["query"],
        "context": lambda potentials: potentials.to(torch.float32) * step,
        "intermediate": read["ffn1"],
    }
    for kind in POPULATIONS:
        population = block.population(kind.name)
        found |= _under(kind.name, _population(population))
        if kind.fires:
            found[f"{kind.name}.thresholds"] = _thresholds(
                population.levels, fired[kind.name], block.shape.neurons(kind.name), population.top
            )
    for name, store, readout in (("keys", block.keys, read["key"]), ("values", block.values, read["value"])):
        limits = _thresholds(store.levels, readout, block.shape.width, 2**store.bits - 1)
        found |= _under(name, {"scale": _numpy(store.positive_scale), "thresholds": limits})
    for name, norm in (("attention_norm", block.attention_norm), ("feed_forward_norm", block.feed_forward_norm)):
        found |= _under(name, {"weight": _numpy(norm.weight), "bias": _numpy(norm.bias)})
    table = exp_table(float(block.score_scale) / block.population("queries").unit, shift=block.shift)
    steps = block.bias_steps
    return (
        found | {"table": table.numpy()} | ({} if steps is None else {"relative_bias": _numpy(steps.to(torch.int32))})
    )


def _connection(source: QuantizedLinear, feed: ActivationQuantizer) -> tuple[Arrays, Readout]:
    """Return integer weights, the offset of the silent state, and the map from potentials to real values."""
    integers, alpha = source.integers()
    code = feed.code
    reference = torch.from_numpy(code.reference.astype(np.float64))
    constant = (reference - code.unit * feed.origin).expand(integers.shape[1])
    scale, bias = feed.positive_scale * alpha / code.unit, source.bias
    arrays = {
        "weights": _numpy(integers.to(torch.int8)),
        "offset": _numpy((integers.to(torch.float64) @ constant).to(torch.int32)),
        "scale": _numpy(scale),
        "bias": _numpy(bias),
    }
    return arrays, lambda potentials: potentials.to(torch.float32) * scale + bias


def _population(source: ActivationQuantizer) -> Arrays:
    arrays = {
        "silent": _numpy(source.silent),
        "silent_value": _numpy(source.silent_value),
        "scale": _numpy(source.positive_scale),
    }
    arrays |= {} if source.gain is None else {"gain": _numpy(source.positive_gain)}
    return arrays if source.zeros is None else arrays | {"zeros": _numpy(source.zeros)}


def _head(source: DigitalLinear) -> Arrays:
    weights, scale = quantize_int8(source.weight)
    return {"weights": _numpy(weights), "scale": _numpy(scale), "bias": _numpy(source.bias)}


def _thresholds(level: Readout, readout: Readout, neurons: int, top: int) -> NDArray[np.int32]:
    return _numpy(find_thresholds(lambda potentials: level(readout(potentials)), neurons, top))


def find_thresholds(level: Callable[[Tensor], Tensor], neurons: int, top: int, reach: int = REACH) -> Tensor:
    """Find the smallest integer potential at which each level is reached, int32 ``[neurons, top]``.

    Args:
        level: maps integer potentials ``[neurons]`` to levels. It must not decrease as the potential increases.
        reach: potentials lie within ±reach. A level that is not reached there gets ``reach + 1``.
    """
    low = torch.full((neurons, top), -reach, dtype=torch.int64)
    high = torch.full((neurons, top), reach + 1, dtype=torch.int64)
    wanted = torch.arange(1, top + 1)
    while bool((low < high).any()):
        middle = (low + high).div(2, rounding_mode="floor")
        levels = torch.stack([level(column) for column in middle.unbind(1)], 1)
        reached = levels >= wanted
        searching = low < high
        high = torch.where(searching & reached, middle, high)
        low = torch.where(searching & ~reached, middle + 1, low)
    return high.to(torch.int32)


def _under(name: str, arrays: Arrays) -> Arrays:
    return {f"{name}.{part}": value for part, value in arrays.items()}


def _numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().numpy()
    return array
