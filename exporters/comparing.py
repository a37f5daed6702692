"""Whether an exported file computes what the framework computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from backtrace_onnx.errors import ExportError
from backtrace_onnx.exporters.exported import Check
from backtrace_onnx.sessions import first_line

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Run = Callable[[Feeds], Sequence[Array]]

TOLERANCE = 1e-4  # of the output's largest value, for float32 and float64
HALF_TOLERANCE = 1e-2
_SMALL = 1e-3  # outputs smaller than this are compared as if they reached it


def compare(
    path: Path, run: Run, trials: Mapping[str, Feeds], tolerance: float | None
) -> tuple[Check, ...]:
    """Run the framework and the file on every trial and compare all outputs.

    Raises ExportError naming the output and the difference, or what does not run.
    """
    session = _session(path)
    names = [o.name for o in session.get_outputs()]
    checks: list[Check] = []
    for words, feeds in trials.items():
        expected = _run_framework(run, feeds, words)
        found = _run_file(session, feeds, words)
        if len(found) != len(expected):
            raise ExportError(
                f"the framework returns {len(expected)} arrays, the exported model {len(found)}: "
                f"{', '.join(names)}"
            )
        for name, y, z in zip(names, expected, found, strict=True):
            checks.append(_check(name, words, np.asarray(y), np.asarray(z), tolerance))
    return tuple(checks)


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types
        raise ExportError(
            f"onnxruntime does not load the exported model: {first_line(error)}"
        ) from None


def _run_framework(run: Run, feeds: Feeds, words: str) -> Sequence[Array]:
    try:
        return run(feeds)
    except Exception as error:  # whatever the model's own code raises
        raise ExportError(
            f"the model itself does not run on {words} ({_shapes(feeds)}): {first_line(error)}"
        ) from error


def _run_file(session: ort.InferenceSession, feeds: Feeds, words: str) -> list[Any]:
    wanted = {i.name for i in session.get_inputs()}
    try:
        return list(session.run(None, {k: v for k, v in feeds.items() if k in wanted}))
    except Exception as error:  # onnxruntime raises many types
        raise ExportError(
            f"the exported model does not run on {words} ({_shapes(feeds)}), where the framework "
            f"does: {first_line(error)}. {REMEDY}"
        ) from None


REMEDY = (
    "Nothing was written. The exporter read something of the example as fixed (a size, a branch, a "
    "loop): change the model's code there, try another exporter, or pass dynamic=False where only "
    "the example's sizes matter"
)


def _check(name: str, words: str, y: Array, z: Array, tolerance: float | None) -> Check:
    if y.shape != z.shape:
        raise ExportError(
            f"output {name!r} on {words}: the framework's shape is {y.shape}, the exported "
            f"model's {z.shape}. {REMEDY}"
        )
    if y.dtype.kind not in "fV" or z.dtype.kind not in "fV":
        return _check_exact(name, words, y, z)
    allowed = (
        (HALF_TOLERANCE if z.dtype.itemsize < 4 else TOLERANCE) if tolerance is None else tolerance
    )
    wide, other = y.astype(np.float64), z.astype(np.float64)
    finite = np.isfinite(wide) & np.isfinite(other)
    same = finite | (wide == other) | (np.isnan(wide) & np.isnan(other))
    scale = float(np.abs(wide[finite]).max(initial=0.0))
    worst = float(np.abs(wide[finite] - other[finite]).max(initial=0.0))
    check = Check(name, words, worst if same.all() else float("inf"), scale)
    if check.difference > allowed * max(scale, _SMALL):
        raise ExportError(
            f"the exported model computes something else. {check} (allowed: {allowed:g} of that). "
            f"{REMEDY}"
        )
    return check


def _check_exact(name: str, words: str, y: Array, z: Array) -> Check:
    wrong = (
        int(np.sum(y != z))
        if y.dtype.kind in "biuf"
        else int(np.sum(y.astype(str) != z.astype(str)))
    )
    if wrong:
        raise ExportError(
            f"the exported model computes something else. output {name!r} on {words}: {wrong} of "
            f"{y.size} entries differ. {REMEDY}"
        )
    return Check(name, words, 0.0, 0.0)


def _shapes(feeds: Feeds) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in feeds.items())
