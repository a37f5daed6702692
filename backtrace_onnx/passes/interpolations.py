"""Linear interpolation written with one product, n + z (h - n), read as (1 - z) n + z h.

Reading changes what the rules see, not what runs: 1 - z and the two products are computed of
z, h and n where the rules ask for them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Computed, Graph, Node
from backtrace_onnx.passes.rewriter import Draft

_ONE = "one@interpolation"


class _Found(NamedTuple):
    """root = n + z (h - n); `product` and `difference` are its nodes."""

    n: str
    h: str
    z: str
    product: Node
    difference: Node


class _TwoProducts(NamedTuple):
    """An interpolation as two products and their sum, what is computed for them, and constants."""

    nodes: tuple[Node, ...]
    computed: dict[str, Computed]
    constants: dict[str, npt.NDArray[Any]]


def read_interpolations(graph: Graph) -> Graph:
    """The graph with every interpolation as the sum of two products."""
    draft = Draft(graph)
    parts: dict[str, Node] = {}
    for root in graph.nodes:
        found = _found(draft, root)
        made = None if found is None else _written(graph, root, found)
        if found is None or made is None:
            continue
        draft.put(root, *made.nodes)
        draft.constants |= made.constants
        draft.computed |= made.computed
        parts |= {node.name: root for node in (found.product, found.difference)}
    used = {x for node in graph.nodes if node.name not in parts for x in node.inputs}
    for node in graph.nodes:
        if node.name in parts and node.outputs[0] not in used:
            draft.drop(node, parts[node.name])
    return draft.finished()


def _found(draft: Draft, root: Node) -> _Found | None:
    """n + z (h - n) or n - z (n - h), its factors and terms in any order."""
    graph = draft.graph
    if root.operator not in ("Add", "Sub") or not graph.type(root.outputs[0]).is_float:
        return None
    for n, tensor in (root.inputs, root.inputs[::-1])[: 1 + (root.op_type == "Add")]:
        product = graph.producers.get(tensor)
        if product is None or product.operator != "Mul" or not draft.only_reader(tensor):
            continue
        for z, other in (product.inputs, product.inputs[::-1]):
            difference = graph.producers.get(other)
            if difference is None or difference.operator != "Sub" or other in draft.kept:
                continue
            h, minus = difference.inputs[:: 1 if root.op_type == "Add" else -1]
            if minus == n and sum(x in graph.constants for x in (n, h, z)) < 2:
                return _Found(n, h, z, product, difference)
    return None


def _written(graph: Graph, root: Node, found: _Found) -> _TwoProducts | None:
    """(1 - z) n + z h; None where no factor of a product is known to have its shape."""
    out, (n, h, z) = root.outputs[0], found[:3]
    shape = graph.type(out).shape
    whole = [x for x in (n, h, z) if x not in graph.constants and graph.type(x).shape == shape]
    if not {n, z}.intersection(whole) or not {h, z}.intersection(whole):
        return None
    kept, constants = _complement(graph, z), {_ONE: np.ones((), np.float32)}
    computed: dict[str, Computed] = {}
    nodes = []
    if kept is None:
        kept = f"{out}@kept"
        if z in graph.constants:
            constants[kept] = 1 - graph.constants[z]
        else:
            nodes.append(_node(root, "Sub", (_ONE, z), kept, found.product))
            computed[kept] = Computed("Sub", (_ONE, z), z)
    products = f"{out}@first", f"{out}@second"
    for made, factor, x in zip(products, (kept, z), (n, h), strict=True):
        nodes.append(_node(root, "Mul", (factor, x), made, found.product))
        computed[made] = Computed("Mul", (factor, x), x if x in whole else z)
    sources = (*root.sources, *found.product.sources, *found.difference.sources)
    nodes.append(replace(root, op_type="Add", inputs=products, sources=sources))
    return _TwoProducts(tuple(nodes), computed, constants)


def _complement(graph: Graph, z: str) -> str | None:
    """What z is one minus of."""
    maker = graph.producers.get(z)
    if maker is None or maker.operator != "Sub":
        return None
    one = graph.constants.get(maker.inputs[0])
    return maker.inputs[1] if one is not None and one.size == 1 and one == 1 else None


def _node(root: Node, op_type: str, inputs: tuple[str, ...], output: str, like: Node) -> Node:
    name = f"{root.name}{output.removeprefix(root.outputs[0])}"
    return Node(name, "", op_type, root.version, inputs, (output,), {}, like.sources)
