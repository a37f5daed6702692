"""What skl2onnx writes besides the numbers: maps, and labels that do not lie flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx.exporters.comparing import Array
from backtrace_onnx.exporters.sklearn_parts import parts

_LABEL = ("label", "output_label")


def settle_outputs(proto: onnx.ModelProto) -> None:
    """Give back tensors instead of maps, and call them label and probabilities."""
    _unzip(proto.graph)
    outputs = proto.graph.output
    if len(outputs) == 2 and outputs[0].name == _LABEL[1]:
        _rename(proto.graph, {_LABEL[0]: f"{_LABEL[0]}/index", _LABEL[1]: _LABEL[0]})


def name_inputs(proto: onnx.ModelProto, columns: Sequence[str]) -> None:
    """Give the inputs the columns' own names, of which skl2onnx keeps letters and digits only."""
    given = [value.name for value in proto.graph.input]
    new = dict(zip(given, columns, strict=False)) if len(given) == len(columns) else {}
    changed = {name: column for name, column in new.items() if name != column}
    made = {name for node in proto.graph.node for name in node.output}
    if changed and not made.intersection(changed.values()):
        _rename(proto.graph, changed)
        for value in proto.graph.input:
            value.name = changed.get(value.name, value.name)


def flatten_labels(proto: onnx.ModelProto, labels: Array) -> None:
    """Labels that come as [rows, 1] or [1, rows], as [rows]; several labels a row stay."""
    value = proto.graph.output[0]
    if len(proto.graph.output) != 2 or labels.ndim != 2 or 1 not in labels.shape:
        return
    if value.name != _LABEL[0] or len(labels) == labels.size == 1:
        return
    shape = f"{value.name}/flat"
    proto.graph.initializer.append(numpy_helper.from_array(np.array([-1]), shape))
    _behind(proto.graph, value, "Reshape", shape)
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, [None]))


def correct_shapes(proto: onnx.ModelProto, found: Sequence[Array]) -> None:
    """State the sizes that outputs really have: skl2onnx says 2 of one column of scores."""
    for value, y in zip(proto.graph.output, found, strict=False):
        dims = value.type.tensor_type.shape.dim
        wrong = [
            d.HasField("dim_value") and d.dim_value != n
            for d, n in zip(dims, y.shape, strict=False)
        ]
        if len(dims) != y.ndim or any(wrong):
            shape = [None, *y.shape[1:]]
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))


def turn_scores(proto: onnx.ModelProto, scores: Array, second: Array) -> None:
    """Scores (s, -s) or (s) of two classes as (-s, s), where s speaks for the second class.

    onnxruntime's SVMClassifier has them the other way round, so that the larger score would be of
    the class that was not predicted; of one column nobody could ask for the first class.
    """
    if scores.size == len(second) and np.allclose(scores.ravel(), second, rtol=1e-3, atol=1e-6):
        _mirror(proto.graph, proto.graph.output[1], standing=scores.ndim > 1)
    if scores.shape != (len(second), 2) or not np.allclose(scores[:, 0], second, rtol=1e-3):
        return
    if np.allclose(scores[:, 1], -second, rtol=1e-3) and np.abs(second).max() > 0:
        value = proto.graph.output[1]
        order = f"{value.name}/order"
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), order))
        _behind(proto.graph, value, "Gather", order, axis=1)


def _mirror(graph: onnx.GraphProto, value: onnx.ValueInfoProto, *, standing: bool) -> None:
    """A column [rows, 1], or [rows], behind its negative."""
    name, kind = value.name, value.type.tensor_type.elem_type
    inner, turned = f"{name}/inner", f"{name}/turned"
    if not standing:
        axis = f"{name}/axis"
        graph.initializer.append(numpy_helper.from_array(np.array([1]), axis))
        _behind(graph, value, "Unsqueeze", axis)
    _rename(graph, {name: inner})
    graph.node.append(helper.make_node("Neg", [inner], [turned], name=turned))
    graph.node.append(
        helper.make_node("Concat", [turned, inner], [name], name=f"{name}/Concat", axis=1)
    )
    value.CopyFrom(helper.make_tensor_value_info(name, kind, [None, 2]))


def label_by_scores(proto: onnx.ModelProto) -> None:
    """Labels by the scores, as scikit-learn has them, not by the shares that Clip made of them.

    These are alike where all scores are cut off (modified Huber loss of several classes).
    """
    producers = {name: node for node in proto.graph.node for name in node.output}
    for node in proto.graph.node:
        tensor, way = node.input[0] if node.input else "", list[str]()
        while node.op_type == "ArgMax" and tensor in producers and way[-1:] != ["Clip"]:
            way.append(producers[tensor].op_type)
            tensor = producers[tensor].input[0]
        if way == ["Div", "Add", "Div", "Add", "Clip"]:
            node.input[0] = tensor


def _behind(
    graph: onnx.GraphProto, value: onnx.ValueInfoProto, op_type: str, second: str, **options: Any
) -> None:
    """One more node before an output, which keeps its name."""
    name, inner = value.name, f"{value.name}/inner"
    _rename(graph, {name: inner})
    made = helper.make_node(op_type, [inner, second], [name], name=f"{name}/{op_type}", **options)
    graph.node.append(made)
    value.name = name


def settle_discriminants(proto: onnx.ModelProto, model: Any) -> None:
    """Two classes by sigmoid(s), as scikit-learn has them; skl2onnx has softmax((-s, s))."""
    known = [
        part.coef_.ravel()
        for part in parts(model)
        if type(part).__name__ == "LinearDiscriminantAnalysis" and len(part.classes_) == 2
    ]
    for node in proto.graph.node:
        if node.op_type == "LinearClassifier":
            given = {a.name: a for a in node.attribute}
            second = np.array(given["coefficients"].floats)[
                len(given["coefficients"].floats) // 2 :
            ]
            if any(w.shape == second.shape and np.allclose(w, second, 1e-5) for w in known):
                given["post_transform"].s = b"LOGISTIC"


def guard_powers(proto: onnx.ModelProto, model: Any) -> None:
    """Keep Yeo and Johnson's two branches from NaN where the other one is taken.

    Both read numbers of 1 and more where they count, so that a lower bound of 1 changes nothing.
    """
    if not any(getattr(part, "method", "") == "yeo-johnson" for part in parts(model)):
        return
    graph = proto.graph
    read = {kind: {n.input[0] for n in graph.node if n.op_type == kind} for kind in ("Log", "Pow")}
    for name in sorted(read["Log"] & read["Pow"]):
        low, bounded = f"{name}/low", f"{name}/bounded"
        graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), low))
        for node in graph.node:
            if node.op_type in read and node.input[0] == name:
                node.input[0] = bounded
        maker = next(i for i, n in enumerate(graph.node) if name in n.output)
        clip = helper.make_node("Clip", [name, low], [bounded], name=bounded)
        graph.node.insert(maker + 1, clip)


def _unzip(graph: onnx.GraphProto) -> None:
    """Drop every ZipMap that is an output; the tensor that it reads is the output instead."""
    shown = {value.name: value for value in graph.output}
    for node in [n for n in graph.node if n.op_type == "ZipMap" and n.output[0] in shown]:
        value = shown[node.output[0]]
        graph.node.remove(node)
        classes = sum(len(a.ints) + len(a.strings) for a in node.attribute) or None
        shape = [None, classes]
        value.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, shape))
        taken = {name for other in graph.node for name in (*other.input, *other.output)}
        taken |= {v.name for v in (*graph.input, *graph.output)}
        if value.name != "probabilities" and "probabilities" not in taken:
            _rename(graph, {value.name: "probabilities"})


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
