"""A model that was opened to explain rows, and how these become its inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.shared_inputs import shared_inputs
from backtrace_onnx.inputs.class_names import declared_names
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of, opened, with_tokenizer
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.targets.named_targets import read_target
from backtrace_onnx.targets.tensor_choice import default_output

Array = npt.NDArray[Any]
_LEAST, _MOST, _NUMBERS, _UNKNOWN = 8, 4096, 1 << 23, 64


class OpenedRows:
    """An opened model, and how rows become its inputs."""

    def __init__(self, explainer: Explainer, sidecar: Sidecar | None, kept: KeptColumns) -> None:
        self.explainer, self.sidecar, self.kept = explainer, sidecar, kept
        self.encoder = RowEncoder(explainer.graph, sidecar, kept)

    @classmethod
    def open(
        cls,
        model: ModelLike,
        sidecar: Sidecar | str | os.PathLike[str] | None,
        tokenizer: str | os.PathLike[str] | None,
        kept: KeptColumns,
        opening: Mapping[str, Any],
    ) -> OpenedRows:
        """Open a model with its sidecar, which is checked against it. Raises BacktraceError.

        Args:
            sidecar: default: the one beside the model. tokenizer: in place of the sidecar's.
            kept: columns that are no inputs; default: the sidecar's.
            opening: options of `Explainer`.
        """
        explainer = Explainer(model, **opening)
        found = opened(sidecar)
        if found is None and isinstance(model, str | os.PathLike):
            found = Sidecar.beside(model)
        graph = explainer.graph
        found = with_tokenizer(found, tokenizer, graph)
        if found is not None:
            found.check(graph.inputs, graph.outputs)
        return cls(explainer, found, kept.over(found.columns if found else KeptColumns()))

    def axis(self, name: str) -> int:
        """Where the samples of an input lie."""
        samples = self.explainer.graph.samples
        return int(samples[name]) if name in samples else 0

    def read_target(self, target: Any, output: str | None, labels: Sequence[str]) -> Any:
        """A target; of a text what it names. Raises RequestError where it names nothing.

        `labels`: of the classes, in place of the sidecar's or the model's.
        """
        if not isinstance(target, str):
            return target
        output = output or default_output(self.explainer.graph) or ""
        shape = self.explainer.graph.type(output).shape
        said, own = meaning_of(self.sidecar, output), self.explainer.class_labels
        return read_target(target, labels or declared_names(said, own, shape).labels)

    @property
    def batch(self) -> int:
        """Rows that a small machine explains at once without haste or want."""
        return rows_at_once(self.explainer.graph)

    @property
    def fixed_rows(self) -> int | None:
        """The number of rows that the model takes at once, where that is fixed."""
        graph = self.explainer.graph
        shared = shared_inputs(graph)
        for name in (name for name in graph.inputs if name not in shared):
            shape, axis = graph.type(name).shape, self.axis(name)
            if shape is not None and len(shape) > axis and isinstance(shape[axis], int):
                return int(shape[axis])  # type: ignore[arg-type]
        return None

    def example(self, block: RowBlock) -> dict[str, Array]:
        """One row of nothing, by which the columns of no rows are known."""
        graph, feeds = self.explainer.graph, {}
        for name in graph.inputs:
            kind = graph.type(name)
            shape = [n if isinstance(n, int) else 1 for n in kind.shape or ()]
            if kind.dtype == onnx.TensorProto.STRING:
                feeds[name] = np.full(shape, "", object)
            else:
                dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.dtype)
                feeds[name] = np.zeros(shape, dtype)
        return feeds


def rows_at_once(graph: Graph) -> int:
    """Rows that a small machine explains at once without haste or want: 8 to 4096.

    As many as make the model compute about as many numbers, whatever its size; axes of which
    nothing is known count as 64.
    """
    made = (*graph.inputs, *(name for node in graph.nodes for name in node.outputs))
    numbers = 0
    for name in dict.fromkeys(made):
        shape = graph.type(name).shape or (None, None)
        numbers += prod(n if isinstance(n, int) else _UNKNOWN for n in shape[1:])
    return max(_LEAST, min(_MOST, _NUMBERS // max(numbers, 1)))
