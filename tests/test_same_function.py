"""The same function gets the same explanation, however it was written."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from backtrace_onnx import Explainer, Explanation
from tests import functions, normalisations
from tests.checks import MODES
from tests.function_networks import Write, convolutional, dense
from tests.graphs import check_closed, normal

LIMIT = 1e-4
X, IMAGE = normal(2, 3, 6, seed=7), normal(2, 3, 4, 5, seed=7)
SIGNED = ("gradient", "lrp", "attnlrp")
PLACES = ("after a layer", "after a sum", "at the head")
NEEDS = {"RMSNormalization": 23, "GroupNorm": 21}


def _ways(families: dict[str, dict[str, Write]]) -> list[tuple[str, str]]:
    return [(name, way) for name, ways in families.items() for way in list(ways)[1:]]


def _model(family: str, way: str, place: str) -> bytes:
    opset = NEEDS.get(family, 20)
    if family in normalisations.SPATIAL:
        return convolutional(normalisations.SPATIAL[family][way], opset=opset)
    write = {**functions.POINTWISE, **normalisations.NORMALISING}[family][way]
    residual, head = place == "after a sum", place == "at the head"
    return dense(write, residual=residual, head=head, opset=opset)


@cache
def _explainer(family: str, way: str, place: str) -> Explainer:
    return Explainer(_model(family, way, place))


@cache
def _reference(family: str, place: str, mode: str) -> Explanation:
    ways = {**functions.POINTWISE, **normalisations.NORMALISING, **normalisations.SPATIAL}[family]
    return _explained(_explainer(family, next(iter(ways)), place), mode)


def _explained(explainer: Explainer, mode: str) -> Explanation:
    x = IMAGE if explainer.graph.type("x").rank == 4 else X
    return explainer.explain(x, mode=mode, task="regression")


def _check(explainer: Explainer, wanted: Explanation, mode: str) -> None:
    found = _explained(explainer, mode)
    assert np.allclose(found.outputs["y"], wanted.outputs["y"], atol=1e-4)  # it is the same
    check_closed(found)
    for kind in ("relevance", "positive"):
        got, want = getattr(found, kind)["x"], getattr(wanted, kind)["x"]
        assert np.abs(got - want).max() <= LIMIT * np.abs(want).max()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("family", "way"), _ways(functions.POINTWISE))
def test_an_activation(family: str, way: str, place: str) -> None:
    _check_place(family, way, place)


@pytest.mark.parametrize("place", PLACES[:2])
@pytest.mark.parametrize(("family", "way"), _ways(normalisations.NORMALISING))
def test_a_normalisation(family: str, way: str, place: str) -> None:
    _check_place(family, way, place)


@pytest.mark.parametrize(("family", "way"), _ways(normalisations.SPATIAL))
def test_a_normalisation_of_images(family: str, way: str) -> None:
    for mode in (*MODES, *SIGNED):
        _check(_explainer(family, way, ""), _reference(family, "", mode), mode)
    _check_compiled(family, way, "")


def _check_place(family: str, way: str, place: str) -> None:
    """In every mode; compiled behind a sum only."""
    for mode in (*MODES, *SIGNED):
        _check(_explainer(family, way, place), _reference(family, place, mode), mode)
    if place == "after a sum":
        _check_compiled(family, way, place)


def _check_compiled(family: str, way: str, place: str) -> None:
    """Compiled in one mode, another one for the next spelling."""
    mode = (*MODES, *SIGNED)[len(way) % 6]
    explainer = Explainer(_model(family, way, place), engine="onnxruntime")
    _check(explainer, _reference(family, place, mode), mode)
