"""The check whether each feature is worth what it was; several baselines say how exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calibration import ENOUGH, reach, sampling
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured
from backtrace_onnx.audit.checks.drift import SMALLEST, comparable
from backtrace_onnx.audit.intervention import replace_features

Array = npt.NDArray[Any]
MOST = 0.05
TOLD = 10


def _shares(case: Case) -> Measured:
    """The mean share, and the same with its sign, of the feature that moved most for its bound."""
    baselines, subject = comparable(case), case.subject
    shares, names = subject.whole.shares, subject.features.names
    now = np.stack([np.abs(shares).mean(0), shares.mean(0)])  # [with and without sign, features]
    was = np.stack(
        [[[f.share for f in b.features], [f.signed for f in b.features]] for b in baselines]
    )
    moved = np.abs(now - was.mean(0)) if len(baselines) >= ENOUGH else np.abs(now - was).min(0)
    bounds = _bounds(case, baselines, was)
    over = moved if case.fixed else moved / bounds
    kind, worst = np.unravel_index(int(over.argmax()), over.shape)
    order = np.argsort(-over.max(0), kind="stable")[:TOLD]
    told = {
        names[i]: {
            "was": round(float(was[:, 0, i].mean()), 6),
            "is": round(float(now[0, i]), 6),
            "bound": round(float(bounds[0, i]), 6),
            "signed_was": round(float(was[:, 1, i].mean()), 6),
            "signed_is": round(float(now[1, i]), 6),
            "signed_bound": round(float(bounds[1, i]), 6),
        }
        for i in order.tolist()
    }
    before, after = float(was[:, kind, worst].mean()), float(now[kind, worst])
    what = ("mean share", "mean signed share")[int(kind)]
    text = f"the {what} of {names[worst]} is {after:.3f}, it was {before:.3f}"
    grown = (now - was.mean(0))[0]
    gained = _gained(grown, bounds[0], int(worst), fixed=case.fixed)
    if gained != worst:
        text += f"; {names[gained]} gained most, {grown[gained]:.3f}"
    found = replace_features(subject, [gained], subject.drawn(case.rows))
    evidence = {"features": told, "intervention": {"feature": names[gained], **found.record()}}
    confirmed = found.confirms if grown[gained] > 0 else None
    source = f"{PROPOSAL}"
    if len(baselines) >= ENOUGH:
        source = f"a 99 % prediction interval of {len(baselines)} baselines"
    bound = (round(float(bounds[kind, worst]), 6), source)
    return Measured(float(moved[kind, worst]), text, evidence, confirmed, bound=bound)


def _gained(grown: Array, bounds: Array, worst: int, *, fixed: bool) -> int:
    """The feature whose share grew most for its bound; where none is beyond it, the one that moved.

    Args:
        grown, bounds: float64[features]. worst: the one that moved most.
    """
    most = int((grown if fixed else grown / bounds).argmax())
    return most if grown[most] > bounds[most] else worst


def _bounds(case: Case, baselines: Sequence[Baseline], was: Array) -> Array:
    """float64[2, features]: how far each mean may move.

    Of fewer baselines than say anything: MOST, or what they are apart. Of other rows than the
    baselines': the error of the means of samples is added.
    """
    tests, count = was[0].size, len(baselines)
    if count >= ENOUGH:
        made = np.maximum(SMALLEST, reach(was.std(0, ddof=1), count, tests))
    else:
        made = np.maximum(MOST, np.ptp(was, 0))
    subject = case.subject
    other = [b.data.rows for b in baselines if b.data.sha256 != subject.data.sha256]
    if other:
        shares = subject.whole.shares
        spread = np.stack([np.abs(shares).std(0), shares.std(0)])
        made = np.hypot(made, sampling(spread, subject.data.count, min(other), tests))
    return made


CHECKS = (
    Check(
        "share-drift",
        "Is each feature worth what it was?",
        "at most",
        MOST,
        f"{PROPOSAL}; of three baselines or more a 99 % prediction interval",
        "error",
        _shares,
        rows=200,
    ),
)
