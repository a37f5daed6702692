"""What every attention operator is made of: heads, masks, MatMul, Softmax, MatMul."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
import numpy.typing as npt

from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints

FLOAT, INT64 = 1, 7
_LOWEST_BFLOAT16 = -3.3895314e38  # NumPy does not know this type's limits


def heads(e: Ops, x: Value, count: int) -> Value:
    """x[samples, tokens, features] as [samples, heads, tokens, size]."""
    return e.Transpose(e.Reshape(x, ints(0, 0, count, -1)), perm=[0, 2, 1, 3])


def merged(e: Ops, x: Value) -> Value:
    """[samples, heads, tokens, size] as [samples, tokens, features]."""
    return e.Reshape(e.Transpose(x, perm=[0, 2, 1, 3]), ints(0, 0, -1))


def scaled(e: Ops, q: Value, scale: float | None, size: int | None) -> Value:
    """q * scale; by default q / sqrt(size), whatever size its last axis has."""
    if scale:
        return e.Mul(q, e.scalar(scale))
    if size is not None:
        return e.Mul(q, e.scalar(1 / sqrt(size)))
    computed = e.Cast(e.Shape(q, start=-1), to=e.float_type)
    return e.Div(q, e.Sqrt(computed))


def products(e: Ops, q: Value, k: Value, groups: tuple[int, int] | None = None) -> Value:
    """Scores [samples, heads, queries, keys] of q and k laid out by heads.

    Args:
        groups: (heads, key heads) where several heads share the keys of one.
    """
    turned = e.Transpose(k, perm=[0, 1, 3, 2])
    if groups is None:
        return e.MatMul(q, turned)
    count, few = groups
    made = e.MatMul(e.Reshape(q, ints(0, few, -1, 0)), turned)
    return e.Reshape(made, ints(0, count, -1, 0))


def weighed(e: Ops, a: Value, v: Value, groups: tuple[int, int] | None = None) -> Value:
    """Attention a times v, laid out by heads."""
    if groups is None:
        return e.MatMul(a, v)
    count, few = groups
    made = e.MatMul(e.Reshape(a, ints(0, few, -1, 0)), v)
    return e.Reshape(made, ints(0, count, -1, 0))


def softmax(e: Ops, scores: Value, sink: Value = None) -> Value:
    """Softmax over the keys; `sink` [heads] is the score of one more key that has no value."""
    if sink is None:
        return e.Softmax(scores, axis=-1)
    column = e.Mul(e.Slice(scores, ints(0), ints(1), ints(3)), e.zero())
    column = e.Add(column, e.Reshape(sink, ints(1, -1, 1, 1)))
    made = e.Softmax(e.Concat(scores, column, axis=3), axis=-1)
    return e.Slice(made, ints(0), ints(-1), ints(3))


def capped(e: Ops, scores: Value, cap: float) -> Value:
    """cap * tanh(scores / cap); the scores where there is no cap."""
    if not cap:
        return scores
    limit = e.scalar(cap)
    return e.Mul(e.Tanh(e.Div(scores, limit)), limit)


# Masks ------------------------------------------------------------------------------------------


def length(e: Ops, x: Value) -> Value:
    """Number of tokens of x[samples, heads, tokens, size], a scalar."""
    return e.Squeeze(e.Shape(x, start=2, end=3), ints(0))


def places(e: Ops, count: Value) -> Value:
    """0, 1, ..., count - 1."""
    return e.Range(np.int64(0), count, np.int64(1))


def causal(e: Ops, queries: Value, keys: Value) -> Value:
    """bool[queries, keys]: no key later than its query; the last query is at the last key."""
    first = e.Sub(keys, queries)
    at = e.Unsqueeze(e.Range(first, keys, np.int64(1)), ints(1))
    return e.LessOrEqual(places(e, keys), at)


def lowest(e: Ops) -> npt.NDArray[np.generic]:
    """The smallest finite number: of a masked score nothing is left."""
    known = e.dtype.kind == "f"
    return e.scalar(float(np.finfo(e.dtype).min) if known else _LOWEST_BFLOAT16)


def hidden(e: Ops, keep: Value, score: Value, otherwise: Value = None) -> Value:
    """What is added to the scores: `score` where `keep` is false, else 0 or `otherwise`."""
    return e.Where(keep, e.zero() if otherwise is None else otherwise, score)


def within(e: Ops, mask: Value, samples: Value, keys: Value) -> Value:
    """bool[samples, 1, 1, keys] of a vector: ends of the samples, then perhaps their starts."""
    both = e.Concat(e.Cast(mask, to=INT64), e.Expand(ints(0), samples), axis=0)
    ends = e.Unsqueeze(e.Slice(both, ints(0), samples, ints(0)), ints(1))
    twice = e.Add(samples, samples)
    starts = e.Unsqueeze(e.Slice(both, samples, twice, ints(0)), ints(1))
    at = places(e, keys)
    keep = e.And(e.Less(at, ends), e.GreaterOrEqual(at, starts))
    return e.Unsqueeze(keep, ints(1, 2))


def parts(e: Ops, op: Op, i: int, x: Value, sizes: Sequence[int]) -> list[Value]:
    """Input `i`, which is x, cut along its last axis; parts of constants are constants."""
    array = op.constant(i)
    if array is None:
        return list(e.Split(x, ints(*sizes), axis=-1, outputs=len(sizes)))
    ends = np.cumsum([0, *sizes]).tolist()
    return [
        Constant(f"{op.node.name}/{op.node.inputs[i]}:{first}", array[..., first:end])
        for first, end in pairwise(ends)
    ]
