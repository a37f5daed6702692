"""The constant scale and shift that follow a normalisation, and belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from backtrace_onnx.graph.graph import Graph, Node, Shape
from backtrace_onnx.graph.operator_families import DOMAIN, MOVING, NEUTRAL, NORMALISING, SCALE
from backtrace_onnx.graph.regions import is_region
from backtrace_onnx.passes.regions.chains import following
from backtrace_onnx.passes.rewriter import Draft

Role: TypeAlias = Literal["own", "channel"] | None
"""What an axis is to a normalisation: one it goes over, its channels, or neither."""

Roles: TypeAlias = tuple[Role, ...]


def read_scales(graph: Graph) -> Graph:
    """The graph with scale and shift as part of the normalisation they follow, or one node.

    They are a node of their own where reshapes or transpositions lie between, which stay.
    """
    draft = Draft(graph)
    for node in list(draft.nodes):
        roles = None if node is None else _roles(draft, node)
        if node is None or roles is None:
            continue
        first = True
        for members in _runs(draft, node, roles):
            if first and members[0] is following(draft, node):
                _absorb(draft, node, members)
            else:
                _gather(draft, members)
            first = False
    return draft.finished()


def _absorb(draft: Draft, node: Node, members: list[Node]) -> None:
    together = [node, *members]
    alike = [member.outputs[0] for member in together]
    if is_region(node):
        draft.merge(together, alike, node.attributes["normalised"])
        return
    attributes = {**node.attributes, "followers": tuple(members)}
    outputs = members[-1].outputs[:1]
    made = replace(node, outputs=outputs, attributes=attributes, sources=_sources(together))
    draft.replace(together, made, alike)


def _gather(draft: Draft, members: list[Node]) -> None:
    last = members[-1]
    sources = dict.fromkeys([last.name, *_sources(members)])
    entry = draft.uses(members[0])
    attributes = {"members": tuple(members)}
    made = Node(last.name, DOMAIN, SCALE, 1, entry, last.outputs[:1], attributes, tuple(sources))
    draft.replace(members, made, [member.outputs[0] for member in members])


def _sources(members: Iterable[Node]) -> tuple[str, ...]:
    return tuple(name for member in members for name in member.sources)


def _runs(draft: Draft, node: Node, roles: Roles) -> Iterator[list[Node]]:
    """Scales and shifts down from a normalisation, cut where the elements are moved."""
    runs: list[list[Node]] = []
    run: list[Node] = []
    length = 0
    follower = following(draft, node)
    while follower is not None:
        if not follower.domain and follower.op_type in MOVING:
            runs.append(run[:length])
            moved = _moved(draft, follower, roles)
            if moved is None:
                break
            run, length, roles = [], 0, moved
        elif not follower.domain and follower.op_type in NEUTRAL:
            run.append(follower)
        elif _scales(draft, follower, roles):
            run.append(follower)
            length = len(run)
        else:
            break
        follower = following(draft, follower)
    runs.append(run[:length])
    return iter([run for run in runs if run])


def _roles(draft: Draft, node: Node) -> Roles | None:
    """What the axes of a normalisation's output are to it; None for any other node."""
    is_native = not node.domain and node.op_type in NORMALISING
    is_own = is_region(node) and bool(node.attributes["normalised"])
    if not (is_native or is_own):
        return None
    rank = draft.graph.type(node.outputs[0]).rank or draft.graph.type(node.inputs[0]).rank
    if rank is None:
        return None
    if is_own:
        return _laid(rank, node.attributes["normalised"], channel=None)
    if node.op_type in ("LayerNormalization", "RMSNormalization"):
        return _laid(rank, range(node.attributes.get("axis", -1) % rank, rank), channel=-1)
    if node.op_type == "LpNormalization":
        return _laid(rank, [node.attributes.get("axis", -1)], channel=-1)
    if node.op_type == "LRN":
        return _laid(rank, [1], channel=-1)
    return _laid(rank, node.attributes.get("axes", range(2, rank)), channel=1)


