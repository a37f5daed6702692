"""How every operator of ONNX is explained: one row each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import onnx

from backtrace_onnx import rules
from backtrace_onnx.control.straightening import WRITTEN_OUT
from backtrace_onnx.expansions.optimised import OPTIMISED
from backtrace_onnx.expansions.registry import expansions, refusals
from backtrace_onnx.passes.schema_bodies import has_body
from backtrace_onnx.rules import registry

_ = rules  # registers the rules

STANDARD, MICROSOFT = ("", "ai.onnx.ml"), "com.microsoft"
_NEWEST = 1 << 30


@dataclass(frozen=True)
class OperatorCoverage:
    """How one operator is explained.

    Attributes:
        coverage: "exact" by a rule; "nothing": it carries no relevance; "expanded": read as
            standard operators; "refused": it cannot be explained, and says why.
        how: the rule in a sentence.
    """

    domain: str
    operator: str
    coverage: Literal["exact", "nothing", "expanded", "refused"]
    how: str


def rows() -> list[OperatorCoverage]:
    """A row per operator of the standard domains, and per operator of others that has a rule."""
    sources = (_without(), _bodies(), _written_out(), _said(), _ruled())
    found = {(row.domain, row.operator): row for row in chain.from_iterable(sources)}
    return [found[key] for key in sorted(found)]


def refused_in_files() -> list[OperatorCoverage]:
    """The rows of refused operators, without those of com.microsoft that no optimiser writes."""
    refused = [row for row in rows() if row.coverage == "refused"]
    return [row for row in refused if row.domain != MICROSOFT or row.operator in OPTIMISED]


def _ruled() -> Iterator[OperatorCoverage]:
    for rule in registry.rules():
        yield OperatorCoverage(rule.domain, rule.op_type, rule.coverage, rule.summary)


def _said() -> Iterator[OperatorCoverage]:
    for domain, operator, how in expansions():
        yield OperatorCoverage(domain, operator, "expanded", how)
    for domain, operator, reason in refusals():
        yield OperatorCoverage(domain, operator, "refused", _sentence(reason))


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:].rstrip('.')}."


def _bodies() -> Iterator[OperatorCoverage]:
    for domain, operator in _standard():
        if has_body(domain, operator, _NEWEST):
            yield OperatorCoverage(domain, operator, "expanded", "Read as the body ONNX defines.")


def _written_out() -> Iterator[OperatorCoverage]:
    for operator in WRITTEN_OUT:
        yield OperatorCoverage("", operator, "expanded", "Written out as what really ran.")


def _without() -> Iterator[OperatorCoverage]:
    for domain, operator in _standard():
        yield OperatorCoverage(domain, operator, "refused", "No rule.")


def _standard() -> Iterator[tuple[str, str]]:
    for schema in onnx.defs.get_all_schemas():
        if schema.domain in STANDARD:
            yield schema.domain, schema.name
