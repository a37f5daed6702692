"""Numbers of every part, row by row: where relevance lies, and where it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.network.parts import NetworkPart

if TYPE_CHECKING:
    from backtrace_onnx.explanation import Explanation

Array = npt.NDArray[Any]
COLUMNS = (
    "received",
    "absorbed",
    "unassigned",
    "positive",
    "negative",
    "entropy",
    "effective",
    "classes_alike",
)


def part_rows(
    parts: Sequence[NetworkPart],
    made: Explanation,
    other: Explanation | None,
    graph: Graph,
    rows: int,
) -> Array:
    """float64[rows, parts, COLUMNS], in parts of what every row started with; NaN: not known.

    Positive is what has the sign of the start.

    Args:
        other: the explanations of another class for the same rows, to compare maps with.
        rows: how many of the samples are told of.
    """
    start = starts(made)
    makers = {tensor: node.name for node in graph.nodes for tensor in node.outputs}
    found = np.full((rows, len(parts), len(COLUMNS)), np.nan)
    for i, part in enumerate(parts):
        if part.nodes:
            found[:, i, :3] = (_books(part, made, makers) / start[:, None])[:rows]
        own = [_flat(made, tensor, graph, len(start)) for tensor in part.tensors]
        known = [r for r in own if r is not None]
        if not known or len(known) < len(own):
            continue
        r = np.concatenate(known, 1)[:rows]
        shares = r / start[:rows, None]
        found[:, i, 3] = np.where(shares > 0, shares, 0).sum(1)
        found[:, i, 4] = np.where(shares < 0, -shares, 0).sum(1)
        found[:, i, 5], found[:, i, 6] = spread(r)
        if other is not None:
            pairs = [_flat(other, tensor, graph, len(start)) for tensor in part.tensors]
            if all(pair is not None for pair in pairs):
                s = np.concatenate([pair for pair in pairs if pair is not None], 1)[:rows]
                found[:, i, 7] = cosines(r, s)
    return found


def starts(made: Explanation) -> Array:
    """float64[samples]: what each sample started with, its size with the sign of what its
    channels amount to, as a difference to a baseline may be below 0; 1 where there is nothing."""
    start = made.ledger.total().start
    size = np.abs(start).sum(0)
    signed: Array = np.where(_net(start) < 0, -size, size)
    return np.where(size, signed, 1)


def spread(r: Array) -> tuple[Array, Array]:
    """Over how many entries |r| [rows, entries] is spread, in two measures from 0 to 1.

    Shannon's entropy in parts of the largest, and the effective number of entries (Hill's of order
    2, the inverse of the sum of squared shares) in parts of all. Rows without relevance: NaN.
    """
    sizes = np.abs(r)
    total = sizes.sum(1, keepdims=True)
    shares = np.divide(sizes, total, out=np.full(sizes.shape, np.nan), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entries = r.shape[1]
    entropy = -(shares * logs).sum(1) / (np.log(entries) if entries > 1 else 1.0)
    return entropy + 0.0, 1 / (shares**2).sum(1) / entries


def cosines(a: Array, b: Array) -> Array:
    """The cosine of each pair of rows; NaN where one has no relevance."""
    sizes = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    products = (a * b).sum(1)
    made: Array = np.divide(products, sizes, out=np.full(len(a), np.nan), where=sizes > 0)
    return made


def _books(part: NetworkPart, made: Explanation, makers: Mapping[str, str]) -> Array:
    """float64[samples, 3]: received from outside, absorbed, unassigned; of two channels net."""
    entries = [made.ledger[name] for name in part.nodes]
    received = sum(entry.incoming for entry in entries)
    absorbed, unassigned = (
        sum(getattr(e, k) for e in entries) for k in ("constants", "unassigned")
    )
    for entry in entries:
        for tensor, total in entry.sent.items():
            if makers.get(tensor) in part.nodes:
                received = received - total
    return np.stack([_net(np.asarray(kind)) for kind in (received, absorbed, unassigned)], 1)


def _net(books: Array) -> Array:
    """[samples] of [channels, samples]: the first channel, less the second where there is one."""
    made: Array = books[0] - books[1:].sum(0)
    return made


def _flat(made: Explanation, tensor: str, graph: Graph, samples: int) -> Array | None:
    """float64[samples, entries] of a tensor's relevance; None where samples do not lie apart."""
    r = made.relevance[tensor]
    axis = made.axes.get(tensor, graph.samples.get(tensor))
    if axis is None or not 0 <= axis < r.ndim or r.shape[axis] != samples:
        return None
    return np.ascontiguousarray(np.moveaxis(r, axis, 0).reshape(samples, -1), np.float64)
