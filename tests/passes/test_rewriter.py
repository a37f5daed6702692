"""The tool by which passes rewrite what rules read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtrace_onnx.graph.graph import Computed, Graph, Node, TensorType
from backtrace_onnx.passes.rewriter import Draft


def _node(op_type: str, inputs: str, output: str) -> Node:
    return Node(
        f"make {output}", "", op_type, 18, tuple(inputs), (output,), {}, (f"make {output}",)
    )


def _graph() -> Graph:
    """x -> a -> b -> c -> y; a is read by a dead end and by its shape, too."""
    nodes = (
        _node("Relu", "x", "a"),
        _node("Shape", "a", "s"),
        _node("Neg", "a", "d"),
        _node("Mul", "ak", "b"),
        _node("Add", "bb", "c"),
        _node("Exp", "c", "y"),
    )
    return Graph(
        nodes, ("x",), ("y",), {"k": np.ones(1)}, {}, {"": 18}, {"h": "a"}, {"i": "make b"}
    )


def test_what_is_not_changed_is_the_same_graph() -> None:
    graph = _graph()
    assert Draft(graph).finished() is graph


def test_shapes_and_dead_ends_read_no_values() -> None:
    draft = Draft(_graph())
    assert draft.only_reader("a") is draft.nodes[3]
    assert draft.only_reader("b") is None  # read twice by one node
    assert draft.only_reader("y") is None
    assert draft.fixed("s") and draft.fixed("k") and not draft.fixed("b")
    kept = Draft(replace(_graph(), kept=frozenset("d")))
    assert kept.only_reader("a") is None
    assert Draft(replace(_graph(), kept=frozenset("a"))).only_reader("a") is None


def test_merged_nodes_are_seen_at_once() -> None:
    graph = _graph()
    draft = Draft(graph)
    draft.merge(graph.nodes[3:5], ["b"])
    made = draft.maker("c")
    assert made is not None and made.outputs == ("c",) and draft.maker("b") is None
    assert draft.only_reader("a") is made
    assert graph.readers["a"] == {3}  # the graph's own facts stay
    read = draft.finished()
    assert [n.op_type for n in read.nodes] == ["Relu", "Shape", "Neg", "Region", "Exp"]
    assert read.nodes[3].sources == ("make c", "make b")
    assert read.aliases == {"h": "a", "b": "c"} and read.hidden == {"i": "make c"}


def test_an_alias_of_what_is_hidden_is_hidden_with_it() -> None:
    graph = _graph()
    draft = Draft(graph)
    draft.replace([graph.nodes[0], graph.nodes[3]], _node("Mul", "xk", "b"))
    read = draft.finished()
    assert read.aliases == {} and read.hidden == {"i": "make b", "h": "make b", "a": "make b"}


def test_nodes_are_put_dropped_and_renamed() -> None:
    graph = _graph()
    draft = Draft(graph)
    draft.constants["two"] = np.full(1, 2)
    draft.computed["t"] = Computed("Mul", ("b", "two"), "b")
    draft.put(
        graph.nodes[4],
        replace(graph.nodes[3], name="twice", inputs=("b", "two"), outputs=("t",)),
        graph.nodes[4],
    )
    draft.drop(graph.nodes[2], graph.nodes[5])
    draft.put(graph.nodes[0])
    draft.rename("a", "r")
    draft.rename("r", "x")
    read = draft.finished()
    assert [(n.name, n.inputs, n.outputs) for n in read.nodes] == [
        ("make s", ("x",), ("s",)),
        ("make b", ("x", "k"), ("b",)),
        ("twice", ("b", "two"), ("t",)),
        ("make c", ("b", "b"), ("c",)),
        ("make y", ("c",), ("y",)),
    ]
    assert read.aliases == {"h": "x", "a": "x", "r": "x"}
    assert read.hidden == {"i": "make b", "d": "make y"}
    assert read.constants.keys() == {"k", "two"} and read.computed.keys() == {"t"}


# By one pass and by the next ------------------------------------------------------------------


def _chain() -> Graph:
    """x -> Abs a -> Neg b -> Exp c -> Relu y, tensors named after their nodes."""
    steps = {"a": "Abs", "b": "Neg", "c": "Exp", "y": "Relu"}
    nodes = tuple(
        Node(name, "", op_type, 18, (before,), (name,), {}, (name,))
        for (name, op_type), before in zip(steps.items(), "xabc", strict=True)
    )
    return Graph(nodes, ("x",), ("y",), {}, dict.fromkeys("xabcy", TensorType(1, (3,))), {"": 18})


def _merged(graph: Graph, *names: str, alike: tuple[str, ...] = ()) -> Graph:
    draft = Draft(graph)
    draft.merge([node for node in graph.nodes if node.name in names], alike)
    return draft.finished()


def test_tensors_inside_are_aliases_or_hidden() -> None:
    found = _merged(_chain(), "a", "b", "c", alike=("b", "c"))
    assert [node.name for node in found.nodes] == ["c", "y"]
    assert (found.aliases, found.hidden) == ({"b": "c"}, {"a": "c"})


def test_a_second_pass_keeps_what_the_first_one_hid() -> None:
    first = _merged(_chain(), "a", "b")
    assert (first.aliases, first.hidden) == ({}, {"a": "b"})
    assert Draft(first).finished() is first
    second = _merged(first, "c", "y", alike=("c",))
    assert (second.aliases, second.hidden) == ({"c": "y"}, {"a": "b"})


def test_what_was_inside_of_a_node_is_inside_of_what_that_became_part_of() -> None:
    first = _merged(_chain(), "a", "b", alike=("a",))
    assert (first.aliases, first.hidden) == ({"a": "b"}, {})
    alike, apart = _merged(first, "b", "c", alike=("b",)), _merged(first, "b", "c")
    assert (alike.aliases, alike.hidden) == ({"a": "c", "b": "c"}, {})
    assert (apart.aliases, apart.hidden) == ({}, {"a": "c", "b": "c"})
    hidden = _merged(_merged(_chain(), "a", "b"), "b", "c")
    assert hidden.hidden == {"a": "c", "b": "c"}
