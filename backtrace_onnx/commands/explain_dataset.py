"""The command `explain-dataset`: every row of a data set, into a folder of .parquet parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.report_output import print_json
from backtrace_onnx.commands.shared_options import (
    AS_JSON,
    BACKGROUND,
    BASELINE,
    ID_COLUMN,
    LABEL_COLUMN,
    MODE,
    MODEL,
    REASONS,
    SIDECAR,
    TOKENIZER,
    output_options,
    with_options,
)
from backtrace_onnx.errors import RequestError

if TYPE_CHECKING:
    from backtrace_onnx.data.explain_dataset import DatasetResults

_TOLD = 10  # rows that could not be read, which are named


_OPTIONS = (
    MODEL,
    click.argument("data", nargs=-1, required=True),
    click.option(
        "--out", type=click.Path(path_type=Path), required=True, help="Folder of the results."
    ),
    MODE,
    click.option(
        "--target",
        help="Label or index to explain, in all rows; default: each row's largest entry.",
    ),
    output_options,
    SIDECAR,
    TOKENIZER,
    BASELINE,
    BACKGROUND,
    REASONS,
    LABEL_COLUMN,
    ID_COLUMN,
    click.option(
        "--group-column",
        "groups",
        multiple=True,
        help="Who a row is about; an input as well where the model takes it by name. All three are "
        "repeatable, and are the sidecar's where they are not given.",
    ),
    click.option("--batch", type=click.IntRange(1), help="Rows at once; default: by the model."),
    click.option(
        "--part-rows",
        type=click.IntRange(1),
        help="Rows of a part; default: 16 batches, at least 4096.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes."
    ),
    click.option(
        "--skip-bad", is_flag=True, help="Leave out rows that cannot be read, and count them."
    ),
    click.option(
        "--no-resume", "resume", is_flag=True, flag_value=False, default=True, help="Begin anew."
    ),
    click.option("--on-unsupported", type=click.Choice(["error", "pass", "stop"]), default="error"),
    click.option("--engine", type=click.Choice(["numba", "onnxruntime"]), default="numba"),
    AS_JSON,
)


@click.command(name="explain-dataset")
@with_options(*_OPTIONS)
def explain_dataset(model: Path, data: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Explain every row of DATA into a folder of .parquet parts.

    DATA are .csv, .parquet, .json, .jsonl, .npz or .npy files, .txt (a text a line), pictures or
    .wav; folders and patterns in quotes ("photos/*.png"), and INPUT=FILE, too. Memory stays that of
    some batches. A run that is stopped, or killed, goes on where it was with the same command.

    \b
    Columns of the results: row/file, row/line, label/, id/ and group/<column>,
      prediction and target (each also _label, _value),
      relevance/<feature>, or lists relevance/<input> (contrastive also positive/, negative/),
      ledger/<start, inputs, constants, unassigned, cut>, notes,
      with --reasons reason/1 (a code; also _text, _features, _share, _confirmed), /denied, /untold

    \b
    Keys of --json:
      folder, rows, skipped, bad[] {source, line, reason}, parts[], notes[], resumed (parts kept)
    """
    from backtrace_onnx.report.console import Waiting

    with Waiting("Loading the model") as waiting:
        from backtrace_onnx.data.explain_dataset import explain_dataset as explained

        def progress(done: int, about: int) -> None:
            waiting.doing(f"Explaining: {done} of about {about} rows", done, about)

        options = {k: v for k, v in asked.items() if v is not None and v != ()}
        if "reasons" in options:
            from backtrace_onnx.commands.reason_options import reason_columns

            options["more"] = reason_columns(options.pop("reasons"))
        made = explained(model, data, **read_options(options), progress=progress)
    if as_json:
        return print_json(_record(made))
    for line in _lines(made):
        click.echo(line)


def read_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options as Python takes them."""
    if "baselines" in options:
        options["baseline"] = list(options.pop("baselines"))
    samples = options.get("sample_axis")
    if samples is not None and samples != "none":
        try:
            options["sample_axis"] = int(samples)
        except ValueError:
            raise RequestError(
                f"--sample-axis is the number of an axis or none, not {samples!r}"
            ) from None
    return options


def _record(made: DatasetResults) -> dict[str, Any]:
    return {
        "folder": str(made.folder),
        "rows": made.rows,
        "skipped": made.skipped,
        "bad": [vars(bad) for bad in made.bad],
        "parts": [str(part) for part in made.parts],
        "notes": list(made.notes),
        "resumed": made.resumed,
    }


def _lines(made: DatasetResults) -> list[str]:
    from backtrace_onnx.messages.terminal_text import visible

    kept = f", {made.resumed} of them kept" if made.resumed else ""
    lines = [f"{made.rows} rows explained: {made.folder} ({len(made.parts)} part(s){kept})"]
    if made.skipped:
        lines.append(f"{made.skipped} row(s) could not be read and were left out:")
        lines += [f"  {bad.reason}" for bad in made.bad[:_TOLD]]
        more = made.skipped - min(len(made.bad), _TOLD)
        lines += [f"  and {more} more"] if more else []
    return [visible(line) for line in (*lines, *(f"note: {note}" for note in made.notes))]
