"""Other implementations of the same tasks: Hugging Face, PyTorch's products, SpikingJelly. Needs torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from ..program import Config
from ..program.text import Encoded
from ..topology import Shape
from .clock import Contestant, Run


def bert_config(config: Config, attention: str = "sdpa") -> BertConfig:
    """Configure a BERT of a program's shape."""
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    options = {name: getattr(config, name) for name in sizes} | {"attn_implementation": attention}
    return BertConfig(**options)


def bert(config: Config) -> BertForSequenceClassification:
    """Make a BERT of a program's shape. Its weights are random, since time does not depend on them."""
    return _random(bert_config(config))


def bert_of(shape: Shape, vocabulary: int, tokens: int) -> BertForSequenceClassification:
    """Make a BERT of any shape with random weights, for sentences of up to ``tokens`` tokens."""
    options: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": shape.width, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "intermediate_size": shape.intermediate,
        "max_position_embeddings": tokens, "attn_implementation": "sdpa",
    }  # fmt: skip
    return _random(BertConfig(**options))


def _random(config: BertConfig) -> BertForSequenceClassification:
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    model.train(mode=False)
    return model


def classifiers(config: Config) -> dict[str, Contestant[Encoded]]:
    """Hugging Face's classifier in fp32, in PyTorch's dynamic int8, and in bf16 if the processor supports it."""
    model = bert(config)
    models: dict[str, nn.Module] = {"hf-fp32": model, "hf-int8-dynamic": _dynamic(model)}
    models |= {"hf-bf16": bert(config).bfloat16()} if _has_bf16() else {}
    return {name: classifier(one) for name, one in models.items()}


def classifier(model: nn.Module) -> Contestant[Encoded]:
    """Make a contestant that runs a model of Hugging Face on batches."""

    def given(batch: Encoded) -> Run:
        own = {name: torch.from_numpy(array) for name, array in batch.items()}
        return torch.inference_mode()(lambda: model(**own).logits)

    return given


def products(weights: NDArray[np.int8]) -> dict[str, Contestant[NDArray[np.int16]]]:
    """Dense products of κ ``[rows, in]`` with weights ``[out, in]``, in fp32, dynamic int8, and bf16 if supported."""

    def linear(kind: torch.dtype) -> nn.Module:
        made = nn.Linear(weights.shape[1], weights.shape[0], bias=False, dtype=kind)
        made.load_state_dict({"weight": torch.tensor(weights)})
        return made

    kinds = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if _has_bf16() else {})
    eight = _on(torch.float32, _dynamic(nn.Sequential(linear(torch.float32))))
    return {name: _on(kind, linear(kind)) for name, kind in kinds.items()} | {"int8-dynamic": eight}


def spikingjelly(width: int) -> Contestant[NDArray[np.bool_]]:
    """SpikingJelly's linear map and integrate-and-fire neurons on spikes ``[steps, rows, width]``, in multi-step mode.

    SpikingJelly was the fastest when we compared it with snnTorch, norse and sinabs.
    """
    parts = [import_module(f"spikingjelly.activation_based.{name}") for name in ("layer", "neuron", "functional")]
    layer, neuron, functional = parts
    net = nn.Sequential(layer.Linear(width, width, step_mode="m"), neuron.IFNode(step_mode="m")).eval()

    def stepped(spikes: Tensor) -> object:
        functional.reset_net(net)
        return net(spikes)

    return _on(torch.float32, stepped)


def _on(kind: torch.dtype, run: Callable[[Tensor], object]) -> Contestant[NDArray[Any]]:
    def given(x: NDArray[Any]) -> Run:
        own = torch.from_numpy(x).to(kind)
        return torch.inference_mode()(lambda: run(own))

    return given


def _has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _dynamic(model: nn.Module) -> nn.Module:
    quantize: Callable[..., nn.Module] = torch.ao.quantization.quantize_dynamic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize(model, {nn.Linear}, dtype=torch.qint8)
