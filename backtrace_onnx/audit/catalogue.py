"""All checks, in the order in which they run. A new one is added to the list of its file."""

from __future__ import annotations

from backtrace_onnx.audit import drift, feature_rules, meaningfulness, soundness
from backtrace_onnx.audit.check import Check

CHECKS: tuple[Check, ...] = (
    *soundness.CHECKS,
    *meaningfulness.CHECKS,
    *feature_rules.CHECKS,
    *drift.CHECKS,
)
IDS = tuple(check.id for check in CHECKS)

__all__ = ["CHECKS", "IDS"]
