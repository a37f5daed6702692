"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtrace_onnx.expansions.attention_core import heads, merged
from backtrace_onnx.expansions.phrases import (
    BFLOAT16,
    FLOAT,
    FLOAT16,
    INT64,
    halves,
    laid,
    length,
    places,
    size_of,
)
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, microsoft

_END = np.iinfo(np.int64).max
_INTERLEAVED = 1  # the value of mrope_layout


def rotated(e: Ops, x: Value, cos: Value, sin: Value, *, pairs: bool, size: int | None) -> Value:
    """x[samples, heads, tokens, size] turned by angles [samples, 1, tokens, turned / 2].

    Args:
        pairs: neighbours are turned together; else the two halves are.
        size: how many features are turned, the first ones; None is all.
    """
    rest: list[Value] = []
    if size is not None:
        x, *rest = (
            e.Slice(x, ints(first), ints(end), ints(3)) for first, end in ((0, size), (size, _END))
        )
    if pairs:
        cos, sin = e.Unsqueeze(cos, ints(-1)), e.Unsqueeze(sin, ints(-1))
    real, imaginary = halves(e, e.Reshape(x, ints(0, 0, 0, -1, 2)) if pairs else x)
    y = e.Concat(real * cos - imaginary * sin, real * sin + imaginary * cos, axis=-1)
    y = e.Reshape(y, ints(0, 0, 0, -1)) if pairs else y
    return e.Concat(y, *rest, axis=-1) if rest else y


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
        positions = e.Unsqueeze(e.Cast(positions, to=INT64) + places(e, length(e, y)), ints(0))
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
    return q * cos + q_half * sin, k * cos + k_half * sin


@microsoft("RMSNormRotary")
def normalised_rotary_embedding(
    e: Ops, op: Op, x: Value, scale: Value, positions: Value, cos: Value, sin: Value, *_: Value
) -> tuple[Value, Value]:
    """A slice of every head's features divided by its root mean square, then turned."""
    start, width = (int(op.attribute(f"input_{name}", 0)) for name in ("start", "width"))
    if start or width:
        x = e.Slice(x, ints(start), ints(start + width if width else _END), ints(3))
    real, epsilon = e.Cast(x, to=FLOAT), np.float32(op.attribute("epsilon", 1e-6))
    unit = real / e.Sqrt(e.ReduceMean(real * real, ints(-1), keepdims=1) + epsilon) * scale
    if op.rank(2) != 2:  # the position of the first token
        positions = e.Reshape(positions, ints(1, 1)) + places(e, length(e, x, 1))
    tables = [angles(e, e.Cast(table, to=FLOAT), positions) for table in (cos, sin)]
    by_heads = e.Transpose(unit, perm=[0, 2, 1, 3])
    count = op.attribute("rotary_embedding_dim")
    y = merged(e, rotated(e, by_heads, *tables, pairs=False, size=count))
    if op.attribute("flatten_batch", 0):
        y = laid(e, y, 1, -1, e.Shape(y, start=2))
    return e.Cast(y, to=FLOAT16 if op.attribute("output_fp16", 0) else BFLOAT16), unit
