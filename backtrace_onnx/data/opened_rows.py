"""A model that was opened to explain rows, and how these become its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from backtrace_onnx.data.encoding import RowEncoder
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.shared_inputs import shared_inputs
from backtrace_onnx.inputs.kept_columns import KeptColumns
from backtrace_onnx.inputs.sidecar import Sidecar, meaning_of
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.targets.tensor_choice import default_output

Array = npt.NDArray[Any]
_LEAST, _MOST, _NUMBERS, _UNKNOWN = 8, 4096, 1 << 23, 64


class OpenedRows:
    """An opened model, and how rows become its inputs."""

    def __init__(self, explainer: Explainer, sidecar: Sidecar | None, kept: KeptColumns) -> None:
        self.explainer, self.sidecar, self.kept = explainer, sidecar, kept
        self.encoder = RowEncoder(explainer.graph, sidecar, kept)

    def axis(self, name: str) -> int:
        """Where the samples of an input lie."""
        samples = self.explainer.graph.samples
        return int(samples[name]) if name in samples else 0

    def labelled(self, target: str, options: Mapping[str, Any]) -> int:
        """The index of a class by its label. Raises RequestError where none is called so."""
        output = options.get("output") or default_output(self.explainer.graph) or ""
        labels = options["labels"] or meaning_of(self.sidecar, output).labels
        if target not in labels:
            told = ", ".join(find_alike(target, labels) or labels[:5]) or "none that is known"
            raise RequestError(f"target {target!r} is no label; there are, for example: {told}")
        return int(tuple(labels).index(target))

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
