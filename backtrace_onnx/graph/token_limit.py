"""How many tokens a model reads at most: what its tables of positions hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph, Node

Array = npt.NDArray[Any]
_COUNTS = {"Range": 0, "CumSum": 1}  # operators that number the tokens, and the first number
_PASSING = frozenset({"Cast", "Expand", "Identity", "Reshape", "Squeeze", "Tile", "Unsqueeze"})


def token_limit(graph: Graph, positions: str | None = None) -> int | None:
    """The most tokens for which every table of positions has a row; None where nothing limits.

    Such a table is a constant that is cut to the number of tokens, or one whose rows are looked up
    by numbers that count the tokens.

    Args:
        positions: the input that takes the tokens' positions, if there is one.
    """
    found = [limit for node in graph.nodes for limit in _limits(graph, node, positions)]
    return min(found, default=None)


def _limits(graph: Graph, node: Node, positions: str | None) -> Iterator[int]:
    if node.op_type == "Slice":
        yield from _cut(graph, node)
    elif node.op_type == "Gather" and not node.attributes.get("axis", 0):
        table = graph.constants.get(node.inputs[0])
        if table is not None and table.ndim == 2 and table.dtype.kind in "fV":
            first = _first_number(graph, node.inputs[1], positions)
            if first is not None:
                yield len(table) - first


def _cut(graph: Graph, node: Node) -> Iterator[int]:
    """Sizes of the axes along which a constant is cut at a place that depends on the inputs."""
    whole = graph.constants.get(node.inputs[0])
    if whole is None or len(node.inputs) < 3 or node.inputs[2] in graph.constants:
        return
    axes = _constant(graph, node, 3)
    steps = _constant(graph, node, 4)
    for k, axis in enumerate(range(whole.ndim) if axes is None else axes.ravel()):
        backwards = steps is not None and k < steps.size and steps.ravel()[k] < 0
        if whole.shape[int(axis)] > 1 and not backwards:
            yield whole.shape[int(axis)]


def _constant(graph: Graph, node: Node, i: int) -> Array | None:
    return graph.constants.get(node.inputs[i]) if i < len(node.inputs) else None


def _first_number(graph: Graph, name: str, positions: str | None) -> int | None:
    """The number of the first token, where a tensor counts the tokens one by one."""
    first = 0
    while name != positions:
        node = graph.producers.get(name)
        if node is None:
            return None
        if node.op_type in _COUNTS:
            return first + _COUNTS[node.op_type] if _by_one(graph, node) else None
        varying = [i for i in node.inputs if i and i not in graph.constants]
        step = _step(graph, node, varying)
        if step is None:
            return None
        first += step
        name = varying[0]
    return first


def _by_one(graph: Graph, node: Node) -> bool:
    """Whether a Range starts at 0 and goes by 1; a cumulative sum of a mask does."""
    if node.op_type != "Range":
        return True
    start, step = (graph.constants.get(node.inputs[i]) for i in (0, 2))
    return (start is None or not start.any()) and step is not None and bool(np.all(step == 1))


def _step(graph: Graph, node: Node, varying: list[str]) -> int | None:
    """What an operator adds to the numbers that it passes on; None where it does something else."""
    if node.op_type in _PASSING or node.op_type == "Mul":  # by the mask
        return 0 if varying else None
    if node.op_type not in ("Add", "Sub", "Sum") or len(varying) != 1:
        return None
    usual = (1, -1) if node.op_type == "Sub" else (1,) * len(node.inputs)
    signs = node.attributes.get("signs") or usual
    terms = dict(zip(node.inputs, signs, strict=True))
    if len(terms) != len(node.inputs) or terms.pop(varying[0]) != 1:
        return None
    numbers = [graph.constants[name] for name in terms]
    if any(x.size != 1 or x.dtype.kind not in "iu" for x in numbers):
        return None
    step: int = sum(s * int(x.item()) for x, s in zip(numbers, terms.values(), strict=True))
    return step
