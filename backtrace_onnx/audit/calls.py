"""The calls of users: audit a model on data, compare two models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtrace_onnx.audit.baseline import Baseline, load_baselines
from backtrace_onnx.audit.checks.catalogue import CHECKS, COMPARING, IDS
from backtrace_onnx.audit.running import FailOn, Report, run_audit
from backtrace_onnx.audit.settings import AuditSettings, read_settings, settings_file, settings_of
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.inputs.sidecar import Sidecar, opened

File = str | os.PathLike[str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class OpenedAudit:
    """A model, its data and what it is compared with, opened.

    Attributes:
        names: of the model and the data. config: the file of the settings. sidecar: where one was
            named. files: of the baselines.
    """

    subject: AuditedModel
    baselines: tuple[Baseline, ...]
    models: tuple[AuditedModel, ...]
    names: tuple[str, tuple[str, ...]]
    config: str | None = None
    sidecar: str | None = None
    files: tuple[str, ...] = ()


def open_audit(
    model: File,
    data: str | Sequence[str],
    *,
    settings: AuditSettings | Mapping[str, Any] | File | None = None,
    baselines: Sequence[File] = (),
    baseline_models: Sequence[File] = (),
    groups: Sequence[str] = (),
    reasons: File | None = None,
    sidecar: Sidecar | File | None = None,
    seed: int = 0,
) -> OpenedAudit:
    """Read all that an audit takes, as `audit` says. Raises BacktraceError."""
    files = (data,) if isinstance(data, str | os.PathLike) else data
    files = tuple(map(str, files))
    wanted, config = _settings(settings)
    if groups:
        wanted = wanted.model_copy(update={"groups": tuple(groups)})
    if reasons is not None:
        wanted = wanted.model_copy(update={"reasons": str(reasons)})
    before = load_baselines([Path(path) for path in baselines])
    given = opened(sidecar)

    def subject(path: File, how: AuditSettings, other: Sidecar | None) -> AuditedModel:
        meaning = given or Sidecar.beside(path) or other
        return AuditedModel(Path(path), files, how, meaning, seed)

    new = subject(model, wanted, None)
    same = wanted
    if baseline_models:  # in the same mode, whatever "auto" would settle on for each
        same = wanted.model_copy(update={"mode": new.whole.first.mode})
    models = tuple(subject(path, same, new.sidecar) for path in baseline_models)
    named = str(given.path) if given else None
    names = (str(model), files)
    return OpenedAudit(new, before, models, names, config, named, tuple(map(str, baselines)))


def audit(
    model: File,
    data: str | Sequence[str],
    *,
    settings: AuditSettings | Mapping[str, Any] | File | None = None,
    baselines: Sequence[File] = (),
    baseline_models: Sequence[File] = (),
    groups: Sequence[str] = (),
    reasons: File | None = None,
    sidecar: Sidecar | File | None = None,
    seed: int = 0,
    fail_on: FailOn = "error",
    say: Say = lambda _: None,
) -> Report:
    """Check a model's reasons on data; what the command `audit` does.

    Args:
        model: path of an .onnx file.
        data: files of rows, each `file` or `input=file`.
        settings: a .toml file, its content, or `AuditSettings`; default: the pyproject.toml of this
            folder, as the command reads it.
        baselines: files that `--write-baseline` wrote.
        baseline_models: earlier .onnx files, explained on the same data in the same mode.
        groups: columns of the data that say which people a row is about; default: the settings'.
        reasons: a file of sentences for those who are denied an outcome; default: the settings'.
        sidecar: of all models; default: the one beside each, or else the model's.
        seed: of every draw. fail_on: failed checks of which severity stop the model.
        say: told what is going on.

    Raises BacktraceError where something cannot be read, or the rows cannot be explained.
    """
    found = open_audit(
        model,
        data,
        settings=settings,
        baselines=baselines,
        baseline_models=baseline_models,
        groups=groups,
        reasons=reasons,
        sidecar=sidecar,
        seed=seed,
    )
    return run_opened(found, fail_on=fail_on, say=say)


def compare(
    old: File,
    new: File,
    data: str | Sequence[str],
    *,
    settings: AuditSettings | Mapping[str, Any] | File | None = None,
    sidecar: Sidecar | File | None = None,
    seed: int = 0,
    fail_on: FailOn = "error",
    say: Say = lambda _: None,
) -> Report:
    """Whether a model has the reasons of an earlier one on the same data.

    Only checks against the earlier model run; arguments are those of `audit`.
    """
    found = open_audit(
        new, data, settings=settings, baseline_models=[old], sidecar=sidecar, seed=seed
    )
    return run_opened(found, comparing=True, fail_on=fail_on, say=say)


def run_opened(
    found: OpenedAudit,
    *,
    comparing: bool = False,
    fail_on: FailOn = "error",
    say: Say = lambda _: None,
) -> Report:
    """Run all checks, or those of a comparison."""
    report = run_audit(
        found.subject,
        found.baselines,
        found.models,
        checks=COMPARING if comparing else CHECKS,
        fail_on=fail_on,
        names=found.names,
        config=found.config,
        say=say,
    )
    files = zip(found.files, report.facts["baselines"], strict=True)
    more = {
        "baselines": [{**one, "name": name} for name, one in files],
        "sidecar": found.sidecar,
        "comparing": comparing,
    }
    return replace(report, facts={**report.facts, **more})


def _settings(
    given: AuditSettings | Mapping[str, Any] | File | None,
) -> tuple[AuditSettings, str | None]:
    """Settings, and the file that they were read from."""
    if isinstance(given, AuditSettings):
        return given, None
    if isinstance(given, Mapping):
        return settings_of(given, "settings", IDS), None
    file = settings_file(None if given is None else Path(given))
    return (AuditSettings(), None) if file is None else (read_settings(file, IDS), str(file))


__all__ = ["OpenedAudit", "audit", "compare", "open_audit", "run_opened"]
