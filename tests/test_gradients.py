"""Gradients of every operator that has a rule are those that differences measure.

The operators' own test cases of ONNX, and single nodes of what these leave out, are explained in
mode gradient, near their inputs and away from kinks, by both engines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.errors import CompileError, ModelError, RequestError, UnsupportedError
from backtrace_onnx.rules import registry
from tests.cases import Case as Single
from tests.cases import fixed as constant
from tests.cases import generator, one
from tests.differences import Function
from tests.graphs import normal
from tests.onnx_cases import FLOATS, Case, cases, explainable, fixed, is_ordinary
from tests.versions import is_tested

Array = npt.NDArray[Any]
Engine = Literal["numba", "onnxruntime"]
EACH = 5  # cases of an operator
COMPILED = 2  # of these, by both engines
LIMITS = {np.dtype(np.float64): 1e-3, np.dtype(np.float32): 1e-2}  # of what is measured
LEAST = {np.dtype(np.float64): 1e-3, np.dtype(np.float32): 1e-2}  # less is its rounding
HALF = 5e-2

REFUSED = {
    "ScatterElements": "knows no slope",  # its products
    "ScatterND": "knows no slope",
    "TreeEnsemble": "knows no slope",
    "Normalizer": "knows no slope",  # by the largest
}
FLAT = {"Binarizer", "Ceil", "Floor", "Hardmax", "MelWeightMatrix", "Round", "Sign"}
HELD = {
    "DeformConv": (2,),
    "DequantizeLinear": (1,),
    "GridSample": (1,),
    "MaxRoiPool": (1,),
    "Pad": (2,),
    "Resize": (1,),
    "RoiAlign": (1,),
}
ROUNDED = {"DynamicQuantizeLinear", "QuantizeLinear"}
"""Gradients go through as if nothing were rounded, which differences do not know."""
NO_SLOPE = {
    *("BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    *(
        "CategoryMapper",
        "Equal",
        "LabelEncoder",
        "OneHotEncoder",
        "StringConcat",
        "StringNormalizer",
    ),
    *("StringSplit", "TfIdfVectorizer", "Tokenizer"),
    *("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
    *("Bins", "Region", "SampleOp", "Scale"),
}
"""Of ids, bits and words, and rules that no single node shows."""

X = normal(2, 3, 6, 6, seed=3)
ROIS = np.array([[0.3, 0.2, 4.1, 4.6], [1.2, 0.4, 5.2, 3.3]], np.float32)
BINS = np.array([[0, 0, 0, 3, 3], [1, 1, 1, 4, 4]], np.float32)
SINGLE: dict[str, Single] = {
    "Cast": one("Cast", X, to=11),
    "CastLike": one("CastLike", X, constant([1.0], np.float64)),
    "GlobalLpPool": one("GlobalLpPool", X, p=3),
    "Imputer": one("Imputer", X[0, 0], domain="ai.onnx.ml", imputed_value_floats=[1.0]),
    "MaxRoiPool": one("MaxRoiPool", X, constant(BINS), pooled_shape=[2, 2]),
    "Mod": one("Mod", X, constant(X + np.float32(0.07)), fmod=1),
    "Normalizer": one("Normalizer", X[0, 0], domain="ai.onnx.ml", norm="MAX"),
    "Normalizer of L1": one("Normalizer", X[0, 0], domain="ai.onnx.ml", norm="L1"),
    "Normalizer of L2": one("Normalizer", X[0, 0], domain="ai.onnx.ml", norm="L2"),
    "Pow": one("Pow", np.abs(X) + 1, constant(np.float32(-1.5))),
    "RoiAlign": one(
        "RoiAlign", X, constant(ROIS), constant([0, 1], np.int64), output_height=2, output_width=2
    ),
    "Trilu": one("Trilu", X, constant(1, np.int64)),
    "Unique": one("Unique", X[0, 0, 0], sorted=1),
    "BatchNormalization": one(
        "BatchNormalization", X, *map(constant, (X[0, :, 0, 0], X[0, :, 1, 1], X[0, :, 2, 2])),
        constant(np.abs(X[0, :, 3, 3])),
    ),
    "com.microsoft Gelu": one("Gelu", X, domain="com.microsoft"),
}  # fmt: skip
FOUND: dict[str, set[str]] = defaultdict(set)


def several(operator: str) -> Iterator[Case]:
    """Some of an operator's cases, of all kinds that it has."""
    if operator in SINGLE:
        single = SINGLE[operator]
        yield Case(operator, single.proto, dict(single.feeds), {single.output: single.y}, ())
    fitting = [fixed(case) for case in cases().get(operator, ()) if _fits(case)]
    yield from fitting[:: max(1, len(fitting) // EACH)]


def _fits(case: Case) -> bool:
    """Whether a case of one node has tensors of floats that are data, and some to explain."""
    graph = case.proto.graph
    values = (*graph.input, *graph.output)
    return (
        "_expanded" not in case.name
        and {v.type.WhichOneof("value") for v in values} == {"tensor_type"}
        and all(map(is_ordinary, case.feeds.values()))
        and bool(explainable(case) and _floats(case))
    )


def _floats(case: Case) -> list[str]:
    inputs = case.proto.graph.input
    return [
        v.name
        for v in inputs
        if v.type.tensor_type.elem_type in FLOATS and v.name in case.feeds
    ]  # fmt: skip


def _near(case: Case, rng: np.random.Generator) -> dict[str, Array]:
    """The case's inputs, away from ties and whole numbers."""
    moved = {name: np.asarray(x) for name, x in case.feeds.items()}
    for name in _floats(case):
        x = moved[name]
        grown = x.astype(np.float64) * (1 + 0.02 * rng.uniform(-1, 1, x.shape))
        moved[name] = np.asarray(grown + 0.02 * rng.uniform(-1, 1, x.shape)).astype(x.dtype)
    return moved


@pytest.mark.parametrize("operator", sorted({*cases(), *SINGLE}))
def test_gradient(operator: str) -> None:
    """Of the operator's cases, in every input that is data."""
    wrong: list[str] = []
    outcomes: set[str] = set()
    for k, case in enumerate(several(operator)):
        try:
            outcomes |= outcome(operator, case, ("numba", "onnxruntime")[: 1 + (k < COMPILED)])
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    FOUND[operator.split()[-1] if operator.startswith("com.") else operator.split()[0]] |= outcomes
    assert not wrong, "\n".join(wrong)
    if not outcomes - {"not run"}:
        pytest.skip("there is no derivative to measure")


def outcome(operator: str, case: Case, engines: tuple[Engine, ...]) -> set[str]:
    """What becomes of a case. Raises AssertionError where a gradient is wrong."""
    rng = generator(case.name)
    name = explainable(case)[0]
    y = np.asarray(case.results[name])
    start = rng.standard_normal(y.shape)
    found = _measurable(case, rng, {name: start})
    if found is None:
        return {"not run"}
    if operator in ROUNDED:
        return {"rounded"}
    function, feeds = found
    request = {
        "output": name,
        "start": start.astype(np.float64 if y.dtype == np.float64 else np.float32),
    }
    try:
        explained = [_explained(case, feeds, engine, request) for engine in engines]
    except (ModelError, RequestError):
        return {"not run"}
    except UnsupportedError as error:
        if "knows no slope" in str(error):
            assert operator in REFUSED, str(error)
            return {"refused"}
        return {"no rule"}
    outcomes: set[str] = set()
    for input_name in _floats(case):
        outcomes |= _compared(operator, case, function, feeds, input_name, explained)
    return outcomes


def _measurable(
    case: Case, rng: np.random.Generator, start: Mapping[str, Array]
) -> tuple[Function, dict[str, Array]] | None:
    """The function, and a point at which it can be measured."""
    for feeds in (_near(case, rng), dict(case.feeds)):
        try:
            function = Function(case.proto, feeds, start)
            if np.isfinite(function(feeds)):
                return function, feeds
        except NotImplementedError:
            continue
    return None


def _explained(
    case: Case, feeds: Mapping[str, Any], engine: Engine, request: Mapping[str, Any]
) -> Explanation | None:
    """The gradient; None where it is not to be compiled."""
    explainer = Explainer(case.proto, engine=engine)
    try:
        return explainer.explain(dict(feeds), mode="gradient", **request)
    except CompileError:
        assert engine == "onnxruntime"
        return None


def _compared(
    operator: str,
    case: Case,
    function: Function,
    feeds: Mapping[str, Any],
    name: str,
    explained: list[Explanation | None],
) -> set[str]:
    """Our gradient beside the one that is measured."""
    try:
        measured = function.slopes(feeds, name, generator(case.name, name))
    except Exception:  # the output's shape depends on it, or onnxruntime refuses the number
        return set()
    if not len(measured.slopes):
        return set()
    place = list(case.proto.graph.node[0].input).index(name)
    flat = float(np.abs(measured.slopes).max()) < 1e-9
    half = np.asarray(feeds[name]).dtype.itemsize == 2
    limit = HALF if half else LIMITS[function.dtype]
    for explanation in filter(None, explained):
        gradient = explanation.relevance[name].astype(np.float64).ravel()
        if place in HELD.get(operator, ()):
            assert not gradient.any()
            assert flat or any("taken as constants" in str(note) for note in explanation.notes)
            continue
        got = measured.directions @ gradient
        least = LEAST[function.dtype]
        scale = max(float(np.abs(measured.slopes).max()), float(np.abs(gradient).max()), least)
        off = float(np.abs(got - measured.slopes).max()) / scale
        assert off <= limit, f"{name}: off by {off:.1e}: {got[:3]}, not {measured.slopes[:3]}"
    return {"held" if place in HELD.get(operator, ()) else "flat" if flat else "measured"}


def test_what_has_no_gradient_is_listed() -> None:
    """Every rule is measured, or one of the lists above says why not."""
    if not is_tested("onnx"):
        pytest.skip("other versions of onnx have other cases")
    if set(FOUND) < {operator.split()[0] for operator in cases()}:
        pytest.skip("only some of the operators ran")
    refused = {operator for operator, found in FOUND.items() if "refused" in found}
    assert refused == set(REFUSED)
    only_flat = {operator for operator, found in FOUND.items() if found == {"flat"}}
    assert only_flat == FLAT
    ruled = {rule.op_type for rule in registry.rules() if rule.coverage == "exact"}
    measured = {op for op, found in FOUND.items() if found & {"measured", "refused", "held"}}
    assert ruled - measured - FLAT - ROUNDED == NO_SLOPE
