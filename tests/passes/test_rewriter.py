"""What becomes of inner tensors where nodes are merged, by one pass and by the next."""

from __future__ import annotations

from backtrace_onnx.graph.graph import Graph, Node, TensorType
from backtrace_onnx.passes.rewriter import Draft


def _chain() -> Graph:
    """x -> Abs a -> Neg b -> Exp c -> Relu y, tensors named after their nodes."""
    steps = {"a": "Abs", "b": "Neg", "c": "Exp", "y": "Relu"}
    nodes = tuple(
        Node(name, "", op_type, 18, (before,), (name,), {}, (name,))
        for (name, op_type), before in zip(steps.items(), "xabc", strict=True)
    )
    return Graph(nodes, ("x",), ("y",), {}, dict.fromkeys("xabcy", TensorType(1, (3,))), {"": 18})


def _merged(graph: Graph, *names: str, alike: tuple[str, ...] = ()) -> Graph:
    draft = Draft(graph, graph.outputs)
    draft.merge([node for node in graph.nodes if node.name in names], alike)
    return draft.finished()


def test_tensors_inside_are_aliases_or_hidden() -> None:
    found = _merged(_chain(), "a", "b", "c", alike=("b", "c"))
    assert [node.name for node in found.nodes] == ["c", "y"]
    assert (found.aliases, found.hidden) == ({"b": "c"}, {"a": "c"})


def test_a_second_pass_keeps_what_the_first_one_hid() -> None:
    first = _merged(_chain(), "a", "b")
    assert (first.aliases, first.hidden) == ({}, {"a": "b"})
    assert Draft(first, first.outputs).finished() == first
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
