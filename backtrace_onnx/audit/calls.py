"""The calls of users: audit a model on data, compare two models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from backtrace_onnx.audit.baseline import Baseline, load_baselines
from backtrace_onnx.audit.checks.catalogue import CHECKS, COMPARING, IDS
from backtrace_onnx.audit.naming import check_names
from backtrace_onnx.audit.pairing import check_features, explain_alike, find_sidecars
from backtrace_onnx.audit.running import FailOn, Report, run_audit
from backtrace_onnx.audit.settings import AuditSettings, read_settings, settings_file, settings_of
from backtrace_onnx.audit.subject import AuditedModel
from backtrace_onnx.data.given_batches import GIVEN, is_given
from backtrace_onnx.data.option_names import check_options
from backtrace_onnx.data.reading import Data as Rows
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.path_arguments import path_of, texts_of
from backtrace_onnx.inputs.sidecar import Sidecar, opened

File = str | os.PathLike[str]
Say = Callable[[str], None]


_CALLED = ("baselines", "baseline_models", "fail_on", "say")


class AuditOptions(TypedDict, total=False):
    """What `audit` and `compare` take besides the models and the data.

    Attributes:
        settings: a .toml file, its content, or `AuditSettings`; default: the pyproject.toml of this
            folder, as the command reads it.
        label: column of the data that holds the right answers. ids: columns by which a row is found
            again. groups: columns that say which people it is about. tokenizer: tokenizer.json, for
            texts. background: a file of samples, for modes that compare.
        reasons: a file of sentences for those who are denied an outcome. It and all above default
            to the settings', columns else to the sidecar's.
        sidecar: of all models; default: the one beside each, or else another one's.
        seed: of every draw.
    """

    settings: AuditSettings | Mapping[str, Any] | File | None
    label: str | None
    ids: Sequence[str]
    groups: Sequence[str]
    tokenizer: File | None
    background: File | None
    reasons: File | None
    sidecar: Sidecar | File | None
    seed: int


@dataclass(frozen=True)
class OpenedAudit:
    """A model, its data and what it is compared with, opened.

    Attributes:
        names: of the model and the data. config: the file of the settings. sidecar: where one was
            named. files: of the baselines. notes: what was assumed.
    """

    subject: AuditedModel
    baselines: tuple[Baseline, ...]
    models: tuple[AuditedModel, ...]
    names: tuple[str, tuple[str, ...]]
    config: str | None = None
    sidecar: str | None = None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_audit(
    model: File,
    data: Rows,
    *,
    baselines: Sequence[File] = (),
    baseline_models: Sequence[File] = (),
    **options: Unpack[AuditOptions],
) -> OpenedAudit:
    """Read all that an audit takes, as `audit` says. Raises BacktraceError."""
    check_options(options, (*AuditOptions.__annotations__, *_CALLED), explains=False)
    files = (GIVEN,) if is_given(data) else texts_of(data, "data")
    rows: Rows = data if is_given(data) else files
    baselines = texts_of(baselines, "baselines")
    baseline_models, path = texts_of(baseline_models, "baseline_models"), path_of(model, "model")
    wanted, config = _settings(options)
    before = load_baselines([Path(one) for one in baselines])
    given = opened(options.get("sidecar"))
    sidecars, notes = find_sidecars([path, *map(Path, baseline_models)], given)
    seed = options.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise RequestError(f"seed is a number, 0 or more, not {seed!r}")
    new = AuditedModel(path, rows, wanted, sidecars[0], seed)
    check_names(new, config or "settings")
    models = tuple(
        AuditedModel(Path(path), rows, wanted, sidecar, seed)
        for path, sidecar in zip(baseline_models, sidecars[1:], strict=True)
    )
    check_features(new, models)
    for one in models:
        explain_alike(one, new)
    named = str(given.path) if given else None
    names = (str(model), files)
    return OpenedAudit(new, before, models, names, config, named, tuple(map(str, baselines)), notes)


def audit(
    model: File,
    data: Rows,
    *,
    baselines: Sequence[File] = (),
    baseline_models: Sequence[File] = (),
    fail_on: FailOn = "error",
    say: Say = lambda _: None,
    **options: Unpack[AuditOptions],
) -> Report:
    """Check a model's reasons on data; what the command `audit` does.

    Args:
        model: path of an .onnx file.
        data: files of rows, or rows at hand, as `explain_dataset` takes them.
        baselines: files that `--write-baseline` wrote.
        baseline_models: earlier .onnx files, explained on the same data in the same mode.
        fail_on: failed checks of which severity stop the model. say: told what is going on.
        options: those of `AuditOptions`.

    Raises BacktraceError where something cannot be read, or the rows cannot be explained.
    """
    found = open_audit(model, data, baselines=baselines, baseline_models=baseline_models, **options)
    return run_opened(found, fail_on=fail_on, say=say)


def compare(
    old: File,
    new: File,
    data: Rows,
    *,
    fail_on: FailOn = "error",
    say: Say = lambda _: None,
    **options: Unpack[AuditOptions],
) -> Report:
    """Whether a model has the reasons of an earlier one on the same data.

    Only checks against the earlier model run; arguments are those of `audit`.
    """
    found = open_audit(new, data, baseline_models=[old], **options)
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
    rows = report.facts["data"]["rows"]
    notes = [*report.facts["notes"], *({"text": note, "rows": rows} for note in found.notes)]
    more = {
        "notes": notes,
        "baselines": [{**one, "name": name} for name, one in files],
        "sidecar": found.sidecar,
        "comparing": comparing,
    }
    return replace(report, facts={**report.facts, **more})


def _settings(options: AuditOptions) -> tuple[AuditSettings, str | None]:
    """Settings with the options that go above them, and the file that they were read from."""
    given, file = options.get("settings"), None
    if isinstance(given, AuditSettings):
        made = given
    elif isinstance(given, Mapping):
        made = settings_of(given, "settings", IDS)
    else:
        file = settings_file(None if given is None else path_of(given, "settings"))
        made = AuditSettings() if file is None else read_settings(file, IDS)
    told = ("label", "tokenizer", "background", "reasons")
    above: dict[str, Any] = {name: options.get(name) for name in told}
    above = {n: None if value is None else str(path_of(value, n)) for n, value in above.items()}
    for name in ("ids", "groups"):
        columns = options.get(name)
        above[name] = () if columns is None else texts_of(columns, name)
    made = made.model_copy(update={name: value for name, value in above.items() if value})
    return made, None if file is None else str(file)


__all__ = ["AuditOptions", "OpenedAudit", "audit", "compare", "open_audit", "run_opened"]
