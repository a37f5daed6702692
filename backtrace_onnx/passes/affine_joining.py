"""What is one operator read as one: a linear operator and the constant scale and shift after it.

Joining changes what the rules see, not what runs: the joined node keeps the linear operator's
input, and its output is the tensor after the last scale or shift. Interior tensors stay
addressable as aliases: they have the relevance of the joined output.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.channel_axes import MOVES, ChannelAxes
from backtrace_onnx.graph.graph import Computed, Graph, Node
from backtrace_onnx.graph.weight_layouts import LAYOUTS, Layout
from backtrace_onnx.passes.rewriter import Draft

Array = npt.NDArray[Any]


@dataclass
class MovedTensor:
    """A tensor of a tail that is moved before it is scaled: what it stands for once all is joined.

    Attributes:
        name: the tensor, whose channels lie along `channel_axes`.
        scale, shift: [channels]: what comes later, behind the move.
    """

    name: str
    channel_axes: ChannelAxes
    scale: Array
    shift: Array


@dataclass
class Tail:
    """What follows a linear node and is read as part of it, as far as it has been followed.

    Attributes:
        tensor: the tensor that was reached, whose channels lie along `channel_axes`.
        scale, shift: [channels]: what the nodes so far make of the product.
        sources: names of the model's nodes that these stand for.
        absorbed: nodes that scale or shift.
        moved: the tensors that were moved on the way.
    """

    tensor: str
    channel_axes: ChannelAxes
    scale: Array
    shift: Array
    sources: list[str] = field(default_factory=list)
    absorbed: list[Node] = field(default_factory=list)
    moved: list[MovedTensor] = field(default_factory=list)

    def move(self, tensor: str, channel_axes: ChannelAxes) -> None:
        """The tensor's elements move."""
        one, zero = np.ones_like(self.scale), np.zeros_like(self.shift)
        self.moved.append(MovedTensor(self.tensor, self.channel_axes, one, zero))
        self.tensor, self.channel_axes = tensor, channel_axes

    def absorb(self, node: Node, scale: Array, shift: Array) -> None:
        """A node scales and shifts what there is."""
        self.scale, self.shift = self.scale * scale, self.shift * scale + shift
        for own in self.moved:
            own.scale, own.shift = own.scale * scale, own.shift * scale + shift
        self.absorbed.append(node)
        self.sources += node.sources
        self.tensor = node.outputs[0]


def join(graph: Graph) -> Graph:
    """The graph with every linear node joined with its scale and shift."""
    draft = Draft(graph)
    scaled: dict[tuple[Any, ...], str] = {}
    for node in graph.nodes:
        describe = LAYOUTS.get(node.operator)
        tail = None if describe is None else walk(draft, node, describe)
        if describe is None or tail is None:
            continue
        if not tail.absorbed and node.attributes.get("alpha", 1.0) == 1.0:
            continue
        weight, bias = _scaled(draft, node, describe, tail, scaled), f"bias@{tail.tensor}"
        draft.constants[bias] = tail.shift
        draft.put(node, joined(node, weight, bias, tail))
        for absorbed in tail.absorbed:
            source = next(i for i in absorbed.inputs if i and i not in graph.constants)
            draft.put(absorbed)
            draft.rename(source, absorbed.outputs[0])
        settle_moved(draft, tail)
    return draft.finished()


def _scaled(
    draft: Draft, node: Node, describe: Layout, tail: Tail, made: dict[tuple[Any, ...], str]
) -> str:
    """Name of the weight with the tail's scale; equal ones, as of a loop's steps, share one."""
    name, constants = node.inputs[1], draft.graph.constants
    if constants[name].dtype == tail.scale.dtype and bool((tail.scale == 1).all()):
        return name
    layout = (node.operator, node.attributes.get("transB", 0), node.attributes.get("group", 1))
    key = (name, *layout, tail.scale.tobytes())
    if key not in made:
        made[key] = f"{name}@{tail.tensor}"
        draft.constants[made[key]] = describe.scaled(node, constants[name], tail.scale)
    return made[key]


def joined(node: Node, weight: str, bias: str, tail: Tail) -> Node:
    """The linear node with the weight and bias that its tail makes of its own."""
    attributes = {k: v for k, v in node.attributes.items() if k not in ("alpha", "beta")}
    return replace(
        node,
        inputs=(node.inputs[0], weight, bias),
        attributes=attributes,
        sources=(*node.sources, *tail.sources),
    )


