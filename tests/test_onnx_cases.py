"""Every test case of the ONNX standard's own operators: the books close, both engines agree.

A case is explained from random relevance at its outputs. Cases that cannot be explained must say
so by an error of this package; why each was left out is counted, and checked where it can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.errors import (
    BacktraceError,
    CompileError,
    InputError,
    ModelError,
    RequestError,
    UnsupportedError,
)
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.policies import find_policy
from backtrace_onnx.rules import registry
from tests.cases import channels, generator
from tests.onnx_cases import (
    FLOATS,
    MODES,
    NEWEST_OPSET,
    Case,
    cases,
    explainable,
    fixed,
    is_ordinary,
    runs,
)

Array = npt.NDArray[Any]

CLOSED, ALIKE, HALF_ALIKE = 1e-4, 1e-5, 1e-3

EXPLAINED = "explained"
FIXED = "explained with its integer inputs as constants"
NO_RULE = "unsupported: no rule"
REFUSED = "unsupported: its rule refuses the case"
NO_FLOAT = "skipped: no floating output"
NO_TENSOR = "in tests/control: an input or output is a list of tensors"
CONSTANT = "skipped: what comes out depends on no input"
NOT_RUN = "skipped: onnxruntime does not run it"
NOT_FINITE = "skipped: NaN, infinite or empty values"
NO_INPUT = "skipped: no input"


NOTHING = (NO_FLOAT, NO_TENSOR, NO_INPUT, NOT_FINITE, CONSTANT)
COUNTS: Counter[str] = Counter()
FINISHED: set[str] = set()


@pytest.mark.parametrize("operator", sorted(cases()))
def test_cases(operator: str) -> None:
    """All cases of an operator."""
    wrong: list[str] = []
    outcomes: Counter[str] = Counter()
    for case in cases()[operator]:
        try:
            outcomes[outcome(case)] += 1
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    COUNTS.update(outcomes)
    FINISHED.add(operator)
    assert not wrong, "\n".join(wrong)
    if not any(kind.startswith("explained") for kind in outcomes):
        pytest.skip(", ".join(f"{kind} ({n})" for kind, n in sorted(outcomes.items())))


def test_most_cases_are_explained() -> None:
    """What is left out stays the smaller part of the cases that have anything to explain."""
    if set(cases()) != FINISHED:
        pytest.skip("only some of the cases ran")
    for kind, count in sorted(COUNTS.items()):
        print(f"{count:5} {kind}")
    explained = COUNTS[EXPLAINED] + COUNTS[FIXED]
    nothing = sum(COUNTS[kind] for kind in NOTHING)
    assert explained > 3 / 4 * (sum(map(len, cases().values())) - nothing), COUNTS


def outcome(case: Case) -> str:
    """What becomes of a case. Raises AssertionError where it is explained wrongly."""
    left_out = unfit(case)
    if left_out is not None:
        if case.feeds and left_out != NO_TENSOR:
            with pytest.raises(BacktraceError):
                Explainer(case.proto).explain(case.feeds)
        return left_out
    try:
        check(case)
    except UnsupportedError as error:
        return unsupported(case, error)
    except RequestError as error:
        assert "depends on no input" in str(error)
        return CONSTANT
    except (ModelError, InputError) as error:
        assert not runs(case), f"onnxruntime runs it, but: {error}"
        return NOT_RUN
    return EXPLAINED


def unfit(case: Case) -> str | None:
    """Why nothing can be explained here, if so."""
    if not case.feeds:
        return NO_INPUT
    values = (*case.proto.graph.input, *case.proto.graph.output)
    if {v.type.WhichOneof("value") for v in values} != {"tensor_type"}:
        return NO_TENSOR
    if not any(v.type.tensor_type.elem_type in FLOATS for v in case.proto.graph.output):
        return NO_FLOAT
    trees = {node.op_type for node in case.proto.graph.node} == {"TreeEnsemble"}  # NaN is missing
    if not explainable(case) or not (trees or all(map(is_ordinary, case.feeds.values()))):
        return NOT_FINITE
    return None


def unsupported(case: Case, error: UnsupportedError) -> str:
    """No rule is a plain outcome; a rule that refuses must take the case with fixed integers."""
    assert error.operators and all(row.nodes and row.reason for row in error.operators)
    if not all(registry.lookup(*named(row.operator)) for row in error.operators):
        return NO_RULE
    instead = fixed(case)
    if len(instead.feeds) == len(case.feeds) or not instead.feeds:
        return REFUSED
    try:
        check(instead)
    except UnsupportedError:
        return REFUSED
    return FIXED


def named(operator: str) -> tuple[str, str, int]:
    domain, _, op_type = operator.rpartition("::")
    return domain, op_type, NEWEST_OPSET


def check(case: Case) -> None:
    """Every floating output is explained, the first one in all modes and by both engines."""
    explainer = Explainer(case.proto)
    compiled = () if seen(explainer.graph) else case.compiled
    for first, output in zip(chain([True], repeat(False)), explainable(case), strict=False):
        for mode in MODES if first and case.compiled else MODES[:1]:
            start = random_start(case, output, mode)
            request: dict[str, Any] = {
                "mode": mode,
                "output": output,
                "start": start[0] if len(start) == 1 else start,
            }
            explanation = by_engine("numba", explainer, case, request)
            check_whole(case, explanation, start)
            if not first or mode not in compiled:
                continue
            try:
                again = by_engine("onnxruntime", explainer, case, request)
            except CompileError:
                continue
            check_whole(case, again, start)
            check_alike(case, explanation, again)


BODIES: set[tuple[str, ...]] = set()


def seen(graph: Graph) -> bool:
    """Whether this is a body of the very operators of one that was here before."""
    body = tuple(node.operator for node in graph.nodes)
    known = len(body) > 1 and body in BODIES
    BODIES.add(body)
    return known


def by_engine(
    engine: Literal["numba", "onnxruntime"],
    explainer: Explainer,
    case: Case,
    request: Mapping[str, Any],
) -> Explanation:
    explainer.engine = engine
    return explainer.explain(case.feeds, **request)


def random_start(case: Case, output: str, mode: str) -> tuple[Array, ...]:
    y = np.asarray(case.results[output])
    rng = generator(case.name, output, mode)
    count = find_policy(mode).channels
    made = [rng.standard_normal(y.shape) for _ in range(count)]
    dtype = np.float64 if y.dtype == np.float64 else np.float32
    return tuple(np.asarray(r if count == 1 else np.abs(r), dtype) for r in made)


def check_whole(case: Case, explanation: Explanation, start: Sequence[Array]) -> None:
    """Relevance is finite, shaped like the inputs, and all of it is in the books.

    The books are closed over all samples: the cases do not say along which axis samples lie.
    """
    for name, x in case.feeds.items():
        for r in channels(explanation, name):
            assert r.shape == np.shape(x), f"{name}: {r.shape} instead of {np.shape(x)}"
            assert np.isfinite(r).all(), f"{name}: not finite"
    for what, rest, moved in books(explanation):
        for channel, r in enumerate(start):
            scale = max(float(np.abs(r).sum()), float(np.abs(moved[channel]).max()))
            off = abs(float(rest[channel].sum())) / (scale or 1.0)
            assert off <= CLOSED, f"{explanation.mode} {what}: {off:.1e} is missing"


def books(explanation: Explanation) -> Iterator[tuple[str, Array, Array]]:
    """(name, residual, what moved), each [channel, ...], of the model and of every node."""
    total = explanation.ledger.total()
    yield "model", total.residual, np.stack([total.start, total.inputs], 1)
    for name, entry in explanation.ledger.items():
        yield f"node {name}", entry.residual, np.stack([entry.incoming, entry.data], 1)


def check_alike(case: Case, eager: Explanation, compiled: Explanation) -> None:
    """onnxruntime may keep what is half precision in the model in single precision."""
    half = any(np.asarray(x).dtype.itemsize == 2 for x in case.feeds.values())
    pairs = {name: (channels(eager, name), channels(compiled, name)) for name in eager.inputs}
    top = max(float(np.abs(r).max(initial=0)) for parts, _ in pairs.values() for r in parts)
    for name, (ours, theirs) in pairs.items():
        for a, b in zip(ours, theirs, strict=True):
            off = float(np.abs(a - b).max(initial=0)) / (top or 1.0)
            limit = HALF_ALIKE if half else ALIKE
            assert off <= limit, f"{eager.mode} {name}: engines differ by {off:.1e}"
