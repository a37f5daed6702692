"""Reports and baselines, computed again from what they tell of themselves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calls import open_audit, run_opened
from backtrace_onnx.audit.outputs.record import ReportRecord
from backtrace_onnx.audit.outputs.tables import as_json
from backtrace_onnx.audit.settings import AuditSettings
from backtrace_onnx.data.given_batches import GIVEN, is_given
from backtrace_onnx.data.reading import Data as Rows
from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.path_arguments import texts_of
from backtrace_onnx.propagation.mode_choice import AUTO

File = str | os.PathLike[str]


def recompute_report(
    path: Path, content: Mapping[str, Any], model: File | None, data: Rows
) -> dict[str, Any]:
    """A report of today of the same model, data, baselines, settings and seed, as JSON values.

    Raises InputError where the file is no report of this version, or what it names is another one.
    """
    try:
        was = ReportRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: no report of this version ({where}: {first['msg']})") from None
    _check_model(str(path), "the model", model or was.name, was.model.sha256)
    found = open_audit(
        model or was.name,
        data if is_named(data) else _files(path, was.files),
        settings=AuditSettings.model_validate(was.settings),
        baselines=[one.name for one in was.baselines if one.name is not None],
        baseline_models=[one.name for one in was.baseline_models if one.name is not None],
        sidecar=was.sidecar,
        seed=was.seed,
    )
    found = replace(found, config=was.config, names=(was.name, tuple(was.files)))
    _check_same(str(path), "the data", found.subject.data.sha256, was.data.sha256)
    report = run_opened(found, comparing=was.comparing, fail_on=was.fail_on)
    made: dict[str, Any] = json.loads(as_json(report))
    return made


def recompute_baseline(
    path: Path, model: File, data: Rows
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A baseline, and the one of today in its bins, as JSON values. Raises InputError."""
    was = Baseline.load(path)
    mode = was.mode if was.compared is None else AUTO  # which compares with it by itself
    how = {"mode": mode, "label": was.label, "output": was.output, "task": was.task}
    settings = AuditSettings.model_validate(how)
    _check_model("", str(model), model, was.model.sha256)
    found = open_audit(model, data, settings=settings, seed=was.seed)
    _check_same("", ", ".join(found.names[1]), found.subject.data.sha256, was.data.sha256)
    made = Baseline.of(found.subject, was)
    return json.loads(was.text()), json.loads(made.text())


def is_named(data: Rows) -> bool:
    """Whether there are rows at hand, or names of files."""
    return is_given(data) or bool(texts_of(data, "data"))


def _files(path: Path, named: list[str]) -> list[str]:
    """The files of a report. Raises InputError where its rows were in none."""
    if named == [GIVEN]:
        raise InputError(f"{path}: its rows were at hand, and in no file; give them: data=")
    return named


def _check_model(source: str, what: str, model: File, then: str) -> None:
    """Raises InputError for another model, before rows are read that need not fit it."""
    path = Path(model)
    if path.is_file():  # what is no file, its reader refuses
        _check_same(source, what, hashlib.sha256(path.read_bytes()).hexdigest(), then)


def _check_same(source: str, what: str, now: str, then: str) -> None:
    """Raises InputError where a hash is not what it was."""
    if now != then:
        told = f"{source}: {what}" if source else f"{what}:"
        raise InputError(f"{told} is another one ({now[:12]}) than {then[:12]}")


__all__ = ["is_named", "recompute_baseline", "recompute_report"]