def walk(draft: Draft, node: Node, describe: Layout) -> Tail | None:
    """The tail of a linear node: its only reader, the only reader of that, and so on.

    They are followed while they move, scale or shift the channels. None where the weight or the
    bias is no constant, or it is not known where the channels lie.
    """
    graph = draft.graph
    weight = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or weight.ndim < 2:
        return None
    rank = graph.type(node.outputs[0]).rank or describe.rank(weight)
    bias = _own_bias(graph, node, describe, weight)
    if weight.dtype.kind != "f" or rank is None or bias is None:
        return None
    channels = describe.channels(node, weight)
    wide = np.result_type(weight.dtype, np.float32)
    scale = np.full(channels, node.attributes.get("alpha", 1.0), wide)
    where = ChannelAxes((describe.axis % rank,), rank, (channels,))
    tail = Tail(node.outputs[0], where, scale, bias.astype(wide))
    while (user := draft.only_reader(tail.tensor)) is not None:
        moved = (
            MOVES[user.operator](graph, user, tail.channel_axes) if user.operator in MOVES else None
        )
        if moved is not None:
            tail.move(user.outputs[0], moved)
            continue
        affine = _affine(graph, user, tail)
        if affine is None:
            break
        tail.absorb(user, *affine)
    return tail


def settle_moved(draft: Draft, tail: Tail) -> None:
    """Give tensors that are moved before they are scaled the values that they have once all is
    joined: the model makes others."""
    for tensor in tail.moved:
        name = made = tensor.name
        for op_type, amount, idle in (("Mul", tensor.scale, 1), ("Add", tensor.shift, 0)):
            if (amount == idle).all():
                continue
            laid = f"{name}@{op_type}"
            draft.constants[laid] = lay(amount, tensor.channel_axes)
            draft.computed[f"{laid}@"] = Computed(op_type, (made, laid), name)
            made = f"{laid}@"
        if made != name:
            draft.rename(name, made)


def lay(amount: Array, where: ChannelAxes) -> Array:
    """[channels] in a shape that broadcasts to a tensor whose channels lie along these axes."""
    by_axis = amount.reshape(where.sizes).transpose(np.argsort(where.axes))
    shape = [1] * where.rank
    for axis, size in zip(where.axes, where.sizes, strict=True):
        shape[axis] = size
    return by_axis.reshape(shape)


def _own_bias(graph: Graph, node: Node, describe: Layout, weight: Array | None) -> Array | None:
    """The node's bias as [channels]; None where it is no constant per channel."""
    if weight is None:
        return None
    channels = describe.channels(node, weight)
    if len(node.inputs) < 3:
        return np.zeros(channels, weight.dtype)
    given = graph.constants.get(node.inputs[2])
    if (
        given is None
        or given.size not in (1, channels)
        or given.shape[-1:] not in ((channels,), (1,), ())
    ):
        return None
    beta = weight.dtype.type(node.attributes.get("beta", 1.0))
    return np.broadcast_to(given.reshape(-1) * beta, (channels,)).astype(weight.dtype)


def _affine(graph: Graph, node: Node, tail: Tail) -> tuple[Array, Array] | None:
    """(scale, shift) per channel of a Neg, BatchNormalization or constant Add, Sub, Mul, Div."""
    one, zero = np.ones_like(tail.scale), np.zeros_like(tail.shift)
    if node.operator == "BatchNormalization":
        return _batch_norm(graph, node, tail)
    if node.operator == "Neg":
        return -one, zero
    if node.operator not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    first = node.inputs[0] == tail.tensor
    other = graph.constants.get(node.inputs[1 if first else 0])
    if other is None or node.inputs[0] == node.inputs[1]:
        return None
    value = per_channel(other, tail)
    if value is None:
        return None
    if node.op_type == "Add":
        return one, value
    if node.op_type == "Sub":
        return (one, -value) if first else (-one, value)
    if node.op_type == "Mul":
        return value, zero
    if not first or not value.all():
        return None
    return 1 / value, zero


def per_channel(constant: Array, tail: Tail) -> Array | None:
    """The constant as [channels] if it varies along the channels' axes only."""
    where = tail.channel_axes
    if constant.ndim > where.rank:
        return None
    shape = (1,) * (where.rank - constant.ndim) + constant.shape
    if any(n != 1 for i, n in enumerate(shape) if i not in where.axes):
        return None
    own = tuple(shape[axis] for axis in where.axes)
    if any(n not in (1, size) for n, size in zip(own, where.sizes, strict=True)):
        return None
    ordered = np.argsort(np.argsort(where.axes))
    by_axis = constant.reshape([shape[axis] for axis in sorted(where.axes)]).transpose(ordered)
    spread = np.broadcast_to(by_axis, where.sizes).reshape(-1)
    return spread.astype(tail.scale.dtype)


def _batch_norm(graph: Graph, node: Node, tail: Tail) -> tuple[Array, Array] | None:
    statistics = [graph.constants.get(i) for i in node.inputs[1:5]]
    if (
        tail.channel_axes.axes != (1,)
        or node.attributes.get("training_mode", 0)
        or len(statistics) != 4
    ):
        return None
    if any(s is None or s.shape != tail.scale.shape for s in statistics):
        return None
    gamma, beta, mean, variance = (np.asarray(s, np.float64) for s in statistics)
    scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return scale.astype(tail.scale.dtype), (beta - mean * scale).astype(tail.scale.dtype)
