"""The command `audit`: checks of a model's reasons, for a pipeline to pass or stop at."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.shared_options import MODEL, SIDECAR
from backtrace_onnx.errors import AuditError, BacktraceError, RequestError

if TYPE_CHECKING:
    from backtrace_onnx.audit.running import Report
    from backtrace_onnx.report.console import Waiting

NEEDED = ("pydantic", "junitparser")
FILE = click.Path(path_type=Path)


@click.command()
@MODEL
@click.option("--data", multiple=True, required=True, help="Rows: FILE or INPUT=FILE; repeatable.")
@click.option(
    "--config",
    type=FILE,
    help="Settings, a .toml file; default: [tool.backtrace-onnx.audit] of this folder's "
    "pyproject.toml, where there is one.",
)
@click.option(
    "--baseline",
    "baselines",
    type=FILE,
    multiple=True,
    help="What the reasons were: drift is checked. Several, of retrained models, say how much they "
    "move by chance.",
)
@click.option("--write-baseline", type=FILE, help="File for what the reasons are now.")
@click.option("--json", "as_json", type=FILE, help="File for the report as JSON.")
@click.option("--junit", type=FILE, help="File for the report as JUnit XML.")
@click.option("--markdown", type=FILE, help="File for the report as Markdown.")
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "error", "never"]),
    default="error",
    show_default=True,
    help="Failed checks of which severity stop the model.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws.")
@SIDECAR
def audit(**asked: Any) -> None:
    """Check MODEL's reasons on DATA, and against a baseline.

    Each check answers a question with a number and holds it to a bound: docs/audit.md lists them.
    Exits with 0: passed; 1: a check stops the model; 2: wrong use or input; 3: a check or the
    audit itself failed.
    """
    from backtrace_onnx.report.console import Waiting, console

    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise RequestError(
            f"an audit needs {' and '.join(absent)}: pip install 'backtrace-onnx[audit]'"
        )
    try:
        with Waiting("Loading the model") as waiting:
            report = _audited(waiting, **asked)
        from backtrace_onnx.audit.outputs import print_report

        print_report(console(), report)
    except (BacktraceError, click.ClickException, BrokenPipeError):
        raise
    except Exception as error:
        what = f"the audit failed: unexpected {type(error).__name__}: {error}"
        raise AuditError(what) from error
    raise click.exceptions.Exit(report.exit_code)


def _audited(
    waiting: Waiting,
    *,
    model: Path,
    data: tuple[str, ...],
    config: Path | None,
    baselines: tuple[Path, ...],
    write_baseline: Path | None,
    as_json: Path | None,
    junit: Path | None,
    markdown: Path | None,
    fail_on: Any,
    seed: int,
    sidecar: Path | None,
) -> Report:
    """Run the audit and write its files."""
    from backtrace_onnx.audit import outputs
    from backtrace_onnx.audit.baseline import Baseline, load_baselines
    from backtrace_onnx.audit.catalogue import IDS
    from backtrace_onnx.audit.running import run_audit
    from backtrace_onnx.audit.settings import read_settings
    from backtrace_onnx.audit.subject import Subject
    from backtrace_onnx.commands.sidecar_options import find_sidecar

    settings = read_settings(config, IDS)
    before = load_baselines(baselines)
    meaning = find_sidecar(model, sidecar)
    subject = Subject(model, data, settings, meaning, seed)
    report = run_audit(subject, before, fail_on=fail_on, names=(str(model), data), say=waiting.say)
    texts = (
        (as_json, outputs.as_json),
        (junit, outputs.as_junit),
        (markdown, outputs.as_markdown),
    )
    for path, made in texts:
        if path is not None:
            outputs.write_text(path, made(report))
    if write_baseline is not None:
        outputs.write_text(
            write_baseline, Baseline.of(subject, before[0] if before else None).text()
        )
    return report
