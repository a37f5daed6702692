"""The command `evaluate`: modes held to metrics on rows of data."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from backtrace_onnx.commands.report_output import print_json
from backtrace_onnx.commands.shared_options import (
    AS_JSON,
    ID_COLUMN,
    LABEL_COLUMN,
    MODEL,
    SIDECAR,
    TOKENIZER,
    output_options,
    with_options,
)
from backtrace_onnx.errors import RequestError

_OPTIONS = (
    MODEL,
    click.option(
        "--data", multiple=True, required=True, help="Rows: files, folders or patterns; repeatable."
    ),
    click.option(
        "--mode",
        "modes",
        multiple=True,
        help="A mode (`explain --help` lists them), auto, or random: relevance that is drawn, "
        "which every mode should beat; repeatable. Default: auto, default, gradient_x_input "
        "and random.",
    ),
    click.option(
        "--metric",
        "metrics",
        multiple=True,
        help="A metric (see below); repeatable. Default: faithfulness-correlation, abpc, "
        "fidelity, class-sensitivity, complexity.",
    ),
    click.option("--rows", default="200", show_default=True, help="Rows drawn, or all."),
    click.option("--out", type=click.Path(path_type=Path), help="Folder for what is measured."),
    click.option(
        "--replace",
        default="auto",
        show_default=True,
        help="What takes the place of parts: zeros, mean, blur, background (other rows), a number; "
        "auto: pictures are blurred, columns become the mean of the rows, tokens the mask.",
    ),
    click.option(
        "--square", type=click.IntRange(1), help="Pixels along the side of a picture's parts."
    ),
    click.option(
        "--masks",
        type=click.Path(path_type=Path),
        help="What should matter, for mass-inside and rank-inside: a folder of a mask for each "
        "picture, or a file for all rows: a picture (inside is what is not black), .npy, or .json "
        "with names of columns. Default: PICTURE_mask.png beside each.",
    ),
    click.option("--sets", type=click.IntRange(2), default=64, show_default=True, help="Random."),
    click.option(
        "--steps", type=click.IntRange(1), default=8, show_default=True, help="Of each curve."
    ),
    click.option(
        "--draws",
        type=click.IntRange(1),
        default=5,
        show_default=True,
        help="Noisy copies.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws."),
    click.option("--target", help="Label or index to explain; default: each row's largest entry."),
    output_options,
    SIDECAR,
    TOKENIZER,
    click.option("--baseline", help="zeros, mean, blur or a file, for the modes that compare."),
    click.option("--background", help="File or folder of samples, for the modes that compare."),
    LABEL_COLUMN,
    ID_COLUMN,
    click.option("--group-column", "groups", multiple=True, help="Who a row is about."),
    click.option(
        "--workers", type=click.IntRange(1), default=1, show_default=True, help="Parallel."
    ),
    click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be read."),
    click.option(
        "--no-resume", "resume", is_flag=True, flag_value=False, default=True, help="Begin anew."
    ),
    click.option("--on-unsupported", type=click.Choice(["error", "pass", "stop"]), default="error"),
    click.option("--engine", type=click.Choice(["numba", "onnxruntime"]), default="numba"),
    AS_JSON,
)


@click.command()
@with_options(*_OPTIONS)
def evaluate(model: Path, data: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Measure which --mode explains MODEL best on --data.

    Every mode explains the same rows, and every metric holds it to what the model answers where
    parts of a row are gone. With --out a run that was stopped, or killed, goes on with the same
    command; the folder holds evaluation.json, curves.png and measured.jsonl, a line for each row
    and mode.

    \b
    Metrics (+ larger is better, - smaller; docs/metrics.md):
      faithfulness-correlation +   what sets of parts are worth to the score
      faithfulness-estimate +      what single parts are worth
      morf -, lerf +, abpc +       the score while parts go, most or least relevant first
      insertion +                  while they come back
      fidelity +                   with few parts gone at a time
      completeness -, conservation -   what relevance lacks of the score, or of its start
      sensitivity-max -, sensitivity-mean -   how far noise moves it
      complexity -, sparseness +   on how few parts it lies
      class-sensitivity +          whether the runner-up has another map
      randomisation -              whether random weights have the same one
      mass-inside +, rank-inside + what lies in a mask of what should matter (--masks)

    \b
    Keys of --json:
      model, rows, there (in the data), metrics[] {name, better, question}, notes[], folder, resumed
      modes[]: mode, used[] (of auto), median_rank, seconds (of one explanation), curves {name: []}
        metrics {name: {mean, low, high, rows, rank, tied, beats_random} or null}
        errors[] {metric (null: of the mode), error, rows}
    """
    from backtrace_onnx.report.console import Waiting, console

    with Waiting("Loading the model") as waiting:
        from backtrace_onnx.evaluation.outputs import print_table
        from backtrace_onnx.evaluation.running import evaluate as evaluated

        def progress(done: int, about: int) -> None:
            waiting.doing(f"Measuring: {done} of {about} rows and modes", done, about)

        options = {k: v for k, v in asked.items() if v is not None and v != ()}
        made = evaluated(model, data, **_read(options), progress=progress)
    if as_json:
        return print_json(made.record())
    print_table(console(), made)


def _read(options: dict[str, Any]) -> dict[str, Any]:
    """The options as Python takes them. Raises RequestError for what is no number."""
    options["rows"] = None if options["rows"] == "all" else _whole("--rows", options["rows"])
    axis = options.get("sample_axis")
    if axis is not None and axis != "none":
        options["sample_axis"] = _whole("--sample-axis", axis)
    with suppress(ValueError):
        options["replace"] = float(options["replace"])
    return options


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RequestError(f"{option} is a number, not {text!r}") from None
