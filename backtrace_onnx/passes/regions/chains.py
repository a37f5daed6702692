"""Chains of nonlinear functions and scalar constants, one after another without a fan-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.graph.operator_families import (
    EXPONENTIAL,
    LOGICAL,
    NEUTRAL,
    POINTWISE,
    POOLING,
    REDUCING,
)
from backtrace_onnx.graph.regions import is_region, kinds
from backtrace_onnx.passes.regions.fan_in import normalises
from backtrace_onnx.passes.rewriter import Draft

Kind: TypeAlias = Literal["function", "bound", "end", "factor", "shift", "neutral"]
"""What a node is to a chain; "bound" is a function by itself, "end" the last one of a chain."""

_SATURATING = frozenset({"LogSoftmax", "Sigmoid", "Softmax", "Tanh"})
_FUNCTIONS: frozenset[Kind] = frozenset({"function", "bound", "end"})


def read_chains(graph: Graph) -> Graph:
    """The graph with every chain of functions of one input and scalar constants as one region.

    A chain begins and ends in a nonlinear function (Exp, Add 1, Log), with the scalar factor before
    it (Neg, Exp, Add 1, Reciprocal). A bound by a scalar (Max with 0) is such a function by itself.
    A Mul or Add with a constant is none: the Mul passes and the Add's constant is a bias, per
    channel or not; unless with it the chain is exactly a native one (`read_natives`).
    """
    draft = Draft(graph)
    seen: set[str] = set()
    for at in range(len(draft.nodes)):
        node = draft.nodes[at]
        if node is None or at not in draft.living or node.name in seen:
            continue
        if kind_of(draft, node) not in ("function", "bound"):
            continue
        members = _forward(draft, node)
        seen.update(member.name for member in members)
        if _says_more(draft, members):
            _merge(draft, [*_factors(draft, node), *members])
    return draft.finished()


def _says_more(draft: Draft, members: Sequence[Node]) -> bool:
    """Whether a chain is read otherwise than its nodes one by one, each of which passes."""
    if kind_of(draft, members[0]) == "bound":
        return True
    if len(members) < 2:
        return False
    is_gate = members[0].op_type in _SATURATING
    return is_gate or any(is_region(m) or kind_of(draft, m) in ("shift", "bound") for m in members)


def _merge(draft: Draft, members: Sequence[Node]) -> None:
    outputs = [member.outputs[0] for member in members]
    if not all(draft.graph.type(name).is_float for name in (*draft.uses(members[0]), *outputs)):
        return
    last, region = members[-1], draft.region(members)
    draft.merge(members, outputs, last.attributes["normalised"] if normalises(region) else ())


def _forward(draft: Draft, node: Node) -> list[Node]:
    """The chain that begins with a node, up to its last function."""
    members, length, kind = [node], 1, kind_of(draft, node)
    while kind not in (None, "end"):
        follower = following(draft, members[-1])
        kind = None if follower is None else kind_of(draft, follower)
        if kind == "end":
            kind = _ending(draft, members)
        elif follower is not None and _begins_normalisation(draft, follower):
            kind = None
        if follower is not None and kind is not None:
            members.append(follower)
            length = len(members) if kind in _FUNCTIONS else length
    return members[:length]


def _ending(draft: Draft, members: Sequence[Node]) -> Kind | None:
    """What a division by its own size is to these: a Softmax's if it follows Exp, the second half
    of a normalisation if it follows a region with a reduction, else none of them."""
    last = next((m for m in reversed(members) if kind_of(draft, m) != "neutral"), members[-1])
    if _last(last).op_type == "Exp":
        return "function"
    return "end" if kinds(last) & (REDUCING | POOLING) else None


def _begins_normalisation(draft: Draft, node: Node) -> bool:
    """Whether a node centres what is divided by its size next: both are one, without others."""
    if not (is_region(node) and kinds(node) & (REDUCING | POOLING)):
        return False
    follower = following(draft, node)
    while follower is not None and kind_of(draft, follower) == "neutral":
        follower = following(draft, follower)
    return follower is not None and kind_of(draft, follower) == "end"


def _last(node: Node) -> Node:
    while is_region(node):
        node = node.attributes["members"][-1]
    return node


def following(draft: Draft, node: Node) -> Node | None:
    """The one node that uses what a node makes, if it uses nothing else."""
    if any(name in draft.kept or draft.readers.get(name) for name in node.outputs[1:]):
        return None
    reader = draft.only_reader(node.outputs[0])
    return reader if reader is not None and len(draft.uses(reader)) == 1 else None


def _factors(draft: Draft, node: Node) -> list[Node]:
    """Scalar factors straight before a node, first one first."""
    found: list[Node] = []
    length = 0
    while True:
        (source,) = draft.uses(found[-1] if found else node)
        maker = draft.maker(source)
        kind = None if maker is None else kind_of(draft, maker)
        if maker is None or kind not in ("factor", "neutral") or following(draft, maker) is None:
            return found[:length][::-1]
        found.append(maker)
        length = len(found) if kind == "factor" else length


def kind_of(draft: Draft, node: Node) -> Kind | None:
    """What a node is to a chain; None if it cannot be part of one."""
    if is_region(node):
        return "end" if node.attributes["normalised"] else "function"
    if node.domain or len(draft.uses(node)) != 1 or node.op_type in LOGICAL:
        return None
    if node.op_type in NEUTRAL:
        return "neutral"
    if node.op_type == "Neg":
        return "factor"
    if node.op_type == "PRelu" or draft.fixed(node.outputs[0]):
        return None
    if node.op_type in POINTWISE | EXPONENTIAL:
        return "function" if not draft.fixed(node.inputs[0]) else None
    return _with_scalar(draft, node) if node.op_type in _BINARY else None


_BINARY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})


def _with_scalar(draft: Draft, node: Node) -> Kind | None:
    """An operator of one varying input and scalars."""
    scalars = [name for name in node.inputs if draft.fixed(name)]
    if len(node.inputs) - len(scalars) != 1:
        return None
    (varying,) = draft.uses(node)
    rank = draft.graph.type(varying).rank
    if not all(_is_scalar(draft.graph.constants.get(name), rank) for name in scalars):
        return None
    if node.op_type in ("Max", "Min"):
        return "bound" if scalars else None
    if node.op_type == "Pow" or (node.op_type == "Div" and node.inputs[1] == varying):
        return "function"
    return "shift" if node.op_type in ("Add", "Sub") else "factor"


def _is_scalar(constant: np.ndarray | None, rank: int | None) -> bool:
    return constant is not None and constant.size == 1 and constant.ndim <= (rank or 0)


__all__ = ["following", "kind_of", "read_chains"]
