"""Checks whether explanations can be trusted as computed: coverage, books, repetition, batches."""

from __future__ import annotations

from collections import Counter

import numpy as np

from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.subject import Explained
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.propagation.ledger import CLOSED


def _coverage(case: Case) -> Measured:
    rows = case.subject.explainer.support()
    missing = [row for row in rows if row.coverage == "none"]
    counts = dict(Counter(row.coverage for row in rows))
    evidence = {
        "nodes": counts,
        "missing": [{"node": r.node, "operator": r.operator, "why": r.rule} for r in missing],
    }
    if missing:
        listed = ", ".join(sorted({row.operator for row in missing}))
        text = f"{len(missing)} node(s) have no rule: {listed}"
        return Measured(len(missing), text, evidence, of="nodes")
    return Measured(0, f"all {len(rows)} nodes on the way have a rule", evidence, of="nodes")


def _books(case: Case) -> Explained:
    whole = case.subject.whole
    if whole.first.conserved == "nothing":
        raise SkipCheck(f"mode {whole.first.mode} promises no sum")
    return whole


def _ledger(case: Case) -> Measured:
    value = _books(case).balance.relative_residual
    return Measured(value, f"what is missing in the books is at most {value:.1e} of what moved")


def _unassigned(case: Case) -> Measured:
    books = _books(case).balance
    sizes = {
        kind: float(np.abs(getattr(books, kind)).sum())
        for kind in ("start", "inputs", "constants", "unassigned")
    }
    value = sizes["unassigned"] / max(max(sizes.values()), np.finfo(np.float64).tiny)
    return Measured(value, f"{value:.1%} of the relevance is given to nobody", sizes)


def _determinism(case: Case) -> Measured:
    subject = case.subject
    rows = subject.drawn(case.rows)
    feeds = subject.data.rows(rows)
    again = Explainer(subject.model, on_unsupported="stop")
    first, second = subject.explain(feeds), subject.explain(feeds, of=again)
    count = len(rows)
    same = np.ones(count, bool)
    for name, own in first.relevance.items():
        other = second.relevance[name]
        same &= (own == other).reshape(count, -1).all(1)
    differ = int((~same).sum())
    evidence = {"rows": count, "differ": [subject.data.told(row) for row in rows[~same][:20]]}
    text = f"{differ} of {count} rows differ, explained twice, by two explainers, bit for bit"
    return Measured(differ, text, evidence, of=case.some(count))


def _batches(case: Case) -> Measured:
    subject = case.subject
    if subject.fixed is not None:
        raise SkipCheck(f"the model takes {subject.fixed} sample(s) at once, always")
    rows = subject.drawn(case.rows)
    if len(rows) < 2:
        raise SkipCheck("a batch takes two rows or more")
    together = subject.explain(subject.data.rows(rows))
    worst = 0.0
    for at in range(len(rows)):
        target = None if together.target is None else together.target[at : at + 1]
        alone = subject.explain(subject.data.rows(rows[at : at + 1]), target)
        for name, own in alone.relevance.items():
            size = float(np.abs(own).max(initial=0)) or 1.0
            moved = np.abs(own[0] - together.relevance[name][at]).max(initial=0)
            worst = max(worst, float(moved) / size)
    text = f"a row alone differs from the same in a batch by at most {worst:.1e} of its largest"
    return Measured(worst, text, {"rows": len(rows)}, of=case.some(len(rows)))


CHECKS = (
    Check(
        "operator-coverage",
        "Has every node that relevance can meet a rule?",
        "at most",
        0,
        "by definition",
        "error",
        _coverage,
    ),
    Check(
        "ledger",
        "Do the books of relevance close?",
        "at most",
        CLOSED,
        "the ledger's own bound",
        "error",
        _ledger,
    ),
    Check(
        "unassigned",
        "Is relevance given to inputs and constants, rather than to nobody?",
        "at most",
        0.5,
        PROPOSAL,
        "warning",
        _unassigned,
    ),
    Check(
        "determinism",
        "Is the same row explained the same, bit for bit, each time?",
        "at most",
        0,
        "by definition",
        "error",
        _determinism,
        rows=64,
    ),
    Check(
        "batch-invariance",
        "Does a row get the same explanation alone as in a batch?",
        "at most",
        1e-4,
        PROPOSAL,
        "error",
        _batches,
        rows=16,
    ),
)
