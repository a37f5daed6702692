"""Matrix products: linear in each factor."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.rules.bias import biased
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.linear import Linear


@rule("MatMul")
def matmul(op: Op) -> Structure:
    """Shared by contribution; two factors that are data get half each."""
    ranks = op.rank(0), op.rank(1)
    whole = tuple(_spans_batch(op, i) for i in (0, 1))

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        other = factors[1 - k]
        if ranks[0] == 1:
            g = e.Unsqueeze(g, ints(-2 if ranks[1] > 1 else -1))
        if ranks[1] == 1:
            g = e.Unsqueeze(g, ints(-1))
        if k == 0:
            full = e.MatMul(g, e.turned(_column(e, other, ranks[1]), max(ranks[1], 2)))
            full = _as_row(e, full, ranks[0])
        else:
            row, rank = _row(e, other, ranks[0]), max(ranks[0], 2)
            alike = rank == max(ranks[1], 2)
            full = e.turned_product(row, g, rank) if alike else e.MatMul(e.turned(row, rank), g)
            full = e.Squeeze(full, ints(-1)) if ranks[1] == 1 else full
        return full if whole[k] else e.unbroadcast(full, shape)

    return biased(op, Linear(forward=lambda e, a, b: e.MatMul(a, b), adjoint=adjoint))


def _spans_batch(op: Op, i: int) -> bool:
    """Whether factor `i` is known to have all the axes before the last two that the product has."""
    own, full = op.type(i).shape, op.output_type().shape
    if own is None or full is None or min(op.rank(0), op.rank(1), len(own)) < 2:
        return False
    return None not in own[:-2] and own[:-2] == full[:-2]


def _column(e: Ops, x: Value, rank: int) -> Value:
    """A vector as a matrix of one column."""
    return e.Unsqueeze(x, ints(1)) if rank == 1 else x


def _row(e: Ops, x: Value, rank: int) -> Value:
    """A vector as a matrix of one row."""
    return e.Unsqueeze(x, ints(0)) if rank == 1 else x


def _as_row(e: Ops, x: Value, rank: int) -> Value:
    """A matrix of one row as the vector it was made of."""
    return e.Squeeze(x, ints(-2)) if rank == 1 else x


@rule("Gemm")
def gemm(op: Op) -> Structure:
    """Shared by contribution; two factors that are data get half each, and C is the bias.

    C that is data is one more term of the sum instead.
    """
    turned = bool(op.attribute("transA", 0)), bool(op.attribute("transB", 0))
    alpha = float(op.attribute("alpha", 1.0))

    def forward(e: Ops, a: Value, b: Value) -> Value:
        return e.Gemm(a, b, transA=int(turned[0]), transB=int(turned[1]))

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        other, flip = factors[1 - k], turned[1 - k]
        if k == 0:
            made = e.Gemm(g, other, transB=int(not flip))
        else:
            made = e.Gemm(other, g, transA=int(not flip))
        return e.Transpose(made, perm=[1, 0]) if turned[k] else made

    scaled: dict[str, Any] = {}
    if alpha != 1:
        scaled = {
            "inner": lambda e, a: e.Mul(a, e.scalar(alpha)),
            "chain": lambda e, a, y, m, back: e.Mul(back(m), e.scalar(alpha)),
        }
    product = Linear(forward=forward, adjoint=adjoint, **scaled)
    return biased(op, product, scale=float(op.attribute("beta", 1.0)))


@rule("Einsum")
def einsum(op: Op) -> Structure:
    """Shared by contribution; factors that are data get equal parts."""
    terms, result = _subscripts(op)
    _check_einsum(op, terms, result)
    equation = f"{','.join(terms)}->{result}"

    def adjoint(e: Ops, k: int, g: Value, factors: Sequence[Value], shape: Value) -> Value:
        others = [i for i in range(len(terms)) if i != k]
        met = set(result).union(*(terms[i] for i in others))
        kept = "".join(letter for letter in terms[k] if letter in met)
        back = f"{','.join([result, *(terms[i] for i in others)])}->{kept}"
        made = e.Einsum(g, *(factors[i] for i in others), equation=back)
        alone = [at for at, letter in enumerate(terms[k]) if letter not in met]
        if alone:
            made = e.Unsqueeze(made, ints(*alone))
        # Where this operand has size 1 along an axis and another one has not, Einsum broadcasts it.
        return e.Expand(e.unbroadcast(made, e.Min(shape, e.Shape(made))), shape)

    return Linear(
        forward=lambda e, *xs: e.Einsum(*xs, equation=equation),
        adjoint=adjoint,
        factors=tuple(range(len(terms))),
    )


def _check_einsum(op: Op, terms: Sequence[str], result: str) -> None:
    """Raises RuleError where the contributions of an operand are not its entries times weights."""
    why = None
    if any(len(set(term)) < len(term) for term in (*terms, result)):
        why = "it reads a diagonal"
    elif len(terms) > 2:
        why = "it has more than two operands; write it as products of two"
    elif len(terms) == 2:
        for term, other, i in ((terms[0], terms[1], 1), (terms[1], terms[0], 0)):
            if op.carries(i) and set(term) - set(other) - set(result):
                why = "it sums an axis of one operand alone; write that as a ReduceSum before it"
    if why:
        equation = op.attribute("equation")
        raise RuleError(f"Einsum node {op.node.name!r} ({equation}) has no rule: {why}")


def _subscripts(op: Op) -> tuple[list[str], str]:
    """Letters of every operand and of the result; an ellipsis is spelled out in capitals."""
    left, _, right = op.attribute("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    used = set(left + right)
    spare = [letter for letter in string.ascii_letters[::-1] if letter not in used]
    ranks = [op.rank(i) - len(t.replace("...", "")) for i, t in enumerate(terms)]
    open_axes = "".join(
        spare[: max([n for n, t in zip(ranks, terms, strict=True) if "..." in t], default=0)]
    )
    spelled = [
        t.replace("...", open_axes[len(open_axes) - n :]) for t, n in zip(terms, ranks, strict=True)
    ]
    if "->" in op.attribute("equation"):
        return spelled, right.replace("...", open_axes)
    every = "".join(spelled)
    return spelled, open_axes + "".join(
        sorted(x for x in set(every) if every.count(x) == 1 and x not in open_axes)
    )
