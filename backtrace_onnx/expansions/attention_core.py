"""The one description of attention that every attention operator is written with.

    softmax(cap(q k^T * scale) + masks) v, by heads

What differs from operator to operator is where queries, keys and values come from, what is cached,
and which keys a query may see; the operators' files say that.
"""

from __future__ import annotations

from functools import reduce
from math import sqrt

import numpy as np
import numpy.typing as npt

from backtrace_onnx.expansions.registry import Op, Ops, Value, ints

_LOWEST_BFLOAT16 = -3.3895314e38  # NumPy does not know this type's limits


def attend(
    e: Ops,
    op: Op,
    q: Value,
    k: Value,
    v: Value,
    *added: Value,
    size: int | None = None,
    sink: Value = None,
    groups: tuple[int, int] | None = None,
) -> tuple[Value, tuple[Value, Value, Value, Value]]:
    """Attention of q, k and v, [samples, heads, tokens, size] each, by scale and cap of the node.

    Args:
        added: what is added to the scores one after the other: biases and masks; None is left out.
        size: features of a head, if known; the scale is by default 1 / sqrt(size).
        sink: [heads], the score of one more key that has no value.
        groups: (heads, key heads) where several heads share the keys and values of one.

    Returns y [samples, heads, queries, size], and [samples, heads, queries, keys] on the way to it:
    scores, the same after their cap, with what is added to them, and their softmax.
    """
    scale, cap = op.attribute("scale"), op.attribute("softcap", 0.0)
    turned = e.Transpose(k, perm=[0, 1, 3, 2])
    raw = limited = _product(e, scaled(e, q, scale, size), turned, groups)
    if cap:
        limited = e.Tanh(raw / cap) * cap
    masked = e.added(limited, *added)
    if sink is None:
        weights = e.Softmax(masked, axis=-1)
    else:  # counted among the keys, and then left out again
        column = e.Slice(masked, ints(0), ints(1), ints(3)) * e.zero()
        column += e.Reshape(sink, ints(1, -1, 1, 1))
        made = e.Softmax(e.Concat(masked, column, axis=3), axis=-1)
        weights = e.Slice(made, ints(0), ints(-1), ints(3))
    return _product(e, weights, v, groups), (raw, limited, masked, weights)


def scaled(e: Ops, q: Value, scale: float | None, size: int | None) -> Value:
    """q * scale; by default q / sqrt(size), whatever size its last axis has."""
    if scale or size is not None:
        return q * (scale or 1 / sqrt(size or 1))
    return q / e.Sqrt(e.floats(e.Shape(q, start=-1)))


def _product(e: Ops, a: Value, b: Value, groups: tuple[int, int] | None) -> Value:
    """a b by heads; the heads that share one of b's lie one under the other meanwhile."""
    if groups is None or groups[0] == groups[1]:
        return e.MatMul(a, b)
    count, few = groups
    made = e.MatMul(e.Reshape(a, ints(0, few, -1, 0)), b)
    return e.Reshape(made, ints(0, count, -1, 0))


# Layouts ----------------------------------------------------------------------------------------


def heads(e: Ops, x: Value, count: int) -> Value:
    """x[samples, tokens, features] as [samples, heads, tokens, size]."""
    return e.Transpose(e.Reshape(x, ints(0, 0, count, -1)), perm=[0, 2, 1, 3])


def merged(e: Ops, x: Value) -> Value:
    """[samples, heads, tokens, size] as [samples, tokens, features]."""
    return e.Reshape(e.Transpose(x, perm=[0, 2, 1, 3]), ints(0, 0, -1))


def joined(e: Ops, past: Value, new: Value) -> Value:
    """Keys or values of earlier tokens, if there are any, and of new ones."""
    return new if past is None else e.Concat(past, new, axis=2)


# Masks ------------------------------------------------------------------------------------------


def seen(
    e: Ops, at: Value, queries: Value, *, left: int = -1, right: int = -1, ends: Value = None
) -> Value:
    """bool[..., queries, keys]: which keys a query sees; None where it is all of them.

    Args:
        at, queries: positions of keys and queries.
        left, right: how many keys before and behind its own position; right = 0 is causal, -1: all.
        ends: positions from which on there are no keys.
    """
    found = []
    if ends is not None:
        found.append(at < ends)
    if left >= 0:
        found.append(at >= queries - np.int64(left))
    if right >= 0:
        found.append(at <= (queries + np.int64(right) if right else queries))
    return reduce(e.And, found) if found else None


def lowest(e: Ops) -> npt.NDArray[np.generic]:
    """The smallest finite number: of a masked score nothing is left.

    Not -inf: a query that sees no key would get no numbers, where onnxruntime spreads it evenly.
    """
    known = e.dtype.kind == "f"
    return e.scalar(float(np.finfo(e.dtype).min) if known else _LOWEST_BFLOAT16)


def hidden(e: Ops, keep: Value, score: Value = None, otherwise: Value = None) -> Value:
    """What is added to the scores: `score` where `keep` is false, else 0 or `otherwise`.

    Without a `score` it is the lowest there is.
    """
    shown = e.zero() if otherwise is None else otherwise
    return e.Where(keep, shown, lowest(e) if score is None else score)


def within(e: Ops, mask: Value, samples: Value, keys: Value) -> Value:
    """bool[samples, 1, 1, keys] of a vector: ends of the samples, then perhaps their starts."""
    both = e.Concat(e.int64(mask), e.Expand(ints(0), samples), axis=0)
    ends = e.Unsqueeze(e.Slice(both, ints(0), samples, ints(0)), ints(1))
    starts = e.Unsqueeze(e.Slice(both, samples, samples + samples, ints(0)), ints(1))
    at = e.places(keys)
    return e.Unsqueeze((at < ends) & (at >= starts), ints(1, 2))
