"""Key and value caches of generating models: inputs that hold what was read before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.input_checking import is_cache, spell

Array = npt.NDArray[Any]


def cache_inputs(graph: Graph) -> tuple[str, ...]:
    """Inputs that hold the keys and values of a past: by their name, or as an output is one of them
    and more.
    """
    named = {name for name in graph.inputs if is_cache(name, graph.type(name))}
    return tuple(n for n in graph.inputs if n in named or _grown_axis(n, graph) is not None)


def empty_caches(graph: Graph, samples: int = 1) -> dict[str, Array]:
    """A past without positions for every cache input; {} where the model has none.

    Raises InputError where an input leaves no axis open for the past.
    """
    return {name: _empty(name, graph, samples) for name in cache_inputs(graph)}


def _empty(name: str, graph: Graph, samples: int) -> Array:
    kind = graph.type(name)
    shape = kind.shape or ()
    open_axes = [axis for axis, n in enumerate(shape) if not isinstance(n, int)]
    grown = _grown_axis(name, graph)
    past = _past_axis(shape, open_axes) if grown is None else grown
    rest = [axis for axis in open_axes if axis != past]
    if past is None or len(rest) > 1:
        raise InputError(
            f"input {name!r} takes {spell(kind)}: which of its axes is the past, and how large the "
            "others are, is not known; give the array"
        )
    sizes = [n if isinstance(n, int) else samples for n in shape]
    sizes[past] = 0
    return np.zeros(sizes, helper.tensor_dtype_to_np_dtype(kind.dtype))


def _grown_axis(name: str, graph: Graph) -> int | None:
    """The open axis along which an output is an input, joined with what is new; None if none is.

    The output has the input's rank and other sizes, or is the last part of both (a window that
    slides). Its shape alone tells nothing: that of hidden states is like that of an encoder's.
    """
    kind = graph.type(name)
    if not kind.is_float or kind.shape is None or len(kind.shape) < 3:
        return None
    for output in graph.outputs:
        node, window = _joining(output, graph)
        if node is None or node.operator != "Concat" or len(node.inputs) < 2:
            continue
        rank, axis = len(kind.shape), int(node.attributes["axis"])
        axis += rank if axis < 0 else 0
        made = graph.type(output).shape
        if made is None or len(made) != rank or isinstance(kind.shape[axis], int):
            continue
        rest = [i for i in range(rank) if i != axis]
        same = all(kind.shape[i] == made[i] for i in rest)
        grows = made[axis] != kind.shape[axis] if window is None else window % rank == axis
        if same and grows and name in {_bare(x, graph) for x in node.inputs}:
            return axis
    return None


def _joining(output: str, graph: Graph) -> tuple[Node | None, int | None]:
    """The node that makes an output, before it is cut to a window along one axis, and that axis."""
    node = graph.producers.get(_bare(output, graph))
    if node is None or node.operator != "Slice" or len(node.inputs) < 4:
        return node, None
    axes = graph.constants.get(node.inputs[3])
    if axes is None or axes.size != 1:
        return node, None
    return graph.producers.get(_bare(node.inputs[0], graph)), int(axes.item())


def _bare(tensor: str, graph: Graph) -> str:
    """The tensor that another one is, whatever its type."""
    node = graph.producers.get(tensor)
    while node is not None and node.operator in ("Identity", "Cast"):
        tensor = node.inputs[0]
        node = graph.producers.get(tensor)
    return tensor


def _past_axis(shape: Shape, open_axes: list[int]) -> int | None:
    """The open axis that is named for it, else the last one behind the samples."""
    named = [
        a for a in open_axes if any(word in str(shape[a]) for word in ("past", "cache", "seq"))
    ]
    behind = [axis for axis in open_axes if axis]
    return next(iter(named or behind[-1:]), None)
