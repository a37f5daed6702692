"""Sums of integers behind integer products, done on floats: older dynamic quantisation adds biases,
and sums of products, before it scales them.

    MatMulInteger -> Add an int32 bias -> Reshape -> Cast -> Mul by the scales

is then the linear operator that it stands for, with its bias. The numbers are whole, and the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import NodeProto, TensorProto, helper

from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.topology import renamed, subgraphs
from backtrace_onnx.model.weights import Weights

_PRODUCTS = frozenset(
    {"ConvInteger", "MatMulInteger", "MatMulInteger16", "MulInteger", "ReduceSumInteger"}
)
_ALL, _FIRST, _CHOSEN = slice(None), slice(1), slice(1, None)
_DATA = {
    **dict.fromkeys(("Add", "Concat", "Identity", "Max", "Min", "Mul", "Neg", "Sub", "Sum"), _ALL),
    **dict.fromkeys(("Expand", "Flatten", "Gather", "ReduceSum", "Reshape", "Slice"), _FIRST),
    **dict.fromkeys(("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"), _FIRST),
    "Where": _CHOSEN,
}
"""Operators that make whole numbers of whole numbers, and which of their inputs these are."""


def integer_products(model: Model) -> frozenset[str]:
    """Tensors that hold products of integers."""
    nodes = model.proto.graph.node
    return frozenset(node.output[0] for node in nodes if node.op_type in _PRODUCTS)


def on_floats(model: Model, products: frozenset[str]) -> Model:
    """The model in which what is computed of `products`, now casts of floats, is floats as well."""
    nodes = model.proto.graph.node
    casts = {n.output[0] for n in nodes if n.op_type == "Cast"} & products
    if not casts or any(True for n in nodes for _ in subgraphs(n)):
        return model
    return _TwinWriter(model, casts).written()


class _TwinWriter:
    """Writes a float twin of every node on the way from integer products to casts."""

    def __init__(self, model: Model, casts: set[str]) -> None:
        self._model, self._casts = model, casts
        self._twins: dict[str, str] = {}
        self._made: dict[str, NodeProto] = {}
        self._weights: Weights = {}

    def written(self) -> Model:
        """The model with twins; what nobody reads any more is left out, its twin has its name."""
        nodes = [new for node in self._model.proto.graph.node for new in self._with_twin(node)]
        outputs = {o.name for o in self._model.proto.graph.output}
        nodes = _without_unread(nodes, set(self._twins), outputs)
        present = {name for node in nodes for name in node.output}
        final = {
            twin: name
            for name, twin in self._twins.items()
            if name not in present and twin not in self._model.weights
        }
        known = (v for v in self._model.proto.graph.value_info if v.name not in self._twins)
        written = (renamed(node, final) for node in nodes)
        return self._model.with_nodes(written, self._weights, stated=known)

    def _with_twin(self, node: NodeProto) -> Iterator[NodeProto]:
        if node.output[0] in self._casts and node.op_type == "Cast":
            self._twins[node.output[0]] = node.input[0]
        elif node.op_type == "Cast" and node.input[0] in self._twins:
            node = self._cast(node)
        elif not node.domain and node.op_type in _DATA:
            data = node.input[_DATA[node.op_type]]
            if any(name in self._twins for name in data):
                yield from self._twin(node)
        yield node

    def _cast(self, node: NodeProto) -> NodeProto:
        """A cast of whole numbers: to integers they stay what they are, floats come of the twin."""
        kind = next(a.i for a in node.attribute if a.name == "to")
        if kind in (TensorProto.INT32, TensorProto.INT64):
            self._twins[node.output[0]] = self._twins[node.input[0]]
        if kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
            return node
        made = _copy(node)
        made.input[0] = self._twins[node.input[0]]
        return made

    def _twin(self, node: NodeProto) -> Iterator[NodeProto]:
        made = _copy(node)
        made.name = f"{node.name}/float"
        where = range(len(node.input))[_DATA[node.op_type]]
        for i in where:
            name = node.input[i]
            if name in self._twins or not name:
                made.input[i] = self._twins.get(name, "")
                continue
            made.input[i] = f"{name}@float"
            yield from self._float(name)
        for i, name in enumerate(node.output):
            made.output[i] = self._twins[name] = f"{name}@float"
        yield made

    def _float(self, name: str) -> Iterator[NodeProto]:
        """What makes a float of another integer tensor, once."""
        real = f"{name}@float"
        if name in self._model.weights:
            self._weights[real] = self._model.weights[name].astype(np.float32)
        elif real not in self._made:
            made = helper.make_node("Cast", [name], [real], real, to=TensorProto.FLOAT)
            self._made[real] = made
            yield made


def _without_unread(nodes: list[NodeProto], twinned: set[str], read: set[str]) -> list[NodeProto]:
    """The nodes but for those with a twin that nobody reads."""
    read, kept = set(read), []
    for node in reversed(nodes):
        if read.intersection(node.output) or not twinned.issuperset(node.output):
            read.update(node.input)
            kept.append(node)
    return kept[::-1]


def _copy(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made
