"""Which rule explains which operator: keyed (domain, operator, first opset version)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.structures.base import Structure

Build = Callable[[Op], Structure]


Coverage = Literal["exact", "nothing"]


@dataclass(frozen=True)
class Rule:
    """One registered rule: `build` describes a node's structure.

    Attributes:
        coverage: whether it is exact, or says that the operator carries nothing.
    """

    domain: str
    op_type: str
    since: int
    build: Build
    summary: str
    coverage: Coverage = "exact"


_RULES: dict[tuple[str, str], dict[int, Rule]] = {}


def rule(
    *op_types: str,
    domain: str = "",
    since: int = 1,
    summary: str = "",
    coverage: Coverage = "exact",
) -> Callable[[Build], Build]:
    """Register the decorated function as the rule of operators of `domain` from opset `since`.

    The function gets an `Op`, a node with what is known of it before the model runs, and returns a
    structure of `backtrace_onnx.structures` (`Passes()`, `Linear(...)`, ...); it raises RuleError
    where it cannot say what the node is.

    Args:
        op_types: the operators' names, such as "Relu".
        domain: theirs; "" or "ai.onnx" are ONNX's own.
        since: the first version of that domain's operator set which the rule is for; up to that of
            another rule for the same operator.
        summary: a sentence for `backtrace-onnx ops`; default: the first line of the docstring.
        coverage: "exact", or "nothing" for operators whose outputs never carry relevance.

    Raises:
        RuleError: there is a rule for one of these operators from the same version on.
    """

    def register(build: Build) -> Build:
        text = summary or (build.__doc__ or "").strip().split("\n")[0]
        for op_type in op_types:
            versions = _RULES.setdefault((_canonical(domain), op_type), {})
            if since in versions:
                raise RuleError(f"{domain or 'ai.onnx'} {op_type} has a rule since opset {since}")
            versions[since] = Rule(_canonical(domain), op_type, since, build, text, coverage)
        return build

    return register


def table(entries: Mapping[str, Build], *, domain: str = "", coverage: Coverage = "exact") -> None:
    """Register rules by operator, for those that need no function of their own."""
    for op_type, build in entries.items():
        rule(op_type, domain=domain, coverage=coverage)(build)


def lookup(domain: str, op_type: str, version: int) -> Rule | None:
    """The rule with the greatest `since` not above `version`."""
    versions = _RULES.get((_canonical(domain), op_type), {})
    fitting = [since for since in versions if since <= version]
    return versions[max(fitting)] if fitting else None


def unregister(op_type: str, *, domain: str = "") -> None:
    """Forget the rules of an operator (for tests and notebooks that define one again)."""
    _RULES.pop((_canonical(domain), op_type), None)


def rules() -> Iterator[Rule]:
    """All rules, by domain, operator and version."""
    for key in sorted(_RULES):
        yield from (_RULES[key][since] for since in sorted(_RULES[key]))


def _canonical(domain: str) -> str:
    """The domain in one of its two spellings."""
    return "" if domain == "ai.onnx" else domain
