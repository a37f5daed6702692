"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import INT64, heads, merged, places
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"
_INTERLEAVED = 1
FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16


def rotated(e: Ops, x: Value, cos: Value, sin: Value, *, pairs: bool, size: int | None) -> Value:
    """x[samples, heads, tokens, size] turned by angles [samples, 1, tokens, turned / 2].

    Args:
        pairs: neighbours are turned together; else the two halves are.
        size: how many features are turned, the first ones; None is all.
    """
    rest = None
    if size is not None:
        x, rest = (
            e.Slice(x, ints(0), ints(size), ints(3)),
            e.Slice(x, ints(size), ints(np.iinfo(np.int64).max), ints(3)),
        )
    laid = e.Reshape(x, ints(0, 0, 0, -1, 2)) if pairs else x
    real, imaginary = e.Split(laid, axis=-1, num_outputs=2, outputs=2)
    if pairs:
        real, imaginary = (e.Squeeze(part, ints(-1)) for part in (real, imaginary))
    turned = (
        e.Sub(e.Mul(real, cos), e.Mul(imaginary, sin)),
        e.Add(e.Mul(real, sin), e.Mul(imaginary, cos)),
    )
    if pairs:
        apart = e.Concat(*(e.Unsqueeze(part, ints(-1)) for part in turned), axis=-1)
        y = e.Reshape(apart, ints(0, 0, 0, -1))
    else:
        y = e.Concat(*turned, axis=-1)
    return y if rest is None else e.Concat(y, rest, axis=-1)


def angles(e: Ops, table: Value, positions: Value) -> Value:
    """Rows of a table for positions [samples, tokens], as [samples, 1, tokens, features]."""
    return e.Unsqueeze(e.Gather(table, positions, axis=0), ints(1))


@expansion("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value) -> Value:
    """Turned by the angles of its positions."""
    x, back = _by_heads(e, op, x)
    if op.rank(1) == 1:
        tokens = e.Squeeze(e.Shape(x, start=2, end=3), ints(0))
        positions = e.Unsqueeze(e.Add(e.Cast(positions, to=INT64), places(e, tokens)), ints(0))
    return back(_turned(e, op, x, angles(e, cos, positions), angles(e, sin, positions)))


@expansion("GemmaRotaryEmbedding", domain=MICROSOFT)
def gemma_rotary_embedding(
    e: Ops, op: Op, angle: Value, q: Value, q_half: Value, k: Value, k_half: Value
) -> tuple[Value, Value]:
    """x cos + x' sin of queries and keys; x' are given: their halves exchanged, one negated."""
    cos, sin = (e.Unsqueeze(e.CastLike(f(angle), q), ints(1)) for f in (e.Cos, e.Sin))
    turned_q, turned_k = (
        e.Add(e.Mul(x, cos), e.Mul(half, sin)) for x, half in ((q, q_half), (k, k_half))
    )
    return turned_q, turned_k


@expansion("MRotaryEmbedding", domain=MICROSOFT)
def multimodal_rotary_embedding(
    e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value
) -> Value:
    """Turned by angles of which every position stream gives a part."""
    x, back = _by_heads(e, op, x)
    streams = _streams(op.attribute("mrope_section"), int(op.attribute("mrope_layout", 0)))

    def mixed(table: Value) -> Value:
        rows = e.Gather(table, positions, axis=0)
        first, second, third = (e.Gather(rows, np.int64(k), axis=0) for k in range(3))
        made = e.Where(streams == 0, first, e.Where(streams == 1, second, third))
        return e.Unsqueeze(made, ints(1))

    return back(_turned(e, op, x, mixed(cos), mixed(sin)))


@expansion("RMSNormRotary", domain=MICROSOFT)
def normalised_rotary_embedding(
    e: Ops, op: Op, x: Value, scale: Value, positions: Value, cos: Value, sin: Value, *_: Value
) -> tuple[Value, Value]:
    """A slice of every head's features divided by its root mean square, then turned."""
    start, width = (int(op.attribute(f"input_{name}", 0)) for name in ("start", "width"))
    if start or width:
        end = start + width if width else np.iinfo(np.int64).max
        x = e.Slice(x, ints(start), ints(end), ints(3))
    real = e.Cast(x, to=FLOAT)
    mean = e.ReduceMean(e.Mul(real, real), ints(-1), keepdims=1)
    root = e.Sqrt(e.Add(mean, np.float32(op.attribute("epsilon", 1e-6))))
    unit = e.Mul(e.Div(real, root), scale)
    tokens = e.Squeeze(e.Shape(x, start=1, end=2), ints(0))
    if op.rank(2) != 2:
        positions = e.Add(e.Reshape(positions, ints(1, 1)), places(e, tokens))
    at = [angles(e, e.Cast(table, to=FLOAT), positions) for table in (cos, sin)]
    turned = e.Transpose(unit, perm=[0, 2, 1, 3])
    size = int(op.attribute("rotary_embedding_dim"))
    y = merged(e, rotated(e, turned, *at, pairs=False, size=size))
    if op.attribute("flatten_batch", 0):
        y = e.Reshape(y, e.Concat(ints(1, -1), e.Shape(y, start=2), axis=0))
    return e.Cast(y, to=FLOAT16 if op.attribute("output_fp16", 0) else BFLOAT16), unit


def _streams(sections: Sequence[int], layout: int) -> np.ndarray:
    """Which of the three position streams every angle takes."""
    if layout != _INTERLEAVED:
        return np.repeat(np.arange(3), sections)
    streams = np.zeros(sum(sections), np.int64)
    for stream in (1, 2):
        streams[stream : 3 * sections[stream] : 3] = stream
    return streams


def _by_heads(e: Ops, op: Op, x: Value) -> tuple[Value, Callable[[Value], Value]]:
    """x laid out by heads, and how the result is laid out as x is."""
    if op.attribute("is_packed_batching", 0):
        raise RuleError("packed batches have no expansion")
    if op.rank(0) == 4:
        return x, lambda y: y
    count = int(op.attribute("num_heads", 0)) or _heads(op)
    return heads(e, x, count), lambda y: merged(e, y)


def _heads(op: Op) -> int:
    """Number of heads, told by the shapes. Raises RuleError where they do not."""
    features, table = ((op.type(i).shape or (None,))[-1] for i in (0, 2))
    if not isinstance(features, int) or not isinstance(table, int):
        raise RuleError("the number of heads is not known")
    return features // (2 * table)


def _turned(e: Ops, op: Op, x: Value, cos: Value, sin: Value) -> Value:
    scale = float(op.attribute("scale", 1.0))
    if scale != 1:
        raise RuleError("a scale has no expansion; onnxruntime's CPU ignores it")
    size = int(op.attribute("rotary_embedding_dim", 0)) or None
    return rotated(e, x, cos, sin, pairs=bool(op.attribute("interleaved", 0)), size=size)


@expansion("RotaryEmbedding")
def standard_rotary_embedding(
    e: Ops, op: Op, x: Value, cos: Value, sin: Value, positions: Value = None
) -> Value:
    """Turned by the angles of its positions; without these the tables have a row per token."""
    x, back = _by_heads(e, op, x)
    cos, sin = (
        e.Unsqueeze(t, ints(1)) if positions is None else angles(e, t, positions)
        for t in (cos, sin)
    )
    return back(_turned(e, op, x, cos, sin))
