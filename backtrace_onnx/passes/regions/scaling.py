"""Functions of a multiple of a tensor: the factor is taken out of the region, as it stands before a
native operator.

softmax(3 z) in primitives is Mul by 3 and Softmax, so that the factor belongs to the linear
operator that makes z and the saturation gate is the native one's. Which function a region is, is
said in its attribute `native` (`identification.Native`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from backtrace_onnx.graph.graph import Computed, Graph, Node
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.passes.regions.identification import Native, native_of
from backtrace_onnx.passes.rewriter import Draft


def read_multiples(graph: Graph) -> Graph:
    """The graph with factor and shift before every such function as nodes of their own."""
    draft = Draft(graph)
    for node in graph.nodes:
        native = native_of(node, graph) if is_region(node) else None
        if native is None:
            continue
        entry, before = node.inputs[0], []
        for made, value in _before(node, native, graph):
            draft.constants[made.inputs[1]] = value
            draft.computed[made.outputs[0]] = Computed(made.op_type, made.inputs, node.inputs[0])
            before.append(made)
            entry = made.outputs[0]
        plain = replace(native, scale=1.0, shift=0.0)
        multiple = (native.scale, native.shift)
        attributes = {**node.attributes, "native": plain, "multiple": multiple}
        draft.put(node, *before, replace(node, inputs=(entry,), attributes=attributes))
    return draft.finished()


def _before(node: Node, native: Native, graph: Graph) -> Iterator[tuple[Node, np.ndarray]]:
    """Mul and Add that stand before the native function, each with its constant."""
    entry, version = node.inputs[0], graph.opsets.get("", 1)
    steps = (("Mul", "scale", native.scale, 1.0), ("Add", "shift", native.shift, 0.0))
    for op_type, word, number, neutral in steps:
        if number != neutral:
            name = f"{node.name}/{word}"
            out = f"{node.inputs[0]}@{node.outputs[0]}/{word}"
            inputs = (entry, f"{out}/constant")
            made = Node(name, "", op_type, version, inputs, (out,), {}, node.sources)
            yield made, np.array(number, np.float32)
            entry = out


__all__ = ["read_multiples"]
