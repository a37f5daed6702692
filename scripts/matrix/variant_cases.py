"""What people do to files afterwards: optimise, quantise, narrow, move to another opset."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
import torch
from architectures import ARCHITECTURES
from cases import Case
from exporting import export, settle, write
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from torch_cases import NETS

Feeds = dict[str, np.ndarray]
Change = Callable[[Path, Path, Feeds], None]
FOLDER = Path(tempfile.mkdtemp())
BASES = ("LeNet", "ResNet", "MobileNet v3", "U-Net", "YOLO", "LSTM", "Perceptron")
TEXTS = ("BERT", "GPT-2", "Llama", "ViT", "T5", "Whisper")
LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Examples(CalibrationDataReader):
    """A few inputs to calibrate with."""

    def __init__(self, feeds: Feeds) -> None:
        self._rows = iter([feeds] * 2)

    def get_next(self) -> Feeds | None:  # type: ignore[override]
        return next(self._rows, None)


def _optimised(level: str) -> Change:
    def change(source: Path, path: Path, feeds: Feeds) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = LEVELS[level]
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return change


def _fused(kind: str) -> Change:
    def change(source: Path, path: Path, feeds: Feeds) -> None:
        from onnxruntime.transformers.optimizer import optimize_model

        logging.disable(logging.WARNING)
        made = optimize_model(str(source), model_type=kind, num_heads=4, hidden_size=32)
        made.save_model_to_file(str(path))

    return change


def _static(form: QuantFormat, kind: QuantType = QuantType.QInt8) -> Change:
    def change(source: Path, path: Path, feeds: Feeds) -> None:
        logging.disable(logging.WARNING)
        quantize_static(source, path, Examples(feeds), quant_format=form, activation_type=kind)

    return change


def _dynamic(source: Path, path: Path, feeds: Feeds) -> None:
    logging.disable(logging.WARNING)
    quantize_dynamic(source, path)


def _float16(source: Path, path: Path, feeds: Feeds) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = onnx.load(source)
    onnx.save(convert_float_to_float16(proto, keep_io_types=True), path)


def _bfloat16(source: Path, path: Path, feeds: Feeds) -> None:
    """The weights in bfloat16, each widened where it is read."""
    proto = onnx.load(source)
    for tensor in list(proto.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims:
            continue
        array = onnx.numpy_helper.to_array(tensor)
        high = (array.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        narrow = onnx.TensorProto(
            name=f"{tensor.name}/narrow",
            data_type=onnx.TensorProto.BFLOAT16,
            dims=tensor.dims,
            raw_data=high,
        )
        proto.graph.initializer.remove(tensor)
        proto.graph.initializer.append(narrow)
        wide = onnx.helper.make_node("Cast", [narrow.name], [tensor.name], to=1)
        proto.graph.node.insert(0, wide)
    onnx.save(proto, path)


def _opset(number: int) -> Change:
    def change(source: Path, path: Path, feeds: Feeds) -> None:
        onnx.save(onnx.version_converter.convert_version(onnx.load(source), number), path)

    return change


CHANGES: dict[str, Change] = {
    **{f"onnxruntime, {level}": _optimised(level) for level in LEVELS},
    "static int8, QDQ": _static(QuantFormat.QDQ),
    "static uint8, QOperator": _static(QuantFormat.QOperator, QuantType.QUInt8),
    "static int16, QDQ": _static(QuantFormat.QDQ, QuantType.QInt16),
    "dynamic int8": _dynamic,
    "float16": _float16,
    "bfloat16 weights": _bfloat16,
    "opset 22": _opset(22),
    "opset 25": _opset(25),
}
FUSIONS = {"BERT": "bert", "GPT-2": "gpt2", "ViT": "vit", "T5": "t5", "Whisper": "bart"}
FOR_TEXTS = ("onnxruntime, extended", "onnxruntime, all", "dynamic int8", "float16")


def cases() -> Iterator[Case]:
    """Some networks of every kind, changed in every way."""
    for base in BASES:
        for how, change in CHANGES.items():
            yield Case("changed afterwards", base, how, _maker(base, change))
    for base in TEXTS:
        for how in FOR_TEXTS:
            yield Case("changed afterwards", base, how, _maker(base, CHANGES[how]))
        if base in FUSIONS:
            change = _fused(FUSIONS[base])
            yield Case("changed afterwards", base, "fused by onnxruntime", _maker(base, change))


@cache
def _base(name: str) -> tuple[Path, Feeds]:
    """A network exported once."""
    path = FOLDER / f"{name}.onnx"
    if name in ARCHITECTURES:
        return path, export(ARCHITECTURES[name](), path)
    torch.manual_seed(0)
    network, inputs = NETS[name].build(), NETS[name].inputs()
    settle(network, inputs)
    write(network, inputs, path, dynamo=True, opset_version=18)
    return path, {key: x.numpy() for key, x in inputs.items()}


def _maker(base: str, change: Change) -> Callable[[Path], Feeds]:
    def make(path: Path) -> Feeds:
        source, feeds = _base(base)
        shutil.copy(source, path.with_name("source.onnx"))
        change(path.with_name("source.onnx"), path, feeds)
        return feeds

    return make
