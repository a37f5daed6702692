"""Names of tensors inside of loops and branches that tensors outside have, too."""

from __future__ import annotations

from collections.abc import Iterator

import onnx


def part_names(graph: onnx.GraphProto) -> None:
    """Rename what a body makes under the name of a tensor outside, which ONNX does not allow.

    Keras traces the first step of a masked recurrent layer outside of its loop, under the same
    names as those inside.
    """
    _part(graph, set())


def _part(graph: onnx.GraphProto, outer: set[str]) -> None:
    made = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    made |= {name for node in graph.node for name in node.output if name}
    taken = outer | made
    instead: dict[str, str] = {}
    for name in sorted(made & outer):
        instead[name] = _fresh(f"{name}@inner", taken)
        taken.add(instead[name])
    if instead:
        _rename(graph, instead)
    for node in graph.node:
        for body in _bodies(node):
            _part(body, taken)


def _rename(graph: onnx.GraphProto, instead: dict[str, str]) -> None:
    """Rename tensors in a graph, and in its bodies where these do not make another of the name."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = instead.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        node.output[:] = [instead.get(name, name) for name in node.output]
        for body in _bodies(node):
            own = {value.name for value in body.input} | {t.name for t in body.initializer}
            own |= {name for inner in body.node for name in inner.output}
            _rename(body, {old: new for old, new in instead.items() if old not in own})


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
