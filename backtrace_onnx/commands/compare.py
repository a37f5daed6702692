"""The command `compare`: whether a model has the reasons of an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.audit_options import (
    READ,
    REPORTS,
    audit_options,
    finish,
    write_reports,
)
from backtrace_onnx.commands.files_apart import check_apart

if TYPE_CHECKING:
    from backtrace_onnx.audit.running import Report
    from backtrace_onnx.report.console import Waiting


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@audit_options
def compare(**asked: Any) -> None:
    """Compare the reasons of NEW with those of OLD on DATA.

    Retrained, quantised, optimised, exported anew: are answers kept, and the reasons of each row?
    Runs the checks of `audit --baseline-model OLD` that compare, and exits as audit does.
    """
    finish(lambda waiting: _compared(waiting, **asked))


def _compared(
    waiting: Waiting,
    *,
    old: Path,
    new: Path,
    data: tuple[str, ...],
    config: Path | None,
    fail_on: Any,
    **asked: Any,
) -> Report:
    """Run the comparison and write its files."""
    from backtrace_onnx.audit.calls import open_audit, run_opened

    files = {name: asked.pop(name) for name in REPORTS}
    check_apart(files.values(), (old, new), (config, *map(asked.get, READ)), data)
    found = open_audit(new, data, baseline_models=[old], settings=config, **asked)
    check_apart(files.values(), (), found.subject.settings.files)
    report = run_opened(found, comparing=True, fail_on=fail_on, say=waiting.say)
    write_reports(report, files)
    return report
