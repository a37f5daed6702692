"""From a loaded model to the graph rules read: inline, expand, fold, infer, join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, ValueInfoProto, helper, inliner, shape_inference

from backtrace_onnx import registry
from backtrace_onnx.errors import ModelError
from backtrace_onnx.graph import Graph, Node, TensorType
from backtrace_onnx.join import join
from backtrace_onnx.model import Model, captured, sort_nodes, subgraphs
from backtrace_onnx.sessions import initializer, make_session, stays_inline

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
SAMPLES = "samples"


def prepare(model: Model, protect: frozenset[str] = frozenset()) -> tuple[Model, Graph]:
    """The model that runs (functions inlined, operators expanded) and the graph rules read.

    Tensors in `protect` keep a relevance of their own: nothing is joined across them.
    Raises ModelError where the model cannot be prepared.
    """
    model = _inlined(model)
    model = _expanded(model)
    constants = _fold(model)
    types = _infer(model)
    nodes = tuple(
        _node(proto, model.opsets)
        for proto in model.proto.graph.node
        if not set(filter(None, proto.output)) <= constants.keys()
    )
    fed = [x.name for x in model.proto.graph.input if x.name not in model.weights]
    graph = Graph(
        nodes,
        tuple(fed),
        tuple(o.name for o in model.proto.graph.output),
        constants,
        types,
        model.opsets,
    )
    return model, join(graph, protect)


def _inlined(model: Model) -> Model:
    """Local functions inlined, but for those that have a rule of their own."""
    functions = model.proto.functions
    if not functions:
        return model
    kept = [
        (f.domain, f.name, f.overload)
        for f in functions
        if registry.lookup(f.domain, f.name, 1 << 30)
    ]
    try:
        if kept:
            proto = inliner.inline_selected_functions(
                model.proto, [k if k[2] else k[:2] for k in kept], exclude=True
            )
        else:
            proto = inliner.inline_local_functions(model.proto, convert_version=False)
    except Exception as error:  # the inliner raises its own C++ exceptions
        raise ModelError(f"{model.name}: its local functions cannot be inlined ({error})") from None
    return _replaced(model, proto)


def _expanded(model: Model) -> Model:
    """Operators without a rule, but with a schema body, replaced by that body."""
    for _ in range(8):
        wanted = {
            (node.domain, node.op_type)
            for node in model.proto.graph.node
            if not _has_rule(node, model.opsets) and _has_body(node, model.opsets)
        }
        if not wanted:
            return model
        try:
            proto = inliner.inline_selected_functions(
                model.proto, sorted(wanted), exclude=False, inline_schema_functions=True
            )
        except Exception:  # cannot be expanded: stays, and is reported as unsupported
            return model
        if len(proto.graph.node) == len(model.proto.graph.node):
            return model
        model = _replaced(model, proto)
    return model


def _replaced(model: Model, proto: onnx.ModelProto) -> Model:
    from backtrace_onnx.model import _name_nodes

    _name_nodes(proto.graph)
    sort_nodes(proto.graph, model.name)
    return Model(proto, model.weights, model.name, model.folder, model.aside)


def _has_rule(node: onnx.NodeProto, opsets: dict[str, int]) -> bool:
    domain = _canonical(node.domain)
    return registry.lookup(domain, node.op_type, opsets.get(domain, 1)) is not None


def _has_body(node: onnx.NodeProto, opsets: dict[str, int]) -> bool:
    domain = _canonical(node.domain)
    if node.op_type not in _bodies() or domain not in ("", "ai.onnx.ml"):
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _bodies() -> frozenset[str]:
    return frozenset(
        s.name
        for s in onnx.defs.get_all_schemas()
        if s.has_function or s.has_context_dependent_function
    )


def _node(proto: onnx.NodeProto, opsets: dict[str, int]) -> Node:
    domain = _canonical(proto.domain)
    inputs = (
        (*proto.input, *sorted(captured(proto))) if any(subgraphs(proto)) else tuple(proto.input)
    )
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return Node(
        proto.name,
        domain,
        proto.op_type,
        opsets.get(domain, 1),
        tuple(inputs),
        tuple(proto.output),
        {a.name: _attribute(a) for a in proto.attribute},
        (proto.name,),
    )


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.type in (attribute.INTS, attribute.FLOATS):
        return tuple(value)
    if attribute.type == attribute.STRINGS:
        return tuple(v.decode("utf-8", "replace") for v in value)
    return value


def _fold(model: Model) -> dict[str, npt.NDArray[Any]]:
    """Value of every tensor that depends on no input, computed once by onnxruntime."""
    constants: dict[str, npt.NDArray[Any]] = dict(model.weights)
    known = set(constants) | {""}
    computed: list[onnx.NodeProto] = []
    for node in model.proto.graph.node:
        if node.op_type in _RANDOM or any(subgraphs(node)):
            continue
        if all(i in known for i in node.input):
            computed.append(node)
            known.update(node.output)
    wanted = _frontier(model, computed)
    if not wanted:
        return constants
    needed, nodes = set(wanted), []
    for node in reversed(computed):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    used = {name: w for name, w in model.weights.items() if name in needed}
    graph = helper.make_graph(
        nodes[::-1],
        "constants",
        [],
        [ValueInfoProto(name=name) for name in wanted],
        [initializer(name, w) for name, w in used.items()],
    )
    proto = helper.make_model(
        graph,
        opset_imports=model.proto.opset_import,
        ir_version=_ir(model),
        functions=model.proto.functions,
    )
    aside = {name: w for name, w in used.items() if not stays_inline(w)}
    try:
        session = make_session(proto, aside, optimise=False)
        values = session.run(wanted, {})
    except Exception as error:  # onnxruntime raises many types
        raise ModelError(
            f"{model.name}: its constants cannot be computed ({_short(error)})"
        ) from None
    constants.update(
        {k: v for k, v in zip(wanted, values, strict=True) if isinstance(v, np.ndarray)}
    )
    return constants


def _frontier(model: Model, computed: Sequence[onnx.NodeProto]) -> list[str]:
    """Folded tensors that other nodes, or the model's outputs, read."""
    made = {out for node in computed for out in node.output if out}
    inside = {id(node) for node in computed}
    read = {
        name
        for node in model.proto.graph.node
        if id(node) not in inside
        for name in (*node.input, *captured(node))
    }
    read |= {o.name for o in model.proto.graph.output}
    return sorted(made & read)


