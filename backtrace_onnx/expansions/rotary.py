"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attention_core import heads, length, merged
from backtrace_onnx.expansions.phrases import (
    BFLOAT16,
    FLOAT,
    FLOAT16,
    INT64,
    halves,
    places,
    size_of,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, microsoft
from backtrace_onnx.ops.vocabulary import ints

_END = np.iinfo(np.int64).max
_INTERLEAVED = 1  # the value of mrope_layout


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
            e.Slice(x, ints(size), ints(_END), ints(3)),
        )
    real, imaginary = halves(e, e.Reshape(x, ints(0, 0, 0, -1, 2)) if pairs else x)
    if pairs:
        real, imaginary = (e.Squeeze(part, ints(-1)) for part in (real, imaginary))
    turned = [
        e.Sub(e.Mul(real, cos), e.Mul(imaginary, sin)),
        e.Add(e.Mul(real, sin), e.Mul(imaginary, cos)),
    ]
    if pairs:
        turned = [e.Unsqueeze(part, ints(-1)) for part in turned]
    y = e.Concat(*turned, axis=-1)
    if pairs:
        y = e.Reshape(y, ints(0, 0, 0, -1))
    return y if rest is None else e.Concat(y, rest, axis=-1)


def angles(e: Ops, table: Value, positions: Value) -> Value:
    """Rows of a table for positions [samples, tokens], as [samples, 1, tokens, features].

    Without positions the table has a row for every token.
    """
    rows = table if positions is None else e.Gather(table, positions, axis=0)
    return e.Unsqueeze(rows, ints(1))


@microsoft("RotaryEmbedding")
def rotary_embedding(e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value) -> Value:
    """Turned by the angles of its positions."""
    y = _by_heads(e, op, x)
    if op.rank(1) == 1:  # the position of the first token
        first = e.Cast(positions, to=INT64)
        positions = e.Unsqueeze(e.Add(first, places(e, length(e, y))), ints(0))
    return _turned(e, op, y, angles(e, cos, positions), angles(e, sin, positions))


@expansion("RotaryEmbedding")
def standard_rotary_embedding(
    e: Ops, op: Op, x: Value, cos: Value, sin: Value, positions: Value = None
) -> Value:
    """Turned by the angles of its positions; without these the tables have a row per token."""
    tables = angles(e, cos, positions), angles(e, sin, positions)
    return _turned(e, op, _by_heads(e, op, x), *tables)


@microsoft("MRotaryEmbedding")
def multimodal_rotary_embedding(
    e: Ops, op: Op, x: Value, positions: Value, cos: Value, sin: Value
) -> Value:
    """Turned by angles of which every position stream gives a part."""
    streams = _streams(op.attribute("mrope_section"), op.attribute("mrope_layout", 0))

    def mixed(table: Value) -> Value:
        rows = e.Gather(table, positions, axis=0)
        first, second, third = (e.Gather(rows, np.int64(k), axis=0) for k in range(3))
        made = e.Where(streams == 0, first, e.Where(streams == 1, second, third))
        return e.Unsqueeze(made, ints(1))

    return _turned(e, op, _by_heads(e, op, x), mixed(cos), mixed(sin))


def _streams(sections: Sequence[int], layout: int) -> np.ndarray:
    """Which of the three position streams every angle takes."""
    if layout != _INTERLEAVED:
        return np.repeat(np.arange(3), sections)
    streams = np.zeros(sum(sections), np.int64)
    for stream in (1, 2):
        streams[stream : 3 * sections[stream] : 3] = stream
    return streams


def _by_heads(e: Ops, op: Op, x: Value) -> Value:
    """x laid out by heads, whose number the shapes tell where no attribute does."""
    if op.attribute("is_packed_batching", 0):
        raise RuleError("packed batches have no expansion")
    if op.rank(0) == 4:
        return x
    return heads(e, x, op.attribute("num_heads", 0) or size_of(op, 0) // (2 * size_of(op, 2)))


def _turned(e: Ops, op: Op, x: Value, cos: Value, sin: Value) -> Value:
    """x turned as the node's attributes say, and laid out as its input is."""
    if op.attribute("scale", 1.0) != 1:
        raise RuleError("a scale has no expansion; onnxruntime's CPU ignores it")
    count = op.attribute("rotary_embedding_dim", 0) or None
    y = rotated(e, x, cos, sin, pairs=bool(op.attribute("interleaved", 0)), size=count)
    return y if op.rank(0) == 4 else merged(e, y)


@microsoft("GemmaRotaryEmbedding")
def gemma_rotary_embedding(
    e: Ops, op: Op, angle: Value, q: Value, q_half: Value, k: Value, k_half: Value
) -> tuple[Value, Value]:
    """x cos + x' sin of queries and keys; x' are given: their halves exchanged, one negated."""
    cos, sin = (e.Unsqueeze(e.CastLike(f(angle), q), ints(1)) for f in (e.Cos, e.Sin))
    turned_q, turned_k = (
        e.Add(e.Mul(x, cos), e.Mul(half, sin)) for x, half in ((q, q_half), (k, k_half))
    )
    return turned_q, turned_k


@microsoft("RMSNormRotary")
def normalised_rotary_embedding(
    e: Ops, op: Op, x: Value, scale: Value, positions: Value, cos: Value, sin: Value, *_: Value
) -> tuple[Value, Value]:
    """A slice of every head's features divided by its root mean square, then turned."""
    start, width = (int(op.attribute(f"input_{name}", 0)) for name in ("start", "width"))
    if start or width:
        x = e.Slice(x, ints(start), ints(start + width if width else _END), ints(3))
    real = e.Cast(x, to=FLOAT)
    mean = e.ReduceMean(e.Mul(real, real), ints(-1), keepdims=1)
    root = e.Sqrt(e.Add(mean, np.float32(op.attribute("epsilon", 1e-6))))
    unit = e.Mul(e.Div(real, root), scale)
    if op.rank(2) != 2:  # the position of the first token
        tokens = e.Squeeze(e.Shape(x, start=1, end=2), ints(0))
        positions = e.Add(e.Reshape(positions, ints(1, 1)), places(e, tokens))
    tables = [angles(e, e.Cast(table, to=FLOAT), positions) for table in (cos, sin)]
    by_heads = e.Transpose(unit, perm=[0, 2, 1, 3])
    count = op.attribute("rotary_embedding_dim")
    y = merged(e, rotated(e, by_heads, *tables, pairs=False, size=count))
    if op.attribute("flatten_batch", 0):
        y = e.Reshape(y, e.Concat(ints(1, -1), e.Shape(y, start=2), axis=0))
    return e.Cast(y, to=FLOAT16 if op.attribute("output_fp16", 0) else BFLOAT16), unit
