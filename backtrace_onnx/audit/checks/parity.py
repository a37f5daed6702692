"""The check whether what is explained computes what the file computes, or its exporter said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.activation_patching import tensor_values
from backtrace_onnx.audit.check import PROPOSAL, Case, Check, Measured, SkipCheck
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.array_files import read_file
from backtrace_onnx.model.loading import load

Array = npt.NDArray[Any]


def _parity(case: Case) -> Measured:
    """The larger difference of two: explained against run as it is, run against the reference."""
    subject = case.subject
    given = subject.settings.reference
    rows = subject.drawn(subject.fixed or case.rows)
    if subject.fixed:
        rows = np.arange(subject.fixed) % subject.data.count
    name = subject.whole.first.output
    found = {"as_explained": _as_explained(subject, rows, name)}
    if given is not None:
        found["reference"] = _against(given, subject)
    told = {how: value for how, value in found.items() if value is not None}
    if not told:
        raise SkipCheck(f"{name!r}, which is explained, is no output of the file")
    worst = max(told, key=lambda how: told[how])
    what = {
        "as_explained": "what is explained and what onnxruntime makes of the file",
        "reference": f"what onnxruntime makes of the file and {given}",
    }[worst]
    text = f"{what} differ by at most {told[worst]:.1e} of the largest value"
    of = case.some(len(rows)) if worst == "as_explained" else "the rows of the reference"
    return Measured(told[worst], text, {"rows": len(rows), **told}, of=of)


def _as_explained(subject: AuditedModel, rows: Array, name: str) -> float | None:
    feeds = subject.data.rows(rows)
    if name not in _outputs(subject):
        return None
    ours = tensor_values(subject.explainer, feeds, (name,))[name]
    return _difference(ours, _run(subject, feeds)[name])


def _against(path: str, subject: AuditedModel) -> float:
    """The largest difference to a file of outputs of the first rows, arrays by output's name."""
    content = read_file(Path(path))
    if not isinstance(content, Mapping):
        names = _outputs(subject)
        content = {names[0]: content}
    arrays = {name: np.asarray(value) for name, value in content.items()}
    strange = sorted({*arrays} - {*_outputs(subject)})
    if strange or not arrays:
        there = ", ".join(_outputs(subject))
        raise InputError(f"{path}: holds no output of the model ({there}): {', '.join(strange)}")
    count = min(len(array) for array in arrays.values())
    if count > subject.data.count or (subject.fixed and count != subject.fixed):
        raise InputError(f"{path}: is of {count} rows, and the data have {subject.data.count}")
    made = _run(subject, subject.data.rows(np.arange(count)))
    for name, array in arrays.items():
        if array.shape != made[name].shape:
            raise InputError(f"{path}: {name} is {array.shape}, the model's {made[name].shape}")
    return max(_difference(made[name], array) for name, array in arrays.items())


def _outputs(subject: AuditedModel) -> list[str]:
    return [value.name for value in load(subject.model).proto.graph.output]


def _run(subject: AuditedModel, feeds: Mapping[str, Array]) -> dict[str, Any]:
    """The outputs of the file as it is, by name."""
    session = load(subject.model).session()
    names = [output.name for output in session.get_outputs()]
    takes = {value.name for value in session.get_inputs()}
    given = {name: x for name, x in feeds.items() if name in takes}
    return dict(zip(names, session.run(names, given), strict=True))


def _difference(a: Any, b: Any) -> float:
    """Of two arrays, in parts of the largest value; infinite where only one holds such numbers."""
    first, second = (np.asarray(x, np.float64) for x in (a, b))
    if first.shape != second.shape or (np.isfinite(first) != np.isfinite(second)).any():
        return float("inf")
    there = np.isfinite(second)
    size = float(np.abs(second[there]).max(initial=0)) or 1.0
    return float(np.abs(first[there] - second[there]).max(initial=0)) / size


CHECKS = (
    Check(
        "forward-parity",
        "Does what is explained compute what the file computes?",
        "at most",
        1e-4,
        f"{PROPOSAL}; what exporters are held to",
        "error",
        _parity,
        rows=64,
    ),
)
