"""Whether the inputs at hand are pictures, or rows of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph, TensorType
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.picture_shapes import picture_axes

Feeds = Mapping[str, npt.NDArray[Any]]


def are_pictures(graph: Graph, feeds: Feeds) -> bool:
    """Whether all inputs that hold floats are pictures with an axis of channels: these can be
    blurred."""
    axes = SampleAxes(graph)
    floats = [name for name, x in feeds.items() if x.dtype.kind == "f" and x.size]
    samples = [feeds[n] if (a := axes(n)) is None else feeds[n].take(0, a) for n in floats]
    return bool(samples) and all(x.ndim > 2 and picture_axes(x) is not None for x in samples)


def are_columns(graph: Graph, feeds: Feeds) -> bool:
    """Whether all inputs hold floats, of every sample one or a row of them."""
    axes = SampleAxes(graph)
    return all(
        x.dtype.kind == "f" and x.ndim <= 2 and axes(name) is not None for name, x in feeds.items()
    )


def holds_columns(kind: TensorType) -> bool:
    """Whether an input holds floats, of a sample one or a row of them, as far as is declared."""
    return kind.is_float and kind.rank is not None and kind.rank <= 2


def take_columns(graph: Graph) -> bool:
    """Whether all inputs of a model are such, and hold several samples."""
    axes = SampleAxes(graph)
    return all(holds_columns(graph.type(name)) and axes(name) is not None for name in graph.inputs)
