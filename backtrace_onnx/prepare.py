"""From a loaded model to the graph rules read: inline, expand, fold, infer, read as one, join."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.class_axis import class_axes
from backtrace_onnx.declared_shapes import without_contradicted
from backtrace_onnx.fold import fold
from backtrace_onnx.graph import Graph
from backtrace_onnx.infer import infer
from backtrace_onnx.inline import expanded, inlined
from backtrace_onnx.interpolations import read_interpolations
from backtrace_onnx.join import join
from backtrace_onnx.model import Model
from backtrace_onnx.nodes import read_node
from backtrace_onnx.regions import read_regions
from backtrace_onnx.samples import find_samples
from backtrace_onnx.sums import read_sums
from backtrace_onnx.validity import blaming


def prepare(model: Model, protect: frozenset[str] = frozenset()) -> tuple[Model, Graph]:
    """The model that runs (functions inlined, operators expanded) and the graph rules read.

    Tensors in `protect` keep a relevance of their own: nothing is joined across them.
    Raises ModelError where the model cannot be prepared.
    """
    model, graph = read_graph(model)
    graph = replace(graph, classes=class_axes(graph))
    with blaming(graph.nodes, graph.opsets):
        graph = join(read_regions(graph, protect), protect)
        return model, read_sums(read_interpolations(graph, protect), protect)


def read_graph(model: Model) -> tuple[Model, Graph]:
    """The model that runs and its graph, node by node: nothing is read as one."""
    model = without_contradicted(expanded(inlined(model)))
    constants, folded = fold(model)
    graph, types = model.proto.graph, infer(model)
    inputs = tuple(x.name for x in graph.input if x.name not in model.weights)
    found = Graph(
        tuple(read_node(node, model.opsets) for node in graph.node if node.name not in folded),
        inputs,
        tuple(o.name for o in graph.output),
        constants,
        types,
        model.opsets,
        samples=find_samples(model.proto, types, inputs),
    )
    return model, found
