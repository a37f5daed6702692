"""The lists of operators agree with the rules."""

from __future__ import annotations

import pytest

from backtrace_onnx.graph import operator_families as families
from backtrace_onnx.rules import functions, registry

FUNCTIONS = {*functions._PLAIN, *functions._PARAMETRIC, "PRelu"}


def test_a_function_may_lie_inside_of_what_is_read_as_one() -> None:
    assert FUNCTIONS - families.AFFINE <= families.POINTWISE


@pytest.mark.parametrize("family", sorted(name for name in vars(families) if name.isupper()))
def test_what_a_family_names_has_a_rule(family: str) -> None:
    names = getattr(families, family)
    if isinstance(names, frozenset):
        domains = ("", "ai.onnx.ml", families.DOMAIN)
        known = {n for n in names for domain in domains if registry.lookup(domain, n, 1 << 30)}
        assert not names - known
