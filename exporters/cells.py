"""Recurrent cells that a converter wrote out: their bias put where the native operator has it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper


def settle_biases(graph: onnx.GraphProto) -> None:
    """In loops, x W + h R + b, h a state, becomes (x W + b) + h R: as LSTM and RNN read it."""
    for node in graph.node:
        for body in _bodies(node):
            _settle(body)
            settle_biases(body)


def _settle(body: onnx.GraphProto) -> None:
    states = {value.name for value in body.input}
    makers = {out: node for node in body.node for out in node.output}
    readers = [name for node in body.node for name in node.input]
    readers += [value.name for value in body.output]
    instead: dict[int, list[onnx.NodeProto]] = {}
    for add in body.node:
        product = makers.get(add.input[0]) if add.op_type == "Add" else None
        if product is None or product.op_type != "Gemm" or len(product.input) < 3:
            continue
        other = makers.get(product.input[2])
        if other is not None and other.op_type in ("Reshape", "Squeeze"):
            other = makers.get(other.input[0])
        fixed = add.input[1] not in makers and add.input[1] not in states
        if other is None or not fixed or readers.count(product.output[0]) != 1:
            continue
        recurrent = other.op_type == "MatMul" and other.input[0] in states
        if recurrent and product.input[0] not in states and _is_plain(product):
            instead[id(product)] = []
            instead[id(add)] = _apart(product, add)
    nodes = [new for node in body.node for new in instead.get(id(node), [node])]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del body.node[:]
    body.node.extend(kept)


def _apart(product: onnx.NodeProto, add: onnx.NodeProto) -> list[onnx.NodeProto]:
    x, w, recurrent = product.input
    biased = f"{product.output[0]}/biased"
    gemm = helper.make_node("Gemm", [x, w, add.input[1]], [biased], name=product.name)
    gemm.attribute.extend(product.attribute)
    return [gemm, helper.make_node("Add", [biased, recurrent], add.output, name=add.name)]


def _is_plain(gemm: onnx.NodeProto) -> bool:
    return all(a.f == 1.0 for a in gemm.attribute if a.name in ("alpha", "beta"))


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
