"""Kernels for one, two and three channels: the same as what is written for onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.backends.eager import EagerOps
from backtrace_onnx.backends.layout import Samples
from backtrace_onnx.backends.texts import Sessions, write_text
from backtrace_onnx.ops.policy import Policy, divide, where
from backtrace_onnx.ops.vocabulary import Constant, Ops, Term, Value
from tests.cases import normal, session
from tests.graphs import FLOAT, model, node

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
SHAPE = (2, 3, 1100)  # longer than a block
GATE = (-0.5, 0.75)


def one(p: Any, n: Any, b: Any, r: Any) -> Any:
    """By size, the bias too."""
    a = divide(r, p + n + abs(b))
    return ((a, a, a * abs(b)),)


def two(p: Any, n: Any, b: Any, r: Any, s: Any) -> Any:
    """The first channel by size; the second to what agrees with the bias's sign."""
    return (*one(p, n, b, r), (where(b > 0, divide(s, p), 0), where(b > 0, 0, divide(s, n)), b * 0))


def three(p: Any, n: Any, b: Any, r: Any, s: Any, t: Any) -> Any:
    """A third channel, that sees the two others."""
    mass = where(r > s, 2 * p + n, p + 2 * n)
    return (*two(p, n, b, r, s), (divide(t, mass), divide(-t, mass), r * 0))


FUNCTIONS = (one, two, three)


def policy_of(channels: int) -> Policy:
    return Policy(f"of {channels}", FUNCTIONS[channels - 1], channels, gated=True)


def eager() -> EagerOps:
    return EagerOps(np.float32, Samples(2), Sessions(), {"": 20})


def written(text: Any, *args: Array) -> list[Array]:
    """What onnxruntime makes of a text."""
    feeds = {f"x{i}": x for i, x in enumerate(args)}
    proto, _ = write_text(text, args, feeds, np.dtype(np.float32))
    made: list[Array] = session(proto).run(None, feeds)
    return made


@pytest.mark.parametrize("negative", [True, False])
@pytest.mark.parametrize("gate", [None, GATE])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_units(channels: int, gate: tuple[float, float] | None, negative: bool) -> None:
    """Both backends make the same of every unit, and nothing is lost on the way."""
    policy = policy_of(channels)
    p, n = (np.abs(normal(RNG, *SHAPE)) for _ in range(2))
    p[0, :, :20] = n[1, :, 10:30] = 0
    bias, r = 2 * normal(RNG, SHAPE[1], 1), [normal(RNG, *SHAPE) for _ in range(channels)]
    masses = (p, n) if negative else (p,)

    def text(e: Ops, *given: Value) -> Any:
        p, n, r = given[0], given[1] if negative else None, given[len(masses) :]
        made = e.share(policy, p, n, Constant("b", bias), list(r), gate, 0)
        return tuple(x for pair in made.coefficients for x in pair if x is not None)

    found = eager().share(
        policy, p, masses[1] if negative else None, Constant("b", bias), r, gate, 0
    )
    kept = [x for pair in found.coefficients for x in pair if x is not None]
    weights = masses * channels  # what is multiplied by no mass may be anything
    for ours, theirs, mass in zip(kept, written(text, *masses, *r), weights, strict=True):
        np.testing.assert_allclose(ours * mass, theirs * mass, rtol=1e-5, atol=1e-5)
    for k, (a, c) in enumerate(found.coefficients):
        sent = a * p + (0 if c is None else c * n)
        given, spent = r[k].sum((1, 2), np.float64), sent.sum((1, 2), np.float64)
        rest = found.to_bias[k] + found.unassigned[k]
        np.testing.assert_allclose(spent + rest, given, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_terms(channels: int, count: int) -> None:
    """Both backends share sums of terms alike; one that is infinite is sent nothing."""
    policy = policy_of(channels)
    xs, r = ([normal(RNG, *SHAPE) for _ in range(k)] for k in (count, channels))
    xs[-1][:, 1, 5] = -np.inf
    bias = normal(RNG, SHAPE[1], 1)

    def shared(e: Ops, *given: Value) -> Any:
        terms = [Term(1 - 2 * (k % 2), x, infinite=k == count - 1) for k, x in enumerate(given)]
        pieces, _ = e.share_terms(
            policy, terms[:count], Constant("b", bias), list(given[count:]), 0
        )
        return tuple(x for piece in pieces for x in piece)

    ours = shared(eager(), *xs, *r)
    finite = np.isfinite(xs[-1])
    for a, b in zip(ours, written(shared, *xs, *r), strict=True):
        np.testing.assert_allclose(a[finite], b[finite], rtol=1e-4, atol=1e-5)
    for piece in ours[-channels:]:
        assert not piece[~finite].any()


def test_a_gate_shuts_units_without_negative_mass() -> None:
    """tanh(|x| |W| - 9) is silent where its bias leaves no more than -2: in both engines."""
    nodes = [
        node("Relu", ["x"], ["a"], "relu"),
        node("Gemm", ["a", "w", "b"], ["z"], "fc"),
        node("Tanh", ["z"], ["y"], "tanh"),
    ]
    weights = {"w": np.abs(normal(RNG, 4, 3)), "b": np.array([-19, -19, 0.1], np.float32)}
    proto = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, weights)
    feeds = {"x": np.abs(normal(RNG, 2, 4))}
    start = np.array([[1, 1, 0]] * 2, np.float32)
    for engine in ("numba", "onnxruntime"):
        found = Explainer(proto, engine=engine).explain(feeds, start=start)  # type: ignore[arg-type]
        assert not found.relevance["x"].any(), engine
        np.testing.assert_allclose(found.ledger.total().constants.sum(), 4, rtol=1e-6)
