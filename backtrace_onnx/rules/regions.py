"""What is read as one operator before any rule is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import BINS, DOMAIN, REDUCING, REGION, SCALE
from backtrace_onnx.graph.regions import beside, body, kinds
from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import lookup, rule
from backtrace_onnx.rules.written_out import written_out
from backtrace_onnx.structures.base import Nothing, Structure
from backtrace_onnx.structures.fallback import Stops
from backtrace_onnx.structures.functions import Binned
from backtrace_onnx.structures.region import Kind, Region

_SOFTMAX = frozenset({"Softmax", "LogSoftmax"})


@rule(REGION, domain=DOMAIN)
def region(op: Op) -> Structure:
    """Nodes that are one function of one tensor together: relevance passes unchanged."""
    made = read_region(op, (*beside(op.node), *body([op.node])), _kind(op.node))
    multiple = op.attribute("multiple", (1.0, 0.0))
    if multiple == (1.0, 0.0):
        return made
    return replace(made, multiple=multiple, derivative=None, ratio=None)


@rule(SCALE, domain=DOMAIN)
def scale(op: Op) -> Structure:
    """Constant scale and shift of a normalisation: relevance passes unchanged, as through it."""
    return read_region(op, op.attribute("members"), "linear")


@rule(BINS, domain=DOMAIN)
def bins(op: Op) -> Structure:
    """Numbers made of comparisons of one tensor: an entry gets the sum of what was made of it."""
    return Binned(lead=int(op.attribute("lead")))


def _kind(node: Node) -> Kind:
    """What kind of function nodes that are read as one compute."""
    native = node.attributes.get("native")
    if native is not None:
        return "softmax" if native.name in _SOFTMAX else "pointwise"
    if node.attributes["normalised"]:
        return "normalisation"
    within = kinds(node)
    if within & _SOFTMAX or within >= {"Exp", "ReduceSum"}:
        return "softmax"
    return "other" if within & REDUCING else "pointwise"


def read_region(op: Op, members: Sequence[Node], kind: Kind) -> Region:
    """The structure of a node that stands for these."""
    graph = op.graph
    carriers = {_entry(members, graph)}
    structures: dict[str, Structure] = {}
    for node in members:
        if carriers.intersection(node.inputs):
            found = lookup(node.domain, node.op_type, node.version)
            made = Stops() if found is None else found.build(Op(node, graph, carriers))
            structures[node.name] = made
            carriers.update(() if isinstance(made, Nothing) else node.outputs)
    read = {name for node in members for name in node.inputs}
    constants = {name: graph.constants[name] for name in read & graph.constants.keys()}
    shapes = {graph.type(name).shape for name in carriers}
    level = len(shapes) == 1 and all(shape and None not in shape for shape in shapes)
    made = Region(tuple(members), structures, constants, kind, level=level)
    known = written_out(_entry(members, graph), members, constants)
    if known is None or kind != "pointwise":
        return made
    return replace(made, derivative=known.derivative, ratio=known.ratio)


def _entry(members: Sequence[Node], graph: Graph) -> str:
    """What the members read that none of them makes and that is no constant."""
    made = {name for node in members for name in node.outputs}
    read = (name for node in members for name in node.inputs if name and name not in made)
    return next((name for name in read if name not in graph.constants), "")
