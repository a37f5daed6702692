"""The weights of attention: softmaxes over keys that a product with values reads, by their shape.

Every attention operator is read as softmax(q k^T ...) v, whichever exporter or optimiser wrote it,
so that its weights are found by what makes and what reads them, not by a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.operator_families import MOVING, NEUTRAL, PRODUCTS
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.region import Region

Array = npt.NDArray[Any]
_PASSING = MOVING | NEUTRAL | {"Expand", "Mul", "Slice", "Where"}
"""What may lie between the softmax and the values: dropout, masks, a sink that is left out."""
_SCORING = _PASSING | {"Add", "Clip", "Concat", "Div", "Max", "Sub", "Sum", "Tanh"}
"""What may lie between queries times keys and the softmax: scales, caps, biases and masks."""


@dataclass(frozen=True)
class AttentionTensor:
    """The weights of one attention: [samples, heads, queries, keys] in some layout.

    Attributes:
        name: of the tensor.
        sample: axis along which samples lie; None: it holds one sample.
        inner: how many neighbours on that axis belong to one sample; 0: all of them.
        turned: whether keys stand before queries.
    """

    name: str
    sample: int | None
    inner: int = 0
    turned: bool = False

    def by_heads(self, x: Array, samples: int) -> Array:
        """The tensor, or its relevance, as [samples, heads, queries, keys]."""
        if self.turned:
            x = np.swapaxes(x, -1, -2)
        ends = x.shape[-2:]
        if self.sample is None or self.sample >= x.ndim - 2:
            return x.reshape(1, -1, *ends)
        x = np.moveaxis(x, self.sample, 0)
        whole = x.shape[0]
        own = self.inner or max(1, whole // max(samples, 1))
        if whole % (samples * own):
            return x.reshape(whole, -1, *ends)
        parts = x.reshape(whole // (samples * own), samples, own, prod(x.shape[1:-2]), *ends)
        return np.moveaxis(parts, 1, 0).reshape(samples, -1, *ends)


def find_attention(plan: Plan, output: str) -> tuple[AttentionTensor, ...]:
    """The attentions that a tensor depends on, in the model's order."""
    graph, axes = plan.graph, SampleAxes(plan.graph)
    found = []
    for node in reversed(list(graph.ancestors(output))):
        turned = _is_softmax(node, plan)
        if turned is None or not (_weighs(plan, node.outputs[0]) and _scored(plan, node)):
            continue
        axis = axes(node.outputs[0])
        inner = getattr(axis, "inner", 0)
        sample = None if axis is None else int(axis)
        found.append(AttentionTensor(node.outputs[0], sample, inner, turned))
    return tuple(found)


def attention_kept(plan: Plan, output: str) -> list[str]:
    """Names of the attentions' weights. Raises RequestError where there is no attention."""
    found = [one.name for one in find_attention(plan, output)]
    if not found:
        raise RequestError(
            f"keep='attention': no softmax over products of two tensors lies before {output!r}; "
            "name tensors instead"
        )
    return found


def _is_softmax(node: Node, plan: Plan) -> bool | None:
    """Whether a softmax goes over the last axis but one; None where a node is none of either."""
    rank = plan.graph.type(node.outputs[0]).rank
    structure = plan.structures.get(node.name)
    if rank is None or rank < 2 or node.outputs[0] not in plan.carriers:
        return None
    if isinstance(structure, Region):
        return False if structure.kind == "softmax" else None
    if node.op_type != "Softmax" or node.domain:
        return None
    axis = node.attributes.get("axis", -1) % rank
    return {rank - 1: False, rank - 2: True}.get(axis)


def _weighs(plan: Plan, tensor: str) -> bool:
    """Whether a product with another tensor of data reads a tensor, perhaps behind a mask."""
    waiting, seen = [tensor], {tensor}
    while waiting:
        for node in plan.graph.consumers.get(waiting.pop(), ()):
            if _is_product(node, plan):
                return True
            if node.op_type in _PASSING and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                waiting.append(node.outputs[0])
    return False


def _scored(plan: Plan, softmax: Node) -> bool:
    """Whether what a softmax reads is a product of two tensors of data, scaled and masked."""
    waiting, seen = list(softmax.inputs[:1]), set(softmax.inputs[:1])
    while waiting:
        node = plan.graph.producers.get(waiting.pop())
        if node is None:
            continue
        if _is_product(node, plan):
            return True
        passes = node.op_type in _SCORING or plan.structures.get(node.name).__class__ is Region
        for name in node.inputs if passes else ():
            if name in plan.carriers and name not in seen:
                seen.add(name)
                waiting.append(name)
    return False


def _is_product(node: Node, plan: Plan) -> bool:
    return node.op_type in PRODUCTS and sum(n in plan.carriers for n in node.inputs[:2]) > 1


__all__ = ["AttentionTensor", "attention_kept", "find_attention"]
