"""What exporters write that is no ONNX, put right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import pi, sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.body_names import part_names
from backtrace_onnx.exporters.trials import BATCH
from backtrace_onnx.model.sessions import MAX_IR, newest_opset


def repair(proto: onnx.ModelProto) -> None:
    """Write Erfc as 1 - Erf, part names, and bring the IR version to what onnxruntime loads."""
    proto.ir_version = min(proto.ir_version or 8, MAX_IR)
    _rewrite_foreign(proto.graph)
    part_names(proto.graph)
    _drop_unused_opsets(proto)
    _name_open_axes(proto)


def check_opset(opset: int, newest: int, exporter: str) -> None:
    """Raises ExportError for an opset that the exporter, or onnxruntime, is known not to do."""
    limit = min(newest, newest_opset())
    if not 7 <= opset <= limit:
        raise ExportError(
            f"opset {opset}: {exporter} and the installed onnxruntime do 7 to {limit} together; "
            "leave it out for a good choice"
        )


def name_axes(proto: onnx.ModelProto, wanted: Mapping[str, Mapping[int, str]]) -> None:
    """Rename the symbols of open axes everywhere: `batch` instead of `s77`."""
    names: dict[str, str] = {}
    for value in proto.graph.input:
        for axis, name in wanted.get(value.name, {}).items():
            dim = value.type.tensor_type.shape.dim[axis]
            if dim.dim_param:
                names.setdefault(dim.dim_param, name)
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    for dim in _dims(values):
        if dim.dim_param:
            dim.dim_param = re.sub(r"\w+", lambda m: names.get(m[0], m[0]), dim.dim_param)


def _name_open_axes(proto: onnx.ModelProto) -> None:
    """Call the open first axis of inputs `batch`, and forget tf2onnx's numbers of unknown sizes."""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param.startswith("unk__") or dim.dim_value < 0:
                dim.Clear()
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value") and not dims[0].dim_param:
            dims[0].dim_param = BATCH


def _dims(values: Iterable[onnx.ValueInfoProto]) -> Iterable[onnx.TensorShapeProto.Dimension]:
    for value in values:
        yield from value.type.tensor_type.shape.dim


def _rewrite_foreign(graph: onnx.GraphProto) -> None:
    """tf2onnx writes the exact GELU with operators that no opset has: Erfc, and TFLite's own."""
    if not any(node.op_type in _FOREIGN for node in graph.node):
        return
    types = _types(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _FOREIGN[node.op_type](node, types, graph) if node.op_type in _FOREIGN else [node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """Element types of tensors, as far as they are stated, or follow from inputs that are numbers.

    tf2onnx states none; all operands of arithmetic are of the type that it makes.
    """
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input)}
    types |= {t.name: t.data_type for t in graph.initializer}
    for node in graph.node:
        own = {a.name: a for a in node.attribute}
        if node.op_type == "Cast":
            types[node.output[0]] = own["to"].i
        elif node.op_type == "Constant" and "value" in own:
            types[node.output[0]] = own["value"].t.data_type
        elif node.op_type in _ONE_TYPE:
            known = next((types[name] for name in node.input if types.get(name)), 0)
            types |= {name: known for name in node.output if known and not types.get(name)}
    return types


def _one_minus_erf(
    node: onnx.NodeProto, types: Mapping[str, int], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    known = types.get(node.input[0]) or types.get(node.output[0]) or TensorProto.FLOAT
    one, inner = f"{node.output[0]}/one", f"{node.output[0]}/erf"
    graph.initializer.append(
        numpy_helper.from_array(np.ones((), helper.tensor_dtype_to_np_dtype(known)), one)
    )
    return [
        helper.make_node("Erf", node.input, [inner], name=f"{node.name}/Erf"),
        helper.make_node("Sub", [one, inner], node.output, name=f"{node.name}/Sub"),
    ]


def _gelu(
    node: onnx.NodeProto, types: Mapping[str, int], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """0.5 x (1 + erf(x / sqrt 2)), or with tanh where the node says that it is approximate."""
    (x,), (y,) = node.input, node.output
    known = types.get(x) or types.get(y) or TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(known)
    made: list[onnx.NodeProto] = []

    def constant(name: str, value: float) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), f"{y}/{name}"))
        return f"{y}/{name}"

    def add(op_type: str, *inputs: str, out: str = "") -> str:
        name = out or f"{y}/gelu{len(made)}"
        made.append(helper.make_node(op_type, inputs, [name], name=f"{node.name}/{len(made)}"))
        return name

    if any(a.name == "approximate" and a.i for a in node.attribute):
        cube = add("Mul", add("Mul", add("Mul", x, x), x), constant("cubic", 0.044715))
        inner = add("Tanh", add("Mul", add("Add", x, cube), constant("scale", sqrt(2 / pi))))
    else:
        inner = add("Erf", add("Mul", x, constant("scale", sqrt(0.5))))
    shifted = add("Add", inner, constant("one", 1.0))
    add("Mul", add("Mul", x, constant("half", 0.5)), shifted, out=y)
    return made


_ONE_TYPE = frozenset(
    {"Add", "AveragePool", "BatchNormalization", "Conv", "Div", "Erf", "Erfc", "Gemm", "Identity"}
    | {"MatMul", "MaxPool", "Mul", "Relu", "Reshape", "Sub", "TFL_GELU", "Transpose"}
)
_FOREIGN = {"Erfc": _one_minus_erf, "TFL_GELU": _gelu}


def _drop_unused_opsets(proto: onnx.ModelProto) -> None:
    """Forget imported domains that no node uses, as far as the graph and its functions tell."""
    used = {"", "ai.onnx"} | {f.domain for f in proto.functions}
    used |= {node.domain for node in _nodes(proto.graph)}
    used |= {node.domain for f in proto.functions for node in f.node}
    kept = [o for o in proto.opset_import if o.domain in used]
    imports = [helper.make_opsetid(o.domain, o.version) for o in kept]
    del proto.opset_import[:]
    proto.opset_import.extend(imports)


def _nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)
