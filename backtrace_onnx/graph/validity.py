"""Telling a damaged model from a fault of ours, where reading a node fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from onnx import checker, helper

from backtrace_onnx.errors import BacktraceError, ModelError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.model.sessions import MAX_IR, first_line


@contextmanager
def blaming(nodes: Iterable[Node], opsets: Mapping[str, int]) -> Iterator[None]:
    """An error met meanwhile becomes a ModelError where one of the nodes is no valid ONNX."""
    try:
        yield
    except BacktraceError:
        raise
    except Exception:
        for node in nodes:
            check_node(node, opsets)
        raise


def check_node(node: Node, opsets: Mapping[str, int]) -> None:
    """Raises ModelError naming a node that does not fit its operator's specification."""
    context = checker.C.CheckerContext()
    context.ir_version = MAX_IR
    context.opset_imports = dict(opsets)
    try:
        proto = helper.make_node(
            node.op_type, node.inputs, node.outputs, domain=node.domain, **node.attributes
        )
        checker.check_node(proto, context)
    except Exception as error:  # attributes that cannot be written, and the checker's own errors
        raise ModelError(
            f"node {node.name!r} is no valid {node.operator}: {first_line(error)}"
        ) from None