def _laid(rank: int, axes: Iterable[int], channel: int | None) -> Roles:
    """Roles by axis; `channel` -1 is none, None the only axis left beside the first one."""
    own = {a % rank for a in axes}
    if channel is None:
        left = [a for a in range(1, rank) if a not in own]
        channel = left[0] if len(left) == 1 else -1
    return tuple("own" if a in own else "channel" if a == channel else None for a in range(rank))


def _moved(draft: Draft, node: Node, roles: Roles) -> Roles | None:
    """The roles after elements have moved; None where that cannot be told."""
    before, after = (draft.graph.type(x).shape for x in (node.inputs[0], node.outputs[0]))
    if node.op_type == "Transpose":
        perm = node.attributes.get("perm") or range(len(roles))[::-1]
        return tuple(roles[a] for a in perm)
    if before is None or after is None or len(before) != len(roles):
        return None
    return _regrouped(before, after, roles)


def _regrouped(before: Shape, after: Shape, roles: Roles) -> Roles:
    """Axes that stay keep their role; those that are merged or split share that of all."""
    head = _equal(before, after)
    tail = min(_equal(before[::-1], after[::-1]), len(before) - head, len(after) - head)
    block = before[head : len(before) - tail]
    inner = {roles[head + i] for i, n in enumerate(block) if n != 1}
    width = len(after) - head - tail
    made: Roles = (None,) * width
    if inner and None not in inner:
        first: Role = "channel" if "channel" in inner else "own"
        made = (first, *["own"] * (width - 1))[:width]  # type: ignore[assignment]
    return (*roles[:head], *made, *roles[len(roles) - tail :])


def _equal(before: Shape, after: Shape) -> int:
    """How many sizes at the front are known to be the same."""
    count = 0
    for a, b in zip(before, after, strict=False):
        if a is None or a != b:
            break
        count += 1
    return count


def _scales(draft: Draft, node: Node, roles: Roles) -> bool:
    """Whether a node is a constant scale or shift that a normalisation has."""
    if node.domain or len(node.inputs) < 2:
        return False
    if node.op_type == "BatchNormalization":
        return _is_batch_scale(draft, node, roles)
    if node.op_type not in ("Add", "Div", "Mul", "Sub") or len(node.inputs) != 2:
        return False
    (varying,) = draft.uses(node)
    constant = node.inputs[1 if node.inputs[0] == varying else 0]
    if node.op_type == "Div" and constant == node.inputs[0]:
        return False
    return constant != varying and _fits(draft, varying, constant, roles)


def _is_batch_scale(draft: Draft, node: Node, roles: Roles) -> bool:
    """Whether a BatchNormalization is a scale and shift per channel, or of a single channel."""
    parameters = node.inputs[1:]
    if node.attributes.get("training_mode", 0) or not all(map(draft.fixed, parameters)):
        return False
    known = [draft.graph.constants.get(name) for name in parameters]
    return "channel" in roles[1:2] or all(c is not None and c.size == 1 for c in known)


def _fits(draft: Draft, tensor: str, constant: str, roles: Roles) -> bool:
    """Whether a constant varies only as a normalisation's parameters do, and enlarges nothing."""
    sizes, dims = draft.graph.type(constant).shape, draft.graph.type(tensor).shape
    if constant not in draft.graph.constants or sizes is None or len(sizes) > len(roles):
        return False
    offset = len(roles) - len(sizes)
    varying = [offset + axis for axis, n in enumerate(sizes) if n != 1]
    if any(dims is None or dims[a] != sizes[a - offset] for a in varying):
        return False
    kinds = {roles[a] for a in varying}
    if None in kinds:
        return False
    return len(kinds) < 2 or sum(role == "own" for role in roles) > 1


__all__ = ["read_scales"]
