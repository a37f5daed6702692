"""The command `audit`: checks of a model's reasons, for a pipeline to pass or stop at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.audit_options import (
    FILE,
    READ,
    REPORTS,
    audit_options,
    check_installed,
    finish,
    write_reports,
)
from backtrace_onnx.commands.files_apart import check_apart
from backtrace_onnx.commands.shared_options import MODEL, REASONS

if TYPE_CHECKING:
    from backtrace_onnx.audit.running import Report
    from backtrace_onnx.report.console import Waiting


def _print_schema(context: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is None or context.resilient_parsing:
        return
    check_installed()
    from backtrace_onnx.audit.outputs.schemas import schema_text

    click.echo(schema_text(name), nl=False)
    context.exit()


@click.command()
@MODEL
@click.option(
    "--baseline",
    "baselines",
    type=FILE,
    multiple=True,
    help="What the reasons were: drift is checked. Several, of retrained models, say how much they "
    "move by chance.",
)
@click.option(
    "--baseline-model",
    "baseline_models",
    type=FILE,
    multiple=True,
    help="An earlier model: it is explained on the same DATA, and compared row by row, too; "
    "repeatable.",
)
@REASONS
@click.option("--write-baseline", type=FILE, help="File for what the reasons are now.")
@click.option(
    "--schema",
    type=click.Choice(["settings", "report", "baseline"]),
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON schema of a file, and exit.",
)
@audit_options
def audit(**asked: Any) -> None:
    """Check MODEL's reasons on DATA, and against a baseline.

    Each check answers a question with a number and holds it to a bound: docs/audit.md lists them.
    Exits with 0: passed; 1: a check stops the model; 2: wrong use or input; 3: a check or the
    audit itself failed.
    """
    finish(lambda waiting: _audited(waiting, **asked))


def _audited(
    waiting: Waiting,
    *,
    model: Path,
    data: tuple[str, ...],
    config: Path | None,
    baselines: tuple[Path, ...],
    baseline_models: tuple[Path, ...],
    write_baseline: Path | None,
    fail_on: Any,
    **asked: Any,
) -> Report:
    """Run the audit and write its files."""
    from backtrace_onnx.audit.baseline import Baseline
    from backtrace_onnx.audit.calls import open_audit, run_opened
    from backtrace_onnx.audit.outputs.tables import write_text

    files = {name: asked.pop(name) for name in REPORTS}
    written, models = (write_baseline, *files.values()), (model, *baseline_models)
    check_apart(written, models, (config, *baselines, *map(asked.get, READ)), data)
    found = open_audit(
        model,
        data,
        settings=config,
        baselines=baselines,
        baseline_models=baseline_models,
        **asked,
    )
    check_apart(written, models, found.subject.settings.files)
    report = run_opened(found, fail_on=fail_on, say=waiting.say)
    write_reports(report, files)
    if write_baseline is not None:
        like = found.baselines[0] if found.baselines else None
        write_text(write_baseline, Baseline.of(found.subject, like).text())
    return report
