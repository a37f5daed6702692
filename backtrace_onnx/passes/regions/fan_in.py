"""Regions where the uses of one tensor fan out and meet again in a tensor of its shape."""

from __future__ import annotations

from heapq import heappop, heappush

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import (
    EXPONENTIAL,
    LOGICAL,
    NORMALISING,
    POINTWISE,
    POOLING,
    REDUCING,
)
from backtrace_onnx.graph.regions import is_region, kinds
from backtrace_onnx.passes.regions.axis_tracking import ALLOWED, follow
from backtrace_onnx.passes.regions.dominators import Dominators
from backtrace_onnx.passes.regions.identification import native_of
from backtrace_onnx.passes.regions.varying_axes import Layouts
from backtrace_onnx.passes.rewriter import Draft
from backtrace_onnx.rules import registry

_KEEPS_SCALE = frozenset(["Abs", "Clip", "Neg", "Reciprocal", "Relu", "Sqrt"])
_BOUNDED = (POINTWISE | EXPONENTIAL | NORMALISING) - _KEEPS_SCALE - LOGICAL


def read_meetings(graph: Graph) -> Graph:
    """The graph with every smallest region whose ways meet again as one node.

    A tensor's uses fan out and meet in one tensor of its shape, with nothing between but
    elementwise operators, reductions that are broadcast back, and constants. A residual connection
    around elementwise operators is such a region; with a second source of data, or a linear layer
    between, there is none. Inner ones are merged first, in topological order.

    Ways that meet in a tensor with more axes (all differences of two entries) are followed on to
    where it is reduced again; there they are a region if that is a native function.
    """
    draft = Draft(graph)
    ways = Dominators()
    wider: dict[str, str] = {}
    for name in graph.inputs:
        ways.add(name, None)
    for at, node in enumerate(graph.nodes):
        uses = draft.uses(node)
        entry = ways.nearest(uses) if _allowed(node, draft) else None
        if entry is not None and at in draft.living:
            from_wider = wider.get(entry) if len(uses) == 1 else None
            start = from_wider or (entry if len(uses) > 1 else None)
            if start is not None and _read(draft, at, start, native=from_wider is not None):
                wider[node.outputs[0]] = start
        for output in filter(None, node.outputs):
            ways.add(output, entry)
    return draft.finished()


def _allowed(node: Node, draft: Draft) -> bool:
    if node.domain or node.op_type not in ALLOWED or draft.fixed(node.outputs[0]):
        return False
    has_rule = registry.lookup(node.domain, node.op_type, node.version) is not None
    return has_rule and not node.attributes.get("training_mode", 0)


def _read(draft: Draft, at: int, entry: str, *, native: bool = False) -> bool:
    """Merge what lies between a tensor and the node where its ways meet, if it is a region.

    Returns whether it is none yet: its output has more axes, or is no native function.

    Args:
        native: whether it must be a native function.
    """
    node = draft.graph.nodes[at]
    if node.op_type in LOGICAL or not all(
        draft.graph.type(name).is_float for name in (entry, node.outputs[0])
    ):
        return False
    members = between(draft, at, entry)
    if members is None:
        return False
    layouts = Layouts(draft.graph, entry, draft.fixed)
    for member in members:
        if not _follow(layouts, member):
            return False
    if not layouts.is_whole(node.outputs[0]):
        return len(layouts.known[node.outputs[0]]) > len(layouts.entry)
    if native and native_of(draft.region(members), draft.graph) is None:
        return True
    _merge(draft, members, layouts)
    return False


def _merge(draft: Draft, members: list[Node], layouts: Layouts) -> None:
    alike = [
        name for name in layouts.known if layouts.is_whole(name) and draft.graph.type(name).is_float
    ]
    logical = {o for member in members for o in member.outputs if member.op_type in LOGICAL}
    normalised = sorted(layouts.reduced) if normalises(draft.region(members)) else ()
    draft.merge(members, [name for name in alike if name not in logical], normalised)


def _follow(layouts: Layouts, member: Node) -> bool:
    if not is_region(member):
        return follow(layouts, member)
    before = layouts.known[member.inputs[0]]
    layouts.known[member.outputs[0]] = before
    layouts.reduced.update(before[a] for a in member.attributes["normalised"] if a < len(before))
    return True


def between(draft: Draft, at: int, entry: str) -> list[Node] | None:
    """The nodes from `entry` to the one at `at`; None where one of them is used elsewhere too.

    Last ones first, so that all readers of a tensor inside have been met before its maker.
    """
    waiting, seen = [-at], {at}
    while waiting:
        position = -heappop(waiting)
        node = draft.nodes[position]
        assert node is not None
        if position != at and not _closed(draft, node, seen):
            return None
        if position == at and any(draft.readers.get(name) for name in node.outputs[1:]):
            return None
        for name in draft.uses(node):
            maker = draft.makers.get(name)
            if name != entry and maker is not None and maker not in seen:
                seen.add(maker)
                heappush(waiting, -maker)
    return [node for position in sorted(seen) if (node := draft.nodes[position]) is not None]


def _closed(draft: Draft, node: Node, seen: set[int]) -> bool:
    """Whether what a node makes is used by these nodes only."""
    return all(
        name not in draft.kept and draft.readers.get(name, set()) <= seen for name in node.outputs
    )


def normalises(region: Node) -> bool:
    """Whether a region is a normalisation: it reduces its input to a size and divides by that."""
    found = kinds(region)
    if not found & (REDUCING | POOLING) or found & _BOUNDED:
        return False
    return bool(region.attributes["divides"])


__all__ = ["between", "normalises", "read_meetings"]
