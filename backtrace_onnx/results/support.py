"""How every node of a model is explained, in rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from backtrace_onnx.control.straightening import WRITTEN_OUT
from backtrace_onnx.control.survey import inner_nodes
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.node_reading import canonical
from backtrace_onnx.model.loading import Model
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.rules import registry

_WRITTEN = "what it does in a run is written out as plain nodes, and these are explained"


@dataclass(frozen=True)
class Support:
    """How one node is explained.

    Attributes:
        coverage: "exact" by a rule, "expanded" from a schema or local function, "nothing" if it
            carries no relevance, "none" if it cannot be explained.
    """

    node: str
    operator: str
    rule: str
    coverage: Literal["exact", "expanded", "nothing", "none"]


def support_rows(loaded: Model, plan: Plan) -> list[Support]:
    """How every node of a plan is explained; `loaded` is the model as it was written."""
    written = {node.name: node.op_type for node in loaded.proto.graph.node}
    rows: list[Support] = []
    for node in plan.graph.nodes:
        if node.operator in WRITTEN_OUT:
            rows += _written_out(node, plan)
            continue
        structure = plan.structures.get(node.name)
        rule = registry.lookup(node.domain, node.op_type, node.version)
        summary = rule.summary if rule else plan.missing.get(node.name, "depends on no input")
        coverage: Literal["exact", "expanded", "nothing", "none"]
        if node.name in plan.missing:
            coverage, summary = "none", plan.missing[node.name]
        elif structure is None or not structure.carries:
            coverage = "nothing"
        else:
            coverage = "exact" if node.name in written else "expanded"
        rows.append(Support(node.name, node.operator, summary, coverage))
        parts = (part for part in node.sources[1:] if part in written)
        rows += [Support(p, written[p], f"read as one with {node.name}", coverage) for p in parts]
    return rows


def _written_out(node: Node, plan: Plan) -> Iterator[Support]:
    """A row for control flow that is not written out yet, and one per node of its bodies."""
    yield Support(node.name, node.operator, _WRITTEN, "expanded")
    lacking = {name: row.reason for row in plan.bodies.get(node.name, ()) for name in row.nodes}
    for name, inner in inner_nodes(node):
        domain = canonical(inner.domain)
        rule = registry.lookup(domain, inner.op_type, plan.graph.opsets.get(domain, 1))
        operator = f"{domain}::{inner.op_type}" if domain else inner.op_type
        if name in lacking:
            yield Support(name, operator, lacking[name], "none")
        elif rule is None:
            yield Support(name, operator, _WRITTEN, "expanded")
        else:
            yield Support(name, operator, rule.summary, rule.coverage)