def _ir(model: Model) -> int:
    return min(model.proto.ir_version or 8, 13)


def _infer(model: Model) -> dict[str, TensorType]:
    """Types and shapes of all tensors, as far as shape inference finds them."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    _mark_samples(proto)
    try:
        proto = shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # inference is help, not a condition
        pass
    types = {
        value.name: _type(value.type)
        for value in (*proto.graph.value_info, *proto.graph.output, *proto.graph.input)
    }
    for name, weight in model.weights.items():
        types[name] = TensorType(_element(weight), weight.shape)
    return types


def _mark_samples(proto: onnx.ModelProto) -> None:
    """Name the open first axis of every input, so that inference carries it through the graph."""
    weights = {t.name for t in proto.graph.initializer}
    symbol = None
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in weights or not dims or dims[0].HasField("dim_value"):
            continue
        symbol = symbol or dims[0].dim_param or SAMPLES
        if not dims[0].dim_param:
            dims[0].dim_param = symbol


def _element(array: npt.NDArray[Any]) -> int:
    try:
        return int(helper.np_dtype_to_tensor_dtype(array.dtype))
    except (KeyError, ValueError):
        return int(TensorProto.UNDEFINED)


def _type(proto: onnx.TypeProto) -> TensorType:
    if not proto.HasField("tensor_type"):
        return TensorType()
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(tensor.elem_type)
    return TensorType(
        tensor.elem_type,
        tuple(
            d.dim_value if d.HasField("dim_value") else (d.dim_param or None)
            for d in tensor.shape.dim
        ),
    )


def _canonical(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _short(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
