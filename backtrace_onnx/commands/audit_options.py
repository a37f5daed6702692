"""Options that `audit` and `compare` share, and how both end."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.shared_options import BACKGROUND, HTML, SIDECAR, TOKENIZER, Command
from backtrace_onnx.errors import AuditError, BacktraceError, RequestError

if TYPE_CHECKING:
    from backtrace_onnx.audit.running import Report
    from backtrace_onnx.report.console import Waiting

NEEDED = ("pydantic", "junitparser", "scipy")
FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--data",
        multiple=True,
        required=True,
        help="Rows: files, folders or patterns, as `explain-dataset` takes them, or INPUT=FILE; "
        "repeatable.",
    ),
    click.option(
        "--config",
        type=FILE,
        help="Settings, a .toml file; default: [tool.backtrace-onnx.audit] of this folder's "
        "pyproject.toml, where there is one.",
    ),
    click.option(
        "--label-column",
        "label",
        help="Column of the data with the right answers; of pictures `folder`, too. Default: the "
        "settings', or the sidecar's.",
    ),
    click.option(
        "--id-column", "ids", multiple=True, help="By which a row is found again; repeatable."
    ),
    click.option(
        "--group-column",
        "groups",
        multiple=True,
        help="Column of the data that says which people a row is about; repeatable. Default: the "
        "settings', or the sidecar's.",
    ),
    TOKENIZER,
    BACKGROUND,
    click.option("--json", "as_json", type=FILE, help="File for the report as JSON."),
    click.option("--junit", type=FILE, help="File for the report as JUnit XML."),
    click.option("--markdown", type=FILE, help="File for the report as Markdown."),
    click.option("--sarif", type=FILE, help="File for the report as SARIF 2.1.0."),
    HTML,
    click.option(
        "--model-card",
        type=FILE,
        help="File for a model card: Markdown, or where it ends in .json a CycloneDX ML-BOM.",
    ),
    click.option(
        "--fail-on",
        type=click.Choice(["warning", "error", "never"]),
        default="error",
        show_default=True,
        help="Failed checks of which severity stop the model.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws."),
    SIDECAR,
)
REPORTS = ("as_json", "junit", "markdown", "sarif", "html", "model_card")
"""Options that name a file for the report."""
READ = ("sidecar", "tokenizer", "background", "reasons")
"""Options that name a file that is read."""


def audit_options(command: Command) -> Command:
    """The data, the settings, the files of the report."""
    for option in reversed(_OPTIONS):  # as decorators are applied: the last one first
        command = option(command)
    return command


def check_installed() -> None:
    """Raise RequestError where a package that audits need is not there."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise RequestError(
            f"an audit needs {' and '.join(absent)}: pip install 'backtrace-onnx[audit]'"
        )


def finish(make: Callable[[Waiting], Report]) -> None:
    """Run an audit, print its table, and exit as its checks say. Raises BacktraceError."""
    from backtrace_onnx.report.console import Waiting, console

    check_installed()
    try:
        with Waiting("Loading the model") as waiting:
            report = make(waiting)
        from backtrace_onnx.audit.outputs.annotations import annotation_lines
        from backtrace_onnx.audit.outputs.tables import print_report

        print_report(console(), report)
        for line in annotation_lines(report):
            click.echo(line)
    except (BacktraceError, click.ClickException, BrokenPipeError):
        raise
    except Exception as error:
        what = f"the audit failed: unexpected {type(error).__name__}: {error}"
        raise AuditError(what) from error
    raise click.exceptions.Exit(report.exit_code)


def write_reports(report: Report, files: dict[str, Path | None]) -> None:
    """Write the report to every file that was named. Raises RequestError."""
    from backtrace_onnx.audit.outputs import model_card, tables
    from backtrace_onnx.audit.outputs.page import as_html
    from backtrace_onnx.audit.outputs.sarif import as_sarif

    makers: dict[str, Callable[[Any], str]] = {
        "as_json": tables.as_json,
        "junit": tables.as_junit,
        "markdown": tables.as_markdown,
        "sarif": as_sarif,
        "html": as_html,
        "model_card": model_card.as_model_card,
    }
    for name, path in files.items():
        if path is not None:
            bom = name == "model_card" and path.suffix.lower() == ".json"
            make = model_card.as_cyclonedx if bom else makers[name]
            tables.write_text(path, make(report))
