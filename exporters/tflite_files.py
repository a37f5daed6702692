"""A TFLite file, and its interpreter."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.cells import settle_biases
from backtrace_onnx.exporters.comparing import Array, Feeds
from backtrace_onnx.exporters.quiet import quiet
from backtrace_onnx.exporters.tf_graphs import check_operators, draw, named, rename
from backtrace_onnx.exporters.tflite_quantised import (
    as_floats,
    custom_operators,
    is_quantised,
    refusal,
    widen_opset,
    widen_outputs,
)
from backtrace_onnx.model.sessions import first_line


class Lite:
    """The model of a TFLite file, with the names of its signature.

    Attributes:
        quantised: whether it computes with integers that stand for numbers.
        notes: what a user should know of the export, a sentence each.

    Raises ExportError where the file is none, or needs another runtime.
    """

    def __init__(self, file: Path, example: Any) -> None:
        if not file.is_file():
            raise ExportError(f"{file}: no such file")
        self._file = file
        try:
            with quiet(logging.ERROR):
                self._interpreter = tf.lite.Interpreter(str(file), num_threads=1)
        except Exception as error:  # TensorFlow raises many types
            raise ExportError(f"{file}: is no TFLite model: {first_line(error)}") from None
        strange = custom_operators(file)
        if strange:
            raise ExportError(f"{file}: {refusal(strange)}. Nothing was written")
        self.quantised = is_quantised(self._interpreter.get_tensor_details())
        self.notes: list[str] = []
        self._inputs = self._named("inputs", self._interpreter.get_input_details())
        self._outputs = self._named("outputs", self._interpreter.get_output_details())
        self.specs = [_spec(name, detail) for name, detail in self._inputs.items()]
        self.feeds: Feeds = draw(self.specs) if example is None else named(example, self.specs)

    def convert(self, opset: int) -> onnx.ModelProto:
        """The file as an ONNX model. Raises ExportError."""
        import tf2onnx

        proto: onnx.ModelProto
        try:
            with quiet(logging.ERROR):
                proto, _ = tf2onnx.convert.from_tflite(str(self._file), opset=opset)
        except Exception as error:  # tf2onnx raises many types
            raise ExportError(
                f"{self._file}: tf2onnx cannot convert it: {first_line(error)}. {_RECURRENT}"
            ) from None
        check_operators(proto)
        names = {
            detail["name"]: name for name, detail in (*self._inputs.items(), *self._outputs.items())
        }
        rename(proto, names)
        _fix_sizes(proto, self.specs)
        if widen_outputs(proto):
            self.notes.append("its integer outputs are given as the numbers that they stand for")
        proto = widen_opset(proto)
        settle_biases(proto.graph)
        return proto

    def run(self, feeds: Feeds) -> list[Array]:
        """What the interpreter answers."""
        for name, detail in self._inputs.items():
            self._interpreter.resize_tensor_input(detail["index"], feeds[name].shape)
        self._interpreter.allocate_tensors()
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], feeds[name])
        self._interpreter.invoke()
        details = self._outputs.values()
        return [as_floats(d, self._interpreter.get_tensor(d["index"])) for d in details]

    def _named(self, kind: str, details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Details by the signature's names; where there is no signature, by the tensors'."""
        signatures = self._interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = self._interpreter.get_signature_runner(next(iter(signatures)))
            found = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
            by_index = {detail["index"]: name for name, detail in found.items()}
            if by_index.keys() == {detail["index"] for detail in details}:
                return {by_index[detail["index"]]: detail for detail in details}
        return {re.sub(r":0$", "", detail["name"]): detail for detail in details}


_RECURRENT = (
    "Recurrent layers need a file converted for a fixed batch: model.export(folder, "
    "input_signature=[tf.TensorSpec((1, ...))]), then TFLiteConverter.from_saved_model(folder)"
)


def _spec(name: str, detail: Mapping[str, Any]) -> Any:
    shape = [None if n < 0 else int(n) for n in detail["shape_signature"]]
    return tf.TensorSpec(shape, tf.as_dtype(detail["dtype"]), name=name)


def _fix_sizes(proto: onnx.ModelProto, specs: list[Any]) -> None:
    """Sizes that the file fixes are fixed in the model's inputs, too."""
    known = {spec.name: spec.shape.as_list() for spec in specs}
    for value in proto.graph.input:
        for dim, n in zip(
            value.type.tensor_type.shape.dim, known.get(value.name, ()), strict=False
        ):
            if n is not None:
                dim.dim_value = n
