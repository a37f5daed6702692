"""Assertions about reasons, for the tests of a project: they run under pytest or anything else.

from backtrace_onnx.testing import assert_audit, assert_explanation, assert_same_reasons
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from backtrace_onnx.errors import RequestError
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.inputs.path_arguments import texts_of
from backtrace_onnx.propagation.ledger import CLOSED

File = str | os.PathLike[str]


def assert_explanation(
    explanation: Explanation,
    *,
    top: str | Sequence[str] = (),
    not_top: str | Sequence[str] = (),
    count: int = 3,
    shares: Mapping[str, tuple[float, float]] | None = None,
    like: Explanation | File | None = None,
    rtol: float = 1e-4,
) -> None:
    """Assert that an explanation is sound, and says what it must of every sample.

    Always: relevance is finite, some of it reaches an input, and the ledger closes.

    Args:
        top: names or patterns (`*`, `?`) of entries, such as `age` or `occupation=*`: one of each
            must be among the `count` entries with most |relevance|. not_top: none may be.
        shares: by name or pattern the least and the most part of a sample's |relevance|.
        like: an explanation, or a file that one was saved to, that this one must equal within
            `rtol` of its largest relevance.

    Raises AssertionError that says what is wrong with which sample; RequestError for a name or
    pattern that none of the entries has, for shares that nothing can lie between, and for what is
    no explanation.
    """
    if not isinstance(explanation, Explanation):
        raise RequestError(f"an Explanation is asserted, not {type(explanation).__name__}")
    top, not_top = texts_of(top, "top"), texts_of(not_top, "not_top")
    samples = _samples(explanation)
    _check_asked(samples, (*top, *not_top), shares or {})
    for sample, entries in enumerate(samples):
        _assert_sound(explanation, sample, entries)
        _assert_top(sample, entries, top, not_top, count)
        for pattern, (least, most) in (shares or {}).items():
            whole = sum(abs(r) for _, r in entries)
            own = sum(abs(r) for name, r in entries if fnmatchcase(name, pattern))
            assert least <= own / whole <= most, (
                f"sample {sample}: {pattern} has {own / whole:.1%} of |relevance|, which must be "
                f"{least:.1%} to {most:.1%}"
            )
    if like is not None:
        _assert_like(explanation, like, rtol)


def assert_same_reasons(old: File, new: File, data: Any, **options: Any) -> None:
    """Assert that a model keeps the reasons of an earlier one on the same rows.

    `options` are those of `backtrace_onnx.audit.compare`: settings, sidecar, seed, fail_on. Raises
    AssertionError with a line for every check that stops the model.
    """
    from backtrace_onnx.audit import compare

    _assert_passed(compare(old, new, data, **options), f"{new} has other reasons than {old}")


def assert_audit(model: File, data: Any, **options: Any) -> None:
    """Assert that a model passes its audit; `options` are those of `backtrace_onnx.audit.audit`."""
    from backtrace_onnx.audit import audit

    _assert_passed(audit(model, data, **options), f"{model} does not pass its audit")


def _check_asked(
    samples: Sequence[Sequence[tuple[str, float]]],
    patterns: Sequence[str],
    shares: Mapping[str, tuple[float, float]],
) -> None:
    """Raises RequestError for what no explanation could hold to, before anything is asserted."""
    names = {name for entries in samples for name, _ in entries}
    for pattern in (*patterns, *shares):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RequestError(f"no entry is called {pattern!r}; there are: {_some(sorted(names))}")
    for pattern, (least, most) in shares.items():
        if not 0 <= least <= most <= 1:
            raise RequestError(
                f"shares of {pattern!r} are the least and the most part, from 0 to 1, "
                f"not {least} and {most}"
            )


def _assert_passed(report: Any, what: str) -> None:
    wrong = [f for f in report.findings if report.stops(f) or f.status == "broken"]
    if wrong:
        told = {True: "; confirmed by an intervention", False: "; an intervention moves nothing"}
        lines = [f"  {f.check.id}: {f.text}{told.get(f.confirmed, '')}" for f in wrong]
        raise AssertionError("\n".join([f"{what} ({report.verdict})", *lines]))


def _samples(explanation: Explanation) -> list[list[tuple[str, float]]]:
    """The entries of each sample, (name, relevance), the largest first."""
    count = explanation.ledger.total().start.shape[1]
    most = sum(explanation.relevance[name].size for name in explanation.inputs)
    return [
        [(entry.name, entry.relevance) for entry in explanation.top(most, sample=sample)]
        for sample in range(count)
    ]


def _assert_sound(
    explanation: Explanation, sample: int, entries: Sequence[tuple[str, float]]
) -> None:
    assert all(np.isfinite(r) for _, r in entries), f"sample {sample}: relevance is not finite"
    assert any(r for _, r in entries), f"sample {sample}: no relevance reaches an input"
    if explanation.conserved != "nothing":
        left = explanation.ledger.total().relative_residual
        assert left <= CLOSED, f"the ledger does not close: {left:.1e} of what moved is missing"


def _assert_top(
    sample: int,
    entries: Sequence[tuple[str, float]],
    top: Sequence[str],
    not_top: Sequence[str],
    count: int,
) -> None:
    names = [name for name, r in entries[:count] if r]
    for pattern in top:
        assert any(fnmatchcase(name, pattern) for name in names), (
            f"sample {sample}: {pattern} is not among the top {count}: {', '.join(names)}"
        )
    for pattern in not_top:
        found = [name for name in names if fnmatchcase(name, pattern)]
        assert not found, f"sample {sample}: {found[0]} is among the top {count}"


def _assert_like(explanation: Explanation, like: Explanation | File, rtol: float) -> None:
    wanted = like if isinstance(like, Explanation) else Explanation.load(like)
    for name in wanted.inputs:
        was, now = wanted.relevance[name], explanation.relevance.get(name)
        assert now is not None and now.shape == was.shape, (
            f"relevance of {name!r} is of other shape"
        )
        size = float(np.abs(was).max(initial=0)) or 1.0
        moved = float(np.abs(np.subtract(now, was, dtype=np.float64)).max(initial=0)) / size
        assert moved <= rtol, f"relevance of {name!r} moved by {moved:.1e} of its largest"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


__all__ = ["assert_audit", "assert_explanation", "assert_same_reasons"]
