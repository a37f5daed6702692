"""Attention of com.microsoft: with its projections, of projected heads, and of one new token."""

from __future__ import annotations

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.attending import (
    causal,
    heads,
    hidden,
    length,
    lowest,
    merged,
    parts,
    products,
    scaled,
    softmax,
    weighed,
    within,
)
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion
from backtrace_onnx.ops.vocabulary import ints

MICROSOFT = "com.microsoft"


@expansion("Attention", domain=MICROSOFT)
def attention(
    e: Ops,
    op: Op,
    x: Value,
    weights: Value,
    bias: Value = None,
    mask: Value = None,
    past: Value = None,
    added: Value = None,
    past_length: Value = None,
) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of the projections of x."""
    _refuse(op, do_rotary=op.attribute("do_rotary", 0), shared_buffer=past_length is not None)
    projected, sizes = projections(e, op, x, weights, bias)
    return attended(e, op, projected, sizes, mask=mask, mask_at=3, past=past, added=added)


@expansion("DecoderMaskedSelfAttention", domain=MICROSOFT)
def decoder_masked_self_attention(
    e: Ops, op: Op, x: Value, weights: Value, bias: Value, *rest: Value
) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of the projections of one new token."""
    mask, past, added, _, _, indirection = (*rest, *[None] * 6)[:6]
    shared = op.attribute("past_present_share_buffer", 0)
    _refuse(op, past_present_share_buffer=shared, cache_indirection=indirection is not None)
    made: tuple[Value, ...] = attention(e, op, x, weights, bias, mask, past, added)
    return made


def projections(
    e: Ops, op: Op, x: Value, weights: Value, bias: Value, at: int = 1
) -> tuple[list[Value], list[int]]:
    """Queries, keys and values of x, and their numbers of features; weights are input `at`."""
    sizes = _sizes(op, at)
    cuts = parts(e, op, at, weights, sizes)
    offsets = [None] * 3 if bias is None else parts(e, op, at + 1, bias, sizes)
    return [_projected(e, x, w, b) for w, b in zip(cuts, offsets, strict=True)], sizes


def _projected(e: Ops, x: Value, w: Value, b: Value) -> Value:
    product = e.MatMul(x, w)
    return product if b is None else e.Add(product, b)


