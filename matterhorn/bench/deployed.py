"""What users might deploy instead: ONNX Runtime and OpenVINO, in floating point and in int8. Needs torch."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from ..program.text import INPUTS, Encoded
from .clock import Contestant, Run

NEEDED = ("onnx", "onnxruntime", "openvino", "nncf")
"""Packages that this needs. They come with the extra ``bench``."""

SETTINGS = {
    "ort-fp32": "graph optimization ORT_ENABLE_ALL after onnxruntime.transformers' fusions",
    "ort-int8-dynamic": "quantize_dynamic, int8 weights per channel, ORT_ENABLE_ALL",
    "ort-int8-fused": "the same after onnxruntime.transformers' fusions (quantized attention)",
    "ort-int8-static": "quantize_static (QDQ), uint8 activations from calibration, int8 weights per channel",
    "ov-f32": "LATENCY hint, one stream, INFERENCE_PRECISION_HINT f32",
    "ov-bf16": "LATENCY hint, one stream, INFERENCE_PRECISION_HINT bf16 (where the processor has it)",
    "ov-int8": "nncf.quantize for transformers, LATENCY hint, one stream",
}
"""How each contestant was made."""


class _Plain(nn.Module):
    """A classifier with positional inputs, which the exporter requires."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits
        return logits


def missing() -> list[str]:
    """List the needed packages that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def deployed(
    config: BertConfig, batches: Iterable[Encoded], threads: int, folder: Path
) -> dict[str, Contestant[Encoded]]:
    """Prepare a BERT for ONNX Runtime and OpenVINO. Its weights are random, since time does not depend on them.

    Args:
        config: sizes of the BERT.
        batches: batches for calibration to int8.
        threads: number of threads.
        folder: where models are written.

    Returns:
        Contestants by name, see :data:`SETTINGS`.
    """
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    model.train(mode=False)
    exported, listed = _export(model, folder), list(batches)
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        models = _onnx_models(exported, config, listed, folder)
        return {name: _session(path, threads) for name, path in models.items()} | _openvino(exported, listed, threads)


def _export(model: nn.Module, folder: Path) -> Path:
    """Export the network to ONNX. This exporter writes separate steps, in the form that all runtimes know to fuse."""
    path, one = folder / "network.onnx", torch.ones(2, 8, dtype=torch.int64)
    axes = {name: {0: "batch", 1: "length"} for name in INPUTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Plain(model),
            (one, one, 0 * one),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    return path


def _onnx_models(exported: Path, config: BertConfig, batches: list[Encoded], folder: Path) -> dict[str, Path]:
    """Write the files for ONNX Runtime. Returns their paths by contestant."""
    fusing, quantizing = import_module("onnxruntime.transformers.optimizer"), import_module("onnxruntime.quantization")
    logging.getLogger().setLevel(logging.ERROR)
    names = ("ort-fp32", "ort-int8-dynamic", "ort-int8-fused", "ort-int8-static")
    paths = {name: folder / f"{name}.onnx" for name in names}
    heads, width = config.num_attention_heads, config.hidden_size
    fusing.optimize_model(str(exported), "bert", heads, width).save_model_to_file(str(paths["ort-fp32"]))
    real = {"DefaultTensorType": import_module("onnx").TensorProto.FLOAT}
    int8: dict[str, Any] = {"per_channel": True, "weight_type": quantizing.QuantType.QInt8, "extra_options": real}
    quantizing.quantize_dynamic(exported, paths["ort-int8-dynamic"], **int8)
    quantizing.quantize_dynamic(paths["ort-fp32"], paths["ort-int8-fused"], **int8)

    class Reader(quantizing.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> Encoded | None:
            return next(self.batches, None)

    products = ["MatMul", "Gemm"]
    quantizing.quantize_static(exported, paths["ort-int8-static"], Reader(), op_types_to_quantize=products, **int8)
    return paths


def _session(path: Path, threads: int) -> Contestant[Encoded]:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: lambda: session.run(None, dict(batch))


def _openvino(exported: Path, batches: list[Encoded], threads: int) -> dict[str, Contestant[Encoded]]:
    openvino, nncf = import_module("openvino"), import_module("nncf")
    core, model = openvino.Core(), openvino.convert_model(str(exported))
    common = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    kinds = ["f32"] + ["bf16"] * ("BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    compiled = {
        f"ov-{kind}": core.compile_model(model, "CPU", common | {"INFERENCE_PRECISION_HINT": kind}) for kind in kinds
    }
    data = nncf.Dataset([dict(batch) for batch in batches])
    eight = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
    compiled["ov-int8"] = core.compile_model(eight, "CPU", common)

    def contestant(network: Callable[[Any], object]) -> Contestant[Encoded]:
        def given(batch: Encoded) -> Run:
            own = dict(batch)
            return lambda: network(own)

        return given

    return {name: contestant(network) for name, network in compiled.items()}
