"""The ways from an output to the inputs on which Shapley values of trees are those of the model.

Behind the trees everything is linear; before them every column is made of one.
"""

from __future__ import annotations

from collections.abc import Collection

from backtrace_onnx.errors import Unsupported, UnsupportedError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.base import Movement, Structure
from backtrace_onnx.structures.linear import Linear
from backtrace_onnx.structures.sums import Terms
from backtrace_onnx.structures.winners import ElementwiseWinner, WindowWinner, Winner

_BEHIND = "lies behind the trees and is not linear: mode shap adds up what trees answer"
_BEFORE = "makes a column that trees ask for of several: mode shap is of trees' own columns"
_NONE = "hands on no trees' answers: mode shap explains trees, and this is reached without any"


def check_tree_ways(plan: Plan, output: str, over: Collection[str] = ()) -> tuple[Node, ...]:
    """The nodes with trees behind `output`, last one first.

    Args:
        over: the nodes of a head, which are passed over.

    Raises UnsupportedError naming what is not linear behind them, or mixes columns before them, and
    where an input is reached on another way.
    """
    behind, before = {output}, set[str]()
    trees: list[Node] = []
    met: dict[tuple[str, str], list[str]] = {}
    for node in tuple(plan.graph.ancestors(output)):
        structure = plan.structures.get(node.name)
        if structure is None or not structure.carries:
            continue
        data = plan.carriers.intersection(node.inputs)
        if before.intersection(node.outputs):
            before.update(data)
            if not _keeps_columns(plan, node, structure):
                met.setdefault((node.operator, _BEFORE), []).append(node.name)
        if not behind.intersection(node.outputs):
            continue
        if structure.relates:
            trees.append(node)
            before.update(data)
            continue
        behind.update(data)
        if node.name not in over and not _is_linear(plan, node, structure):
            met.setdefault((node.operator, _BEHIND), []).append(node.name)
    direct = sorted(behind.intersection(plan.graph.inputs))
    if direct:
        met.setdefault((f"input {direct[0]}", _NONE), []).extend(direct)
    if met:
        rows = sorted(met.items())
        raise UnsupportedError(
            tuple(Unsupported(op, tuple(names[::-1]), why) for (op, why), names in rows),
            "Mode shap is for decision trees; choose another mode, such as auto.",
        )
    return tuple(trees)


def _keeps_columns(plan: Plan, node: Node, structure: Structure) -> bool:
    """Whether every element of a node's result is made of one of its input's."""
    chosen = isinstance(structure, Winner | WindowWinner | ElementwiseWinner)
    moves = isinstance(structure, Movement) and not chosen
    return moves or structure.converts or plan.column(node) is not None


def _is_linear(plan: Plan, node: Node, structure: Structure) -> bool:
    """Whether a node's result is linear in all that carries there."""
    data = [name for name in node.inputs if name in plan.carriers]
    if isinstance(structure, Terms):
        return True
    if isinstance(structure, Linear):
        return len(data) == 1 and structure.inner is None and structure.chain is None
    if isinstance(structure, Movement):
        return not isinstance(structure, Winner | WindowWinner | ElementwiseWinner)
    return node.op_type in ("Mul", "Div") and len(data) == 1 and data[0] == node.inputs[0]


__all__ = ["check_tree_ways"]
