"""From a loaded model to the graph rules read: inline, expand, fold, infer, read as one, join."""

from __future__ import annotations

from dataclasses import replace

from backtrace_onnx.graph.class_axes import class_axes
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.graph.node_reading import read_node
from backtrace_onnx.graph.sample_axes import find_samples
from backtrace_onnx.graph.validity import blaming
from backtrace_onnx.model.constant_folding import fold
from backtrace_onnx.model.declared_shapes import without_contradicted
from backtrace_onnx.model.loading import Model
from backtrace_onnx.passes.affine_joining import join
from backtrace_onnx.passes.inlining import expanded, inlined
from backtrace_onnx.passes.interpolations import read_interpolations
from backtrace_onnx.passes.nested_sums import read_sums
from backtrace_onnx.passes.regions import read_regions


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
