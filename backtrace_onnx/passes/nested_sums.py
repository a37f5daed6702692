"""Sums of sums read as one sum of all their terms, however they are bracketed.

An addition that only another addition uses is part of that one. A constant per channel among the
terms is the bias of the first linear operator among them that has none of its own, so that
(x W + h R) + b is read as (x W + b) + h R. Reading changes what the rules see, not what runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Computed, Graph, Node
from backtrace_onnx.graph.weight_layouts import LAYOUTS
from backtrace_onnx.passes.affine_joining import Tail, joined, per_channel, settle_moved, walk
from backtrace_onnx.passes.rewriter import Draft

_PASSING = {"Identity": 1, "Neg": -1}


def read_sums(graph: Graph) -> Graph:
    """The graph with every sum of sums as one Sum, its terms' signs in the attribute `signs`."""
    draft = Draft(graph)
    for node in reversed(graph.nodes):
        if _signs(node) and node.outputs[0] not in draft.hidden:
            _make_whole(draft, node)
    return draft.finished()


def _signs(node: Node) -> tuple[int, ...]:
    """Signs of a sum's terms; () if it is none."""
    if node.operator == "Sub":
        return 1, -1
    if node.operator not in ("Add", "Sum"):
        return ()
    return node.attributes.get("signs") or (1,) * len(node.inputs)


def _make_whole(draft: Draft, root: Node) -> None:
    """Give a sum the terms of those that it is made of, which become part of it."""
    waiting = _operands(root, 1)
    terms: list[tuple[str, int]] = []
    inner: list[Node] = []
    while waiting:
        tensor, sign = waiting.pop()
        passed = _inner(draft, tensor)
        if passed:
            inner += passed
            sign *= int(np.prod([_PASSING.get(node.operator, 1) for node in passed]))
            waiting += _operands(passed[-1], sign)
        else:
            terms.append((tensor, sign))
    if not inner:
        return
    names, signs = zip(*terms, strict=True)
    sources = (*root.sources, *(name for node in inner for name in node.sources))
    attributes = {"signs": signs}
    made = replace(root, op_type="Sum", inputs=names, attributes=attributes, sources=sources)
    draft.replace([*inner, root], made)


def _operands(node: Node, sign: int) -> list[tuple[str, int]]:
    """The terms of a sum with their signs, the last one first."""
    return [(x, sign * s) for x, s in zip(node.inputs, _signs(node), strict=True)][::-1]


def _inner(draft: Draft, tensor: str) -> list[Node]:
    """The sum that makes a term and nothing else, after what passes it on; [] if there is none."""
    found: list[Node] = []
    while (maker := draft.maker(tensor)) is not None and draft.only_reader(tensor) is not None:
        found.append(maker)
        if _signs(found[-1]):
            return found
        if found[-1].operator not in _PASSING:
            break
        tensor = found[-1].inputs[0]
    return []


def read_biases(graph: Graph) -> Graph:
    """The graph with constants per channel as the bias of the first linear term without one."""
    draft = Draft(graph)
    done: set[str] = set()
    for node, tail, total in _linear_terms(draft):
        own = _own(graph, total, tail)
        if total.name in done or not own:
            continue
        done.add(total.name)
        made, bias = f"{tail.tensor}@biased", f"bias@{tail.tensor}"
        shift = _summed(graph, total, tail, own)
        draft.constants[bias], draft.constants[f"{bias}/laid"] = shift
        draft.put(node, joined(node, node.inputs[1], bias, tail))
        draft.put(total, _without(total, own))
        draft.rename(tail.tensor, made)
        draft.computed[made] = Computed("Add", (tail.tensor, f"{bias}/laid"), tail.tensor)
        for moved in tail.moved:
            moved.shift = moved.shift + shift[0]
        settle_moved(draft, tail)
    return draft.finished()


def _linear_terms(draft: Draft) -> Iterator[tuple[Node, Tail, Node]]:
    """(linear operator without a bias, how it gets there, the sum it is a term of), by place."""
    found = []
    for node in draft.graph.nodes:
        describe = LAYOUTS.get(node.operator)
        tail = None if describe is None else walk(draft, node, describe)
        if tail is None or tail.shift.any():
            continue
        total = draft.only_reader(tail.tensor)
        if total is not None and _signs(total):
            found.append((total.inputs.index(tail.tensor), node, tail, total))
    for _, *term in sorted(found, key=lambda term: term[0]):
        yield tuple(term)  # type: ignore[misc]


def _own(graph: Graph, total: Node, tail: Tail) -> list[int]:
    """Numbers of a sum's constant terms that vary along the channels of one of its terms only."""
    values = [graph.constants.get(name) for name in total.inputs]
    found = ((i, value) for i, value in enumerate(values) if value is not None)
    return [i for i, value in found if per_channel(value, tail) is not None]


def _summed(
    graph: Graph, total: Node, tail: Tail, own: list[int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """These constants as the bias [channels] of a term, and as they are added to it."""
    signs = _signs(total)
    sign = signs[total.inputs.index(tail.tensor)]
    laid = sum(sign * signs[i] * graph.constants[total.inputs[i]] for i in own)
    laid = np.asarray(laid, tail.shift.dtype)
    return per_channel(laid, tail), laid  # type: ignore[return-value]


def _without(total: Node, own: list[int]) -> Node:
    rest = [i for i in range(len(total.inputs)) if i not in own]
    inputs = tuple(total.inputs[i] for i in rest)
    signs = tuple(_signs(total)[i] for i in rest)
    return replace(total, op_type="Sum", inputs=inputs, attributes={"signs": signs})
