"""The method's linear rules as slowly and plainly as possible.

The oracle knows nothing of operators: it takes a function apart by running basis vectors through
onnxruntime, and shares relevance unit by unit in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.policies import find_policy
from tests.cases import Case

Array = npt.NDArray[Any]
Gate = tuple[float, float]

GATES: dict[str, Gate] = {"Tanh": (-2.0, 2.0), "Sigmoid": (-4.0, 4.0), "Softmax": (-1.0, 2.0)}
EPSILON = 1e-6


def dense(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """(M[j, i], b[j]) of a function that is M x + b."""
    b = f(np.zeros_like(x)).astype(np.float64).ravel()
    columns = np.empty((b.size, x.size))
    for i in range(x.size):
        basis = np.zeros(x.size, x.dtype)
        basis[i] = 1
        columns[:, i] = f(basis.reshape(x.shape)).astype(np.float64).ravel() - b
    return columns, b


def share(
    mode: str, c: Array, b: Array, r: Sequence[Array], gate: Gate | None = None
) -> tuple[Array, ...]:
    """What contributions c[j, i] get of the relevance r[channel][j] under a policy."""
    rule = {
        "default": _default,
        "contrastive": _contrastive,
        "epsilon(absolute=1e-6)": _epsilon,
    }.get(mode)
    flat = [np.asarray(x, np.float64).ravel() for x in r]
    if rule is not None:
        return rule(c, b, flat, gate)
    return _by_text(mode, c, b, flat)


def _divided(r: Array, mass: Array) -> Array:
    return np.divide(r, mass, out=np.zeros_like(mass), where=mass != 0)


def _default(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    positive, negative = np.maximum(c, 0), np.maximum(-c, 0)
    p, n = positive.sum(1), negative.sum(1)
    if gate is not None:
        t = p - n + b
        p, n = np.where(t < gate[0], 0, p), np.where(t > gate[1], 0, n)
    a = _divided(r[0], p + n + np.abs(b))
    return ((a * (p > 0)) @ positive + (a * (n > 0)) @ negative,)


def _contrastive(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    positive, negative = np.maximum(c, 0), np.maximum(-c, 0)
    to = [np.zeros(c.shape[1]), np.zeros(c.shape[1])]
    for j in range(len(c)):
        p, n = positive[j].sum(), negative[j].sum()
        t = p - n + b[j]
        keep = (t > 0 and r[0][j] > r[1][j]) or (t < 0 and r[0][j] < r[1][j])
        if p == 0 and n == 0:
            continue
        if n == 0:
            sides = positive[j] / p, positive[j] / p
        elif p == 0:
            sides = negative[j] / n, negative[j] / n
        elif t == 0:
            continue
        elif keep:
            sides = positive[j] / p, negative[j] / n
        else:
            sides = negative[j] / n, positive[j] / p
        to = [x + r[k][j] * sides[k] for k, x in enumerate(to)]
    return tuple(to)


def _epsilon(c: Array, b: Array, r: Sequence[Array], gate: Gate | None) -> tuple[Array, ...]:
    t = c.sum(1) + b
    return (c.T @ (r[0] / (t + np.where(t < 0, -EPSILON, EPSILON))),)


def _by_text(mode: str, c: Array, b: Array, r: Sequence[Array]) -> tuple[Array, ...]:
    """Any other policy: its own text, one unit at a time."""
    policy = find_policy(mode)
    to = [np.zeros(c.shape[1]) for _ in r]
    for j in range(len(c)):
        sides = {
            "split": (np.maximum(c[j], 0), np.maximum(-c[j], 0)),
            "absolute": (np.abs(c[j]), np.zeros_like(c[j])),
            "signed": (c[j], np.zeros_like(c[j])),
        }[policy.reading]
        masses = (side.sum() for side in sides)
        made = policy.coefficients(*masses, b[j], *(x[j] for x in r))
        for channel, (a_p, a_n, _) in enumerate(made):
            to[channel] += a_p * sides[0] + a_n * sides[1]
    return tuple(to)


def expected(
    case: Case,
    mode: str,
    r: Sequence[Array],
    *,
    gate: Gate | None = None,
    jointly: bool = False,
    inner: Callable[[Array], Array] | None = None,
    run: Case | None = None,
) -> dict[str, tuple[Array, ...]]:
    """Relevance of every floating input of an operator that is linear in each of them.

    Args:
        jointly: the operator is linear in all inputs together (a sum), not in each (a product).
        inner: what is done to the values first; contributions are those of inner(x).
        run: case whose function is taken apart instead (before its activation, or without inner).
    """
    run = run or case
    data = {name: x for name, x in case.feeds.items() if x.dtype.kind == "f"}
    zeros = {name: np.zeros_like(x) for name, x in data.items()} if jointly else {}
    parts, bias = [], np.zeros(0)
    for name, x in data.items():

        def f(v: Array, name: str = name) -> Array:
            return run.run(**{**zeros, name: v})

        matrix, bias = dense(f, x)
        values = x.astype(np.float64) if inner is None else inner(x.astype(np.float64))
        parts.append(matrix * values.ravel())
    if jointly:
        shared = share(mode, np.concatenate(parts, 1), bias, r, gate)
        cuts = np.cumsum([x.size for x in data.values()])[:-1]
        split = [np.split(s, cuts) for s in shared]
        made = [tuple(s[k] for s in split) for k in range(len(data))]
    else:
        half = [np.asarray(x, np.float64) / len(data) for x in r]
        made = [share(mode, c, bias, half, gate) for c in parts]
    return {
        name: tuple(part.reshape(x.shape) for part in parts_of)
        for (name, x), parts_of in zip(data.items(), made, strict=True)
    }
