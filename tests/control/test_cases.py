"""The standard's own cases of control flow, sequences and optionals, elements and all."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, RequestError, UnsupportedError
from tests.graphs import check_closed
from tests.onnx_cases import Case, cases

WORDS = ("_if", "_loop", "_scan", "_sequence_", "_optional", "_identity_", "split_to_sequence")
NOTHING = {
    "test_if": "the branch is a constant",
    "test_if_seq": "the branch is a constant",
    "test_if_opt": "the branch is a constant",
    "test_loop13_seq": "slices of a constant",
}


@cache
def found() -> dict[str, Case]:
    """The cases, by name; those with an integer or boolean output only are left out."""
    named = {case.name: case for kind in cases().values() for case in kind}
    return {
        name: case
        for name, case in named.items()
        if any(word in name for word in WORDS) and case.feeds and has_floats(case)
        if not name.startswith("test_sequence_model")
    }


def has_floats(case: Case) -> bool:
    """Whether anything that comes out is floating point."""
    return any(np.asarray(x).dtype.kind == "f" for y in case.results.values() for x in listed(y))


def listed(y: Any) -> list[Any]:
    """The tensors of an output."""
    return list(y) if isinstance(y, list) else [] if y is None else [y]


@pytest.mark.parametrize("name", sorted(found()))
def test_case(name: str) -> None:
    case = found()[name]
    if name == "test_scan_sum":
        with pytest.raises(UnsupportedError, match="scans batches"):
            Explainer(case.proto)
        return
    explainer = Explainer(case.proto)
    if name in NOTHING:
        with pytest.raises(RequestError):
            explainer.explain(case.feeds)
        return
    explanation = explainer.explain(case.feeds)
    wanted = [x for y in case.results.values() for x in listed(y)]
    got = list(explanation.outputs.values())
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)
    check_closed(explanation)
    given = [x for y in case.feeds.values() for x in listed(y)]
    assert len(explanation.relevance) == len(given)


def test_there_are_enough_of_them() -> None:
    assert len(found()) > 20
