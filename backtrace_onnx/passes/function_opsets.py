"""Local functions that state another operator set than the model, though they mean the same in it.

ONNX's inliner converts them, and fails where it does not know the type of a tensor. Most operators
are the same in both sets, and then there is nothing to convert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import FunctionProto, ModelProto, NodeProto

from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.topology import subgraphs


def levelled(proto: ModelProto) -> ModelProto:
    """The model with its own operator set stated by every function that means the same in it."""
    wanted = _version(proto.opset_import)
    if wanted is None or not other_opsets(proto):
        return proto
    copy = ModelProto()
    copy.CopyFrom(proto)
    for function in copy.functions:
        if _means_the_same(function, wanted):
            for opset in function.opset_import:
                opset.version = wanted if not canonical(opset.domain) else opset.version
    return copy


def other_opsets(proto: ModelProto) -> list[str]:
    """Functions that state another version of ai.onnx than the model, each with it."""
    wanted = _version(proto.opset_import)
    stated = ((f.name, _version(f.opset_import)) for f in proto.functions)
    return [f"{name} (opset {n})" for name, n in stated if n is not None and n != wanted]


def _means_the_same(function: FunctionProto, wanted: int) -> bool:
    stated = _version(function.opset_import)
    if stated is None or stated == wanted:
        return False
    operators = {n.op_type for n in _nodes(function.node) if not canonical(n.domain)}
    return all(_since(name, stated) == _since(name, wanted) for name in operators)


def _since(op_type: str, version: int) -> int:
    """The version in which an operator was last changed; 0 where there is none."""
    try:
        return int(onnx.defs.get_schema(op_type, version, "").since_version)
    except onnx.defs.SchemaError:
        return 0


def _version(opsets: Iterable[onnx.OperatorSetIdProto]) -> int | None:
    return next((int(o.version) for o in opsets if not canonical(o.domain)), None)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _nodes(graph.node)


__all__ = ["levelled", "other_opsets"]
