"""Softmax, log-softmax and sigmoid in any other disguise, found by what they compute.

A sum may be written as Einsum, as a product with ones, as Split and Add or as n times a mean, a
power as Pow(e, x) or as 1 / exp(-x): no list holds all ways. So nodes between two tensors of one
shape are run on a few numbers, whatever they are, and are read as one if they are such a function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import AFFINE, LOGICAL, MOVING, NEUTRAL
from backtrace_onnx.graph.regions import is_region, kinds
from backtrace_onnx.passes.regions.axis_tracking import follow
from backtrace_onnx.passes.regions.dominators import Dominators
from backtrace_onnx.passes.regions.fan_in import between
from backtrace_onnx.passes.regions.identification import NATIVES, Native, may_saturate, native_of
from backtrace_onnx.passes.regions.varying_axes import Layouts
from backtrace_onnx.passes.rewriter import Draft
from backtrace_onnx.rules import registry

_FARTHEST = 24
"""How many tensors back a function may begin that all its ways lead through."""
_TRIVIAL = AFFINE | NEUTRAL | MOVING
_RANDOM = frozenset(["Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"])


def read_disguised(graph: Graph) -> Graph:
    """The graph in which such a function is one region, whichever nodes it is written with."""
    draft = Draft(graph)
    ways = Dominators()
    for name in graph.inputs:
        ways.add(name, None)
    for at, node in enumerate(graph.nodes):
        entry = ways.nearest(draft.uses(node)) if _may_be_part(draft, node) else None
        for output in filter(None, node.outputs):
            ways.add(output, entry)
        if entry is not None and at in draft.living and _may_end(draft, node):
            members = _function(draft, at, ways)
            if members is not None:
                draft.merge(members, _alike(draft, members))
    return draft.finished()


def _may_be_part(draft: Draft, node: Node) -> bool:
    """Whether a node is no layer: it has no weights, but for one number."""
    if is_region(node):
        return True
    if node.domain or node.op_type in _RANDOM or draft.fixed(node.outputs[0]):
        return False
    if registry.lookup(node.domain, node.op_type, node.version) is None:
        return False
    known = (draft.graph.constants.get(name) for name in node.inputs)
    return all(constant is None or _is_number(constant) for constant in known)


def _is_number(constant: np.ndarray) -> bool:
    """Whether a constant holds places and sizes, or one number, however often."""
    if constant.dtype.kind != "f" or constant.size < 2:
        return constant.dtype.kind != "O"
    flat = constant.reshape(-1)
    return bool(flat[0] == flat[-1] and (flat == flat[0]).all())


def _may_end(draft: Draft, node: Node) -> bool:
    """Whether a function may end in a node: what only moves it or scales it is none of it."""
    if node.op_type in LOGICAL or not draft.graph.type(node.outputs[0]).is_float:
        return False
    if not node.domain and node.op_type in NEUTRAL | MOVING:
        maker = draft.maker(node.inputs[0])
        return maker is not None and _known(draft, maker) is None
    return True


def _known(draft: Draft, node: Node) -> Native | None:
    """The native function that a single node is."""
    if is_region(node):
        return native_of(node, draft.graph)
    return Native(node.op_type) if not node.domain and node.op_type in NATIVES else None


def _function(draft: Draft, at: int, ways: Dominators) -> list[Node] | None:
    """The nodes that are such a function together with the one at a position, most of them.

    Where they are one of several tensors, that is the first one with which they are the function
    itself, or else the first one; further back only where what lies between is part of it, as the
    largest score that is taken from all.
    """
    found: list[Node] | None = None
    is_plain = False
    for members in _candidates(draft, at, ways):
        native = _native(draft, members)
        if native is None:
            if found is not None:
                break
            continue
        grown = found is None or any(not _is_trivial(m) for m in members[: -len(found)])
        if grown or (native.is_plain and not is_plain):
            found, is_plain = members, native.is_plain
    return found


def _candidates(draft: Draft, at: int, ways: Dominators) -> Iterator[list[Node]]:
    """Nodes from a tensor of the same shape to the one at a position, from the nearest one on."""
    output = draft.graph.nodes[at].outputs[0]
    for tensor in islice(ways.above(output), _FARTHEST):
        if not _is_alike(draft.graph, tensor, output):
            continue
        members = between(draft, at, tensor)
        if members is not None and _says_more(draft, members):
            yield members


def _says_more(draft: Draft, members: Sequence[Node]) -> bool:
    """Whether nodes may be such a function together only: none of them is one by itself."""
    inner = [member for member in members if not _is_trivial(member)]
    return len(inner) > 1 or (
        len(inner) < len(members)
        and any(is_region(m) and native_of(m, draft.graph) is None for m in inner)
    )


def _is_alike(graph: Graph, a: str, b: str) -> bool:
    """Whether two tensors may be of one shape."""
    first, second = graph.type(a), graph.type(b)
    if not first.is_float or first.shape is None or second.shape is None:
        return False
    pairs = zip(first.shape, second.shape, strict=False)
    return len(first.shape) == len(second.shape) and all(
        m == n or not (isinstance(m, int) and isinstance(n, int)) for m, n in pairs
    )


def _is_trivial(node: Node) -> bool:
    return not node.domain and node.op_type in _TRIVIAL


def _native(draft: Draft, members: Sequence[Node]) -> Native | None:
    """Which function these are; 1 - p stays a difference."""
    if not may_saturate(frozenset[str]().union(*map(kinds, members))):
        return None
    native = native_of(draft.region(members), draft.graph)
    turned = native is not None and native.scale < 0
    return None if turned and members[-1].op_type in AFFINE else native


def _alike(draft: Draft, members: Sequence[Node]) -> list[str]:
    """Inner tensors that are known to have the function's entries in their places."""
    (entry,) = draft.uses(members[0])[:1]
    layouts = Layouts(draft.graph, entry, draft.fixed)
    for member in members:
        if is_region(member) and member.inputs[0] in layouts.known:
            layouts.known[member.outputs[0]] = layouts.known[member.inputs[0]]
        else:
            follow(layouts, member)
    known = {name for name in layouts.known if layouts.is_whole(name)}
    outputs = [m.outputs[0] for m in members if m.op_type not in LOGICAL]
    return [name for name in outputs if name in known and draft.graph.type(name).is_float]


__all__ = ["read_disguised"]
