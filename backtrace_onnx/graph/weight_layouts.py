"""How linear operators' constant weights and outputs are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from backtrace_onnx.graph.graph import Node

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """How a linear operator's weight and output are laid out.

    Attributes:
        axis: channel axis of the output.
        channels: their number.
        scaled: the weight with every output channel scaled.
        rank: output rank from the weight, where inference does not know it.
    """

    axis: int
    channels: Callable[[Node, Array], int]
    scaled: Callable[[Node, Array, Array], Array]
    rank: Callable[[Array | None], int | None] = lambda weight: None


def _rows(node: Node, weight: Array, scale: Array) -> Array:
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))


def _columns(node: Node, weight: Array, scale: Array) -> Array:
    return weight * scale


def _transposed_rows(node: Node, weight: Array, scale: Array) -> Array:
    group = node.attributes.get("group", 1)
    split = weight.reshape(group, -1, *weight.shape[1:])
    per_group = scale.reshape(group, 1, weight.shape[1], *[1] * (weight.ndim - 2))
    return (split * per_group).reshape(weight.shape)


def _same_rank(weight: Array | None) -> int | None:
    return None if weight is None else weight.ndim


LAYOUTS = {
    "Conv": Layout(1, lambda node, w: int(w.shape[0]), _rows, _same_rank),
    "ConvTranspose": Layout(
        1,
        lambda node, w: int(w.shape[1] * node.attributes.get("group", 1)),
        _transposed_rows,
        _same_rank,
    ),
    "Gemm": Layout(
        1,
        lambda node, w: int(w.shape[0] if node.attributes.get("transB", 0) else w.shape[1]),
        lambda node, w, s: (_rows if node.attributes.get("transB", 0) else _columns)(node, w, s),
        lambda weight: 2,
    ),
    "MatMul": Layout(-1, lambda node, w: int(w.shape[-1]), _columns),
}
"""By operator."""


__all__ = ["LAYOUTS", "Layout"]