def _sizes(op: Op, i: int) -> list[int]:
    """Features of queries, keys and values. Raises RuleError where they are not known."""
    given = op.attribute("qkv_hidden_sizes")
    if given:
        return [int(n) for n in given]
    shape = op.type(i).shape
    if not shape or not isinstance(shape[-1], int):
        raise RuleError("the shape of its weights is not known")
    return [shape[-1] // 3] * 3


def attended(
    e: Ops,
    op: Op,
    projected: list[Value],
    sizes: list[int],
    *,
    mask: Value,
    mask_at: int,
    past: Value = None,
    added: Value = None,
) -> tuple[Value, ...]:
    """Attention of projections q, k, v [samples, tokens, features]; (output, present).

    Args:
        sizes: their numbers of features.
        mask_at: index of the input that is the mask.
        past: keys and values [2, samples, heads, tokens, size] of earlier tokens.
        added: what is added to the scores.
    """
    count = int(op.attribute("num_heads"))
    q, k, v = (heads(e, part, count) for part in projected)
    if past is not None:
        k, v = (
            e.Concat(e.Gather(past, ints(i)[0], axis=0), new, axis=2) for i, new in ((0, k), (1, v))
        )
    q = scaled(e, q, float(op.attribute("scale", 0.0)), sizes[0] // count)
    y = _weighed(e, op, q, k, v, mask, mask_at, added)[0]
    present = None
    if op.names(1):
        present = e.Concat(e.Unsqueeze(k, ints(0)), e.Unsqueeze(v, ints(0)), axis=0)
    return merged(e, y), present


def _weighed(
    e: Ops, op: Op, q: Value, k: Value, v: Value, mask: Value, mask_at: int, added: Value
) -> tuple[Value, Value]:
    """(output by heads, attention) of scaled q, k and v by heads."""
    scores = products(e, q, k)
    if added is not None:
        scores = e.Add(scores, added)
    masking = _mask(e, op, mask, mask_at, q, k)
    if masking is not None:
        scores = e.Add(scores, masking)
    a = softmax(e, scores)
    return weighed(e, a, v), a


def _mask(e: Ops, op: Op, mask: Value, at: int, q: Value, k: Value) -> Value:
    """What masks add to the scores: the filter value, and for later tokens the lowest number."""
    made = None
    if mask is not None:
        score = e.scalar(float(op.attribute("mask_filter_value", -10000.0)))
        made = hidden(e, _kept(e, op, mask, at, q, k), score)
    if op.attribute("unidirectional", 0):
        made = hidden(e, causal(e, length(e, q), length(e, k)), lowest(e), made)
    return made


def _kept(e: Ops, op: Op, mask: Value, at: int, q: Value, k: Value) -> Value:
    """bool[samples, 1, 1 or queries, keys]: which keys a mask leaves."""
    rank = op.rank(at)
    if rank == 1:
        return within(e, mask, e.Shape(q, start=0, end=1), length(e, k))
    if rank not in (2, 3):
        raise RuleError(f"onnxruntime's CPU does not run a mask of rank {rank}")
    keep = e.Greater(e.Cast(mask, to=6), ints(0).astype("int32")[0])
    return e.Unsqueeze(keep, ints(1, 2) if rank == 2 else ints(1))


def _refuse(op: Op, **used: object) -> None:
    for what, given in used.items():
        if given:
            raise RuleError(f"{what.replace('_', ' ')} has no expansion")


@expansion("MultiHeadAttention", "DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(e: Ops, op: Op, *given: Value) -> tuple[Value, ...]:
    """Softmax(q k^T * scale + mask) v of projected queries, keys and values."""
    order = _ORDERS[op.node.op_type]
    inputs = dict(zip(order, given, strict=False))
    place = {name: i for i, name in enumerate(order)}
    q, k, v = (inputs.get(name) for name in ("query", "key", "value"))
    if k is None or op.rank(0) != 3 or op.rank(1) not in (3, 4):
        raise RuleError(
            "packed queries, keys and values have no expansion; onnxruntime's CPU does not run them"
        )
    _refuse(
        op,
        past_present_share_buffer=op.attribute("past_present_share_buffer", 0),
        past_sequence_length=inputs.get("past_length") is not None,
        cache_indirection=inputs.get("cache_indirection") is not None,
    )
    count = int(op.attribute("num_heads"))
    q, k, v = _biased(e, op, q, k, v, inputs.get("bias"), place["bias"])
    q = heads(e, q, count)
    if op.rank(1) == 3:
        k, v = heads(e, k, count), heads(e, v, count)
    if inputs.get("past_key") is not None:
        k = e.Concat(inputs["past_key"], k, axis=2)
        v = e.Concat(inputs["past_value"], v, axis=2)
    q = scaled(e, q, float(op.attribute("scale", 0.0)), _size(op, count))
    mask, added = inputs.get("mask"), inputs.get("added")
    y, a = _weighed(e, op, q, k, v, mask, place["mask"], added)
    return merged(e, y), k, v, a


_ORDERS = {
    "MultiHeadAttention": (
        *("query", "key", "value", "bias", "mask", "added", "past_key", "past_value"),
        *("past_length", "cache_indirection"),
    ),
    "DecoderMaskedMultiHeadAttention": (
        *("query", "key", "value", "mask", "added", "past_key", "past_value", "past_length"),
        *("beam_width", "cache_indirection", "bias"),
    ),
}


def _size(op: Op, count: int) -> int | None:
    """Features of a head, if known."""
    shape = op.type(0).shape
    return shape[-1] // count if shape and isinstance(shape[-1], int) else None


def _biased(
    e: Ops, op: Op, q: Value, k: Value, v: Value, bias: Value, at: int
) -> tuple[Value, Value, Value]:
    """Queries, keys and values plus their parts of the bias."""
    if bias is None:
        return q, k, v
    sizes = []
    for i in range(3):
        shape = op.type(i).shape
        if op.rank(i) != 3:
            raise RuleError("a bias of keys that are laid out by heads has no expansion")
        if not shape or not isinstance(shape[-1], int):
            raise RuleError("the numbers of features of its inputs are not known")
        sizes.append(shape[-1])
    of_q, of_k, of_v = parts(e, op, at, bias, sizes)
    return e.Add(q, of_q), e.Add(k, of_k), e.Add(v, of_v)
