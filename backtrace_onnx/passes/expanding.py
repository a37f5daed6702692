"""Operators without a rule replaced by what they stand for: a text of expansions/ or a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any

import numpy as np
import onnx
from onnx import helper

from backtrace_onnx.backends.symbols import Symbol
from backtrace_onnx.errors import CompileError, ModelError, RuleError
from backtrace_onnx.expansions.registry import Expansion, Ops, find, refused
from backtrace_onnx.graph.graph import Graph, Node, TensorType
from backtrace_onnx.graph.inference import infer
from backtrace_onnx.graph.node_reading import canonical, read_node
from backtrace_onnx.model.constant_folding import fold
from backtrace_onnx.model.loading import Model
from backtrace_onnx.model.opsets import OLDEST_OPSET, upgraded
from backtrace_onnx.model.topology import renamed
from backtrace_onnx.ops.op import Op
from backtrace_onnx.passes.dynamic_quantisation import floated
from backtrace_onnx.passes.runtime_types import stated
from backtrace_onnx.passes.schema_bodies import with_bodies
from backtrace_onnx.passes.whole_numbers import integer_products, on_floats
from backtrace_onnx.rules import registry

_ROUNDS = 8  # bodies of bodies


def expanded(model: Model) -> Model:
    """The model with every operator that has no rule, but a text or a body, replaced by that.

    Sums of whole numbers behind products that are now products of floats become floats, too. An
    operator whose text refuses it stays; `refusal` tells why.
    """
    products = integer_products(model)
    for _ in range(_ROUNDS):
        written = _with_texts(model)
        model = with_bodies(written)
        if model is written:
            break
    return on_floats(model, products)


def _with_texts(model: Model) -> Model:
    """The model with every operator that stands for a text replaced by that.

    Again and again, as the inputs of one may be known only by what another one stands for.
    """
    left: set[str] = set()
    while True:
        model = stated(model)
        nodes = model.proto.graph.node
        wanted = {node.name for node in nodes if _is_wanted(node, model.opsets)}
        if not wanted or wanted == left:
            return model
        model, left = _written(model, wanted), wanted


def _written(model: Model, wanted: set[str]) -> Model:
    """The model with the nodes of these names replaced, but for those whose text refuses them."""
    nodes_of = model.proto.graph.node
    keys = {(canonical(n.domain), n.op_type) for n in nodes_of if n.name in wanted}
    needed = max(found.opset for key in keys if (found := find(*key)))
    try:
        model = upgraded(model, max(needed, OLDEST_OPSET))
    except CompileError as error:
        raise ModelError(str(error)) from None
    model = floated(model)
    writer = _TextWriter(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.proto.graph.node:
        written = writer.written(node) if node.name in wanted else None
        nodes += [node] if written is None else written
    return model.with_nodes(nodes, writer.ops.constants)


def refusal(op: Op) -> str | None:
    """Why an operator is not expanded: it is refused, or its expansion refuses this node.

    None for operators that nobody says anything of.
    """
    reason = refused(op.node.domain, op.node.op_type)
    if reason is not None:
        return reason
    found = find(op.node.domain, op.node.op_type)
    if found is None:
        return None
    read = op.graph.consumers.keys() | set(op.graph.outputs)
    asked = replace(op, node=_asked(op.node, read))
    try:
        _checked(_apply(asked, found, Ops(np.float32, prefix=op.node.name)), asked.node)
    except RuleError as error:
        return str(error)
    return "its inputs are not known well enough to say it in standard operators"


def _asked(node: Node, read: Set[str]) -> Node:
    """The node without the names of outputs that nobody reads: no text need make these."""
    return replace(node, outputs=tuple(name if name in read else "" for name in node.outputs))


class _TextWriter:
    """Writes the texts of a model's nodes."""

    def __init__(self, model: Model) -> None:
        constants, _ = fold(model)
        graph = model.proto.graph
        taken = {name for node in graph.node for name in (node.name, *node.output)}
        taken |= {x.name for x in graph.input} | model.weights.keys()
        self.opsets, self.types = model.opsets, infer(model)
        nodes = tuple(read_node(node, self.opsets) for node in graph.node)
        self._read = {name for node in nodes for name in node.inputs}
        self._read |= {o.name for o in graph.output}
        self.graph = Graph(nodes, (), (), constants, self.types, self.opsets)
        self.ops = Ops(np.float32, prefix="", known=frozenset(taken), reserved=frozenset(taken))

    def written(self, proto: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """The nodes that stand for one; None where its text refuses it."""
        op = Op(_asked(read_node(proto, self.opsets), self._read), self.graph, frozenset())
        found = find(op.node.domain, op.node.op_type)
        before = len(self.ops.nodes)
        self.ops.dtype = _dtype(op)
        self.ops.scopes = [proto.name]
        try:
            made = _checked(_apply(op, found, self.ops), op.node)
        except RuleError:
            del self.ops.nodes[before:]
            self.ops.forget()
            return None
        nodes = _named(made, op.node, self.ops.nodes[before:])
        self.ops.forget()
        for node in nodes:
            node.metadata_props.extend(proto.metadata_props)
        return nodes


def _apply(op: Op, expansion: Expansion | None, ops: Ops) -> list[Any]:
    """The outputs of an operator's text; none where it has no text."""
    if expansion is None:
        return []
    _check_count(op, expansion.text)
    inputs = [Symbol(ops, name) if name else None for name in op.node.inputs]
    made = expansion.text(ops, op, *inputs)
    return list(made) if isinstance(made, tuple) else [made]


def _checked(made: list[Any], node: Node) -> list[Any]:
    """A text's outputs. Raises RuleError where one that is read is not among them."""
    given = [*made, *[None] * len(node.outputs)]
    for symbol, name in zip(given, node.outputs, strict=False):
        if name and symbol is None:
            raise RuleError(f"its output {name!r}, which is read, has no expansion")
    return made


def _check_count(op: Op, text: Any) -> None:
    """Raises RuleError for inputs that a newer onnxruntime has added to an operator."""
    kinds = [p.kind for p in signature(text).parameters.values()]
    taken = kinds.count(Parameter.POSITIONAL_OR_KEYWORD) - 2
    given = max((i + 1 for i, name in enumerate(op.node.inputs) if name), default=0)
    if Parameter.VAR_POSITIONAL not in kinds and given > taken:
        raise RuleError(f"it has {given} inputs, of which only the first {taken} are known here")


def _named(
    made: Sequence[Symbol | None], node: Node, nodes: Sequence[onnx.NodeProto]
) -> list[onnx.NodeProto]:
    """The nodes whose outputs have the names of the node's, with copies where one has two names."""
    inner = {name for written in nodes for name in written.output}
    copies, names = [], {}
    for symbol, name in zip(made, node.outputs, strict=False):
        if symbol is None or not name:
            continue
        if symbol.name in inner and symbol.name not in names:
            names[symbol.name] = name
        else:
            source = names.get(symbol.name, symbol.name)
            copies.append(helper.make_node("Identity", [source], [name], name=f"{name}/copy"))
    return [*(renamed(written, names) for written in nodes), *copies]


def _dtype(op: Op) -> Any:
    """NumPy dtype of the first float input; float32 where none is known."""
    kinds = (op.type(i) for i in range(len(op.node.inputs)) if op.has(i))
    known = (k.dtype for k in kinds if k.is_float and k.dtype != TensorType().dtype)
    found = next(known, None)
    return np.dtype(np.float32) if found is None else helper.tensor_dtype_to_np_dtype(found)


def _is_wanted(node: onnx.NodeProto, opsets: Mapping[str, int]) -> bool:
    domain = canonical(node.domain)
    found = find(domain, node.op_type)
    if found is None:
        return False
    if found.when:
        return any(given.name == found.when and given.i for given in node.attribute)
    return registry.lookup(domain, node.op_type, opsets.get(domain, 1)) is None
