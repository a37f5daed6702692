"""Integer products and the scales after them, as dynamic quantisation writes them, read as one.

    DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul by the product of both scales

is a product of floats, and what is added to it is its bias, also where older quantisation divides
it by the scales and adds it in steps, before the Cast. Read one by one, the scale that is computed
from the data would keep the bias apart, and integers of two inputs, of other scales, were compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import NodeProto, helper

from backtrace_onnx.expansions.quantised import floats
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.weights import Weights

_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
_ROUNDING = frozenset({"Cast", "Floor", "Reshape", "Round", "Unsqueeze"})


@dataclass(frozen=True)
class _Chain:
    """A product, the cast and the scaling after it, and where its two scales come from.

    Attributes:
        adding: what adds integers to the product before they are cast.
        scale: the product of both scales.
    """

    product: NodeProto
    adding: NodeProto | None
    cast: NodeProto
    scaling: NodeProto
    scale: str
    data_scale: str
    weight_scale: str


def floated(model: Model) -> Model:
    """The model with every such chain written as a product of floats."""
    if not any(node.op_type in _PRODUCTS for node in model.proto.graph.node):
        return model
    search = _ChainSearch(model.proto.graph)
    weights: Weights = dict(model.weights)
    replaced: dict[str, list[NodeProto]] = {}
    for node in model.proto.graph.node:
        chain = search.chain(node) if node.op_type in _PRODUCTS else None
        written = None if chain is None else _written(chain, weights)
        if chain is not None and written is not None:
            inner = (chain.product, chain.adding, chain.cast)
            replaced.update({node.name: [] for node in inner if node is not None})
            replaced[chain.scaling.name] = written
    return model.with_nodes(_without_scales(model, replaced), weights) if replaced else model


class _ChainSearch:
    """Finds chains by who makes and who reads a tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {out: node for node in graph.node for out in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {o.name for o in graph.output}

    def chain(self, product: NodeProto) -> _Chain | None:
        """The chain that begins with an integer product."""
        data = self._makers.get(product.input[0])
        adding = self._only(product.output[0], "Add")
        if adding is not None and not any(map(self._is_divided, adding.input)):
            return None
        cast = self._only((product if adding is None else adding).output[0], "Cast")
        scaling = None if cast is None else self._only(cast.output[0], "Mul")
        if data is None or data.op_type != "DynamicQuantizeLinear":
            return None
        if cast is None or scaling is None:
            return None
        scale = next((name for name in scaling.input if name != cast.output[0]), "")
        made = self._makers.get(scale)
        if made is None or made.op_type != "Mul" or data.output[1] not in made.input:
            return None
        other = next((name for name in made.input if name != data.output[1]), "")
        return _Chain(product, adding, cast, scaling, scale, data.output[1], other)

    def _is_divided(self, name: str) -> bool:
        """Whether a tensor is a quotient, as a bias over the scales is, in whole numbers."""
        node = self._makers.get(name)
        while node is not None and node.op_type in _ROUNDING:
            node = self._makers.get(node.input[0])
        return node is not None and node.op_type == "Div"

    def _only(self, name: str, op_type: str) -> NodeProto | None:
        """The one node that reads a tensor, if it is of that type."""
        readers = self._readers.get(name, [])
        if len(readers) != 1 or readers[0].op_type != op_type or name in self._outputs:
            return None
        return readers[0]


def _written(chain: _Chain, weights: Weights) -> list[NodeProto] | None:
    """The nodes of the float product; None where the weights' scale is not constant."""
    product, name = chain.product, chain.product.name
    inputs = [*product.input, "", ""][:4]
    weight, scale = weights.get(inputs[1]), weights.get(chain.weight_scale)
    zero = weights.get(inputs[3])
    if weight is None or scale is None or (inputs[3] and zero is None):
        return None
    axis = 0 if product.op_type == "ConvInteger" else weight.ndim - 1
    data, real = f"{name}/data", f"{name}/weight"
    weights[real] = floats(weight, scale.reshape(-1), zero, axis)
    given = [inputs[0], chain.data_scale, *filter(None, inputs[2:3])]
    whole = chain.adding is None
    output = chain.scaling.output[0] if whole else f"{name}/unbiased"
    made = helper.make_node(_PRODUCTS[product.op_type], [data, real], [output], f"{name}/float")
    made.attribute.extend(product.attribute)
    made.metadata_props.extend(product.metadata_props)
    return [
        helper.make_node("DequantizeLinear", given, [data], data),
        made,
        *_biased(chain, output),
    ]


def _biased(chain: _Chain, product: str) -> list[NodeProto]:
    """What adds the numbers that the added integers stand for."""
    if chain.adding is None:
        return []
    (steps,) = (name for name in chain.adding.input if name != chain.product.output[0])
    name, float_type = f"{chain.product.name}/bias", onnx.TensorProto.FLOAT
    return [
        helper.make_node("Cast", [steps], [f"{name}/steps"], f"{name}/steps", to=float_type),
        helper.make_node("Mul", [f"{name}/steps", chain.scale], [name], name),
        helper.make_node("Add", [product, name], chain.scaling.output, chain.adding.name),
    ]


def _without_scales(model: Model, replaced: dict[str, list[NodeProto]]) -> list[NodeProto]:
    """The nodes with those in `replaced` in place, without the products of scales left unread."""
    graph = model.proto.graph
    nodes = [new for node in graph.node for new in replaced.get(node.name, [node])]
    read = {name for node in nodes for name in node.input} | {o.name for o in graph.output}
    return [node for node in nodes if node.op_type != "Mul" or read.intersection(node.output)]
