"""Nodes of an older operator set, said in the words of the one that is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx import TensorProto, defs, helper, numpy_helper, version_converter

if TYPE_CHECKING:
    from backtrace_onnx.graph.graph import Node

Written = tuple[str, Sequence[str], Mapping[str, Any], Sequence[str]]
"""Operator, inputs, attributes and outputs."""


def is_older(node: Node, opset: int) -> bool:
    """Whether its operator is another one in an operator set of ai.onnx that is newer than its."""
    if node.domain or node.version >= opset or not defs.has(node.op_type, opset, ""):
        return False
    if not defs.has(node.op_type, node.version, ""):
        return False
    versions = (defs.get_schema(node.op_type, v, "").since_version for v in (node.version, opset))
    return len(set(versions)) > 1


def modern(node: Node, opset: int) -> tuple[list[Written], dict[str, Any]]:
    """The nodes that do in an operator set what this one does in its own, and their constants.

    Inputs are called `x0`, `x1`, ... and outputs `y0`, `y1`, .... What ONNX's converter cannot
    bring there is left as it is.
    """
    given = [f"x{i}" if name else "" for i, name in enumerate(node.inputs)]
    made = [f"y{i}" if name else "" for i, name in enumerate(node.outputs)]
    old = helper.make_node(node.op_type, given, made, **node.attributes)
    graph = helper.make_graph([old], "node", _open(given), _open(made))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.version)])
    try:
        graph = version_converter.convert_version(model, opset).graph
    except Exception:  # the converter raises its own C++ exceptions
        return [(node.op_type, given, node.attributes, made)], {}
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    written: list[Written] = []
    for each in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in each.attribute}
        if each.op_type == "Constant":
            constants[each.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            written.append((each.op_type, list(each.input), attributes, list(each.output)))
    return written, constants


def _open(names: Sequence[str]) -> list[Any]:
    """Tensors of numbers whose shape is not known."""
    kind = TensorProto.FLOAT
    return [helper.make_tensor_value_info(name, kind, None) for name in names if name]
