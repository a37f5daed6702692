"""The command `ops`."""

from __future__ import annotations

import click

from backtrace_onnx.commands.report_output import print_json
from backtrace_onnx.commands.shared_options import AS_JSON


@click.command()
@AS_JSON
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
def ops(as_json: bool, markdown: bool) -> None:
    """List the operators that have a rule.

    \b
    Keys of --json, a list: domain, operator, since (opset version), rule
    """
    from backtrace_onnx.commands import operators
    from backtrace_onnx.report.console import console

    if as_json and markdown:
        raise click.UsageError("choose --json or --markdown")
    if as_json:
        print_json(operators.as_records())
    elif markdown:
        click.echo(operators.as_markdown())
    else:
        operators.print_operators(console())


__all__ = ["ops"]
