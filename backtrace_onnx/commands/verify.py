"""The command `verify`: what a file holds, computed again and compared bit for bit."""

from __future__ import annotations

from pathlib import Path

import click

from backtrace_onnx.commands.report_output import print_json
from backtrace_onnx.commands.shared_options import AS_JSON

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option("--model", type=FILE, help="The .onnx file, where it lies elsewhere than it did.")
@click.option("--data", multiple=True, help="Rows of a report or baseline, likewise; repeatable.")
@AS_JSON
def verify(file: Path, model: Path | None, data: tuple[str, ...], as_json: bool) -> None:
    """Compute FILE again, and compare it bit for bit.

    FILE is a saved explanation (.npz, or the folder of `explain --out`), the report of an audit or
    a comparison (--json), or a baseline. It tells what it was made of, by hashes; another model or
    other data are refused. Exits with 0: the same; 1: not the same; 2: something is not there, or
    another one.

    \b
    Keys of --json: file, kind, same, compared, different[], notes[]
    """
    from backtrace_onnx.report.console import Waiting, console
    from backtrace_onnx.verification import verify as verified

    with Waiting("Computing again"):
        found = verified(file, model=model, data=data)
    if as_json:
        print_json({**vars(found), "same": found.same})
    elif found.same:
        what = f"all {found.compared} parts are the same, bit for bit"
        console().print(f"{found.file}: {found.kind}: {what}")
    else:
        console().print(f"{found.file}: {found.kind}: not the same: {', '.join(found.different)}")
        for note in found.notes:
            console().print(f"note: {note}")
    raise click.exceptions.Exit(0 if found.same else 1)
