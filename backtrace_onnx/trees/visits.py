"""How often the nodes of decision trees are visited: what exporters leave out, counted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from backtrace_onnx.errors import ModelError, RequestError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.graph.node_reading import canonical, read_node
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import first_line, make_session
from backtrace_onnx.trees.forest import Forest, read_listed
from backtrace_onnx.trees.leaf_numbers import ML, listed_numbers
from backtrace_onnx.trees.paths import Paths, find_paths, find_visits

_VOTES = {"TreeEnsembleRegressor": "target", "TreeEnsembleClassifier": "class"}


def count_visits(model: ModelLike, inputs: Mapping[str, Any]) -> onnx.ModelProto:
    """The model with `nodes_hitrates` that say how often these inputs visit each node of its trees.

    Explanations weigh what a tree expects before it asks by that. Trees numbered by root
    (TreeEnsemble) have no place for the counts of leaves and stay as they are.

    Args:
        inputs: arrays by input name; a few thousand samples like those the model was trained on.

    Raises RequestError where the model has no such trees, ModelError where it cannot run.
    """
    proto = _read(model)
    opsets = {canonical(o.domain): o.version for o in proto.opset_import}
    asked = {f"visits/{i}": node for i, node in enumerate(_ensembles(proto))}
    if not asked:
        raise RequestError(
            "the model has no TreeEnsembleRegressor or TreeEnsembleClassifier to count visits of"
        )
    nodes = {name: read_node(node, opsets) for name, node in asked.items()}
    found = {name: _paths(node) for name, node in nodes.items()}
    leaves = _run(proto, nodes, found, inputs)
    for name, node in asked.items():
        counts = np.bincount(
            leaves[name].astype(np.int64).ravel(), minlength=len(found[name].leaves)
        )
        forest = read_listed(nodes[name], _VOTES[node.op_type])
        visits = find_visits(forest, found[name].leaves, counts.astype(np.float64), node.name)
        write_visits(node, visits)
    return proto


def listed_forests(proto: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Forest]]:
    """The ensembles of a model whose nodes have a place for counts, and what is read of them."""
    opsets = {canonical(o.domain): o.version for o in proto.opset_import}
    for node in _ensembles(proto):
        yield node, read_listed(read_node(node, opsets), _VOTES[node.op_type])


def write_visits(node: onnx.NodeProto, visits: npt.NDArray[np.float64]) -> None:
    """Write counts, in the order of the nodes, in place of those that an ensemble has."""
    kept = [a for a in node.attribute if not a.name.startswith("nodes_hitrates")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("nodes_hitrates", visits.tolist())])


def _read(model: ModelLike) -> onnx.ModelProto:
    """A copy of the model, all weights within."""
    load(model)  # checks it
    if isinstance(model, onnx.ModelProto):
        copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
        return copy
    if isinstance(model, bytes | bytearray | memoryview):
        parsed: onnx.ModelProto = onnx.load_model_from_string(bytes(model))
        return parsed
    read: onnx.ModelProto = onnx.load(model)
    return read


def _ensembles(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for node in proto.graph.node:
        if node.domain == ML and node.op_type in _VOTES:
            yield node


def _paths(node: Node) -> Paths:
    return find_paths(read_listed(node, _VOTES[node.op_type]), node.name)


def _run(
    proto: onnx.ModelProto,
    nodes: Mapping[str, Node],
    found: Mapping[str, Paths],
    inputs: Mapping[str, Any],
) -> dict[str, Any]:
    """Numbers of the leaves reached, [samples, trees], by output name."""
    asking = onnx.ModelProto.FromString(proto.SerializeToString())
    for name, node in nodes.items():
        numbered = listed_numbers(node.attributes, found[name], _VOTES[node.op_type])
        x = f"{name}/x"
        asking.graph.node.append(helper.make_node("Cast", [node.inputs[0]], [x], to=_type(node)))
        asking.graph.node.append(
            helper.make_node("TreeEnsembleRegressor", [x], [name], domain=ML, **numbered)
        )
        asking.graph.output.append(onnx.ValueInfoProto(name=name))
    if not any(canonical(o.domain) == "" for o in asking.opset_import):
        asking.opset_import.append(helper.make_opsetid("", 18))
    try:
        session = make_session(asking)
        results = session.run(list(nodes), dict(inputs))
    except Exception as error:  # onnxruntime raises many types
        raise ModelError(f"visits cannot be counted: {first_line(error)}") from None
    return dict(zip(nodes, results, strict=True))


def _type(node: Node) -> int:
    """Type that the trees compare in: double where their thresholds are."""
    double = "nodes_values_as_tensor" in node.attributes
    return int(onnx.TensorProto.DOUBLE if double else onnx.TensorProto.FLOAT)
