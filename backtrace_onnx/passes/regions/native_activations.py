"""Functions whose own scalar shift comes first or last: Sigmoid, Tanh and HardSigmoid written out.

A shift is a bias, unless with it the nodes around are exactly one of these native functions:
0.5 (1 + tanh(x / 2)), 2 sigmoid(2 x) - 1, clip(x + 3, 0, 6) / 6.
"""

from __future__ import annotations

from collections.abc import Iterator

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.regions import kinds
from backtrace_onnx.passes.regions.chains import following, kind_of
from backtrace_onnx.passes.regions.identification import may_saturate, native_of
from backtrace_onnx.passes.rewriter import Draft

_BOUNDING = frozenset({"Clip", "Max", "Min", "Relu"})
_LONGEST = 4


def read_natives(graph: Graph) -> Graph:
    """The graph in which what is such a function only together with its shift is one region."""
    draft = Draft(graph)
    for at in range(len(draft.nodes)):
        node = draft.nodes[at]
        if node is None or at not in draft.living:
            continue
        if kind_of(draft, node) in ("function", "bound") and _may_be_native(node):
            members = next(_natives(draft, node), None)
            if members is not None:
                draft.merge(members, [member.outputs[0] for member in members])
    return draft.finished()


def _may_be_native(node: Node) -> bool:
    return may_saturate(kinds(node)) or _bounds(node)


def _bounds(node: Node) -> bool:
    return kinds(node) <= _BOUNDING


def _natives(draft: Draft, node: Node) -> Iterator[list[Node]]:
    """Nodes around this one that are a native function together, most of them first."""
    before, after = _before(draft, node), _after(draft, node)
    if not _bounds(node):
        before = _without_shift(draft, before)
    for first in range(len(before) + 1):
        for last in range(len(after), -1, -1):
            around = (*before[first:], *after[:last])
            if not any(kind_of(draft, member) == "shift" for member in around):
                continue
            members = [*before[first:], node, *after[:last]]
            native = native_of(draft.region(members), draft.graph)
            if native is not None and native.scale > 0:  # 1 - z stays a difference, as in (1 - z) n
                yield members


def _before(draft: Draft, node: Node) -> list[Node]:
    """Scalar factors and shifts straight before a node, first one first."""
    found: list[Node] = []
    maker = draft.maker(draft.uses(node)[0])
    while maker is not None and len(found) < _LONGEST and _is_affine(draft, maker):
        if following(draft, maker) is None:
            break
        found.append(maker)
        maker = draft.maker(draft.uses(maker)[0])
    return found[::-1]


def _after(draft: Draft, node: Node) -> list[Node]:
    found: list[Node] = []
    follower = following(draft, node)
    while follower is not None and len(found) < _LONGEST and _is_affine(draft, follower):
        found.append(follower)
        follower = following(draft, follower)
    return found


def _without_shift(draft: Draft, before: list[Node]) -> list[Node]:
    """What comes after the last shift: only bounds have one of their own before them."""
    shifts = [i for i, member in enumerate(before) if kind_of(draft, member) == "shift"]
    return before[shifts[-1] + 1 :] if shifts else before


def _is_affine(draft: Draft, node: Node) -> bool:
    return kind_of(draft, node) in ("factor", "shift", "neutral")


__all__ = ["read_natives"]
