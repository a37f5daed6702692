"""All checks, in the order in which they run. A new one is added to the list of its file."""

from __future__ import annotations

from backtrace_onnx.audit.check import Check
from backtrace_onnx.audit.checks import (
    drift,
    feature_rules,
    group_gap,
    layer_drift,
    masks,
    meaningfulness,
    parity,
    reason_check,
    row_drift,
    share_drift,
    soundness,
)

CHECKS: tuple[Check, ...] = (
    *soundness.CHECKS,
    *parity.CHECKS,
    *meaningfulness.CHECKS,
    *feature_rules.CHECKS,
    *group_gap.CHECKS,
    *masks.CHECKS,
    *reason_check.CHECKS,
    *share_drift.CHECKS,
    *drift.CHECKS,
    *row_drift.CHECKS,
    *layer_drift.CHECKS,
)
COMPARING: tuple[Check, ...] = (
    *share_drift.CHECKS,
    *drift.CHECKS,
    *row_drift.CHECKS,
    *layer_drift.CHECKS,
)
"""Checks against what was: all of a comparison."""
IDS = tuple(check.id for check in CHECKS)

__all__ = ["CHECKS", "COMPARING", "IDS"]
