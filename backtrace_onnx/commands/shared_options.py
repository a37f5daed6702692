"""Options that commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from backtrace_onnx.errors import RequestError

Command = TypeVar("Command", bound=Callable[..., object])
MODEL = click.argument("model", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
MODE = click.option(
    "--mode",
    default="auto",
    show_default=True,
    help="How it is explained (`explain --help` lists them); auto: what is for such networks. With "
    "parameters in parentheses: "
    '"integrated_gradients(steps=32)", "gamma(0.25)"; or a list of rules, "first: box, dense: '
    'gamma(0.25)", or a .toml file of them (docs/methods.md).',
)
_OUTPUT = click.option("--output", help="Tensor to explain; default: the first float output.")
_TASK = click.option(
    "--task",
    help="classification, regression, bbox, segmentation, generation, detection or ctc; "
    "a detector is recognised.",
)
_SCALER = click.option("--scaler", type=float, help="Total that relevance starts from.")
_THRESHOLD = click.option(
    "--threshold", type=float, help="Of a segmentation; default: the sidecar's, or 0.5."
)
_SAMPLE_AXIS = click.option(
    "--sample-axis", help="Axis of the output that holds samples, or none; default: found."
)
_CLASS_AXIS = click.option(
    "--class-axis", type=int, help="Axis of the output that holds an entry's classes."
)
SIDECAR = click.option(
    "--sidecar",
    type=click.Path(path_type=Path),
    help="How files become inputs; default: MODEL's name with .sidecar.json.",
)
TOKENIZER = click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json for texts."
)
LABEL_COLUMN = click.option(
    "--label-column", "labels", multiple=True, help="The right answer; no input."
)
ID_COLUMN = click.option(
    "--id-column", "ids", multiple=True, help="By which a row is found again; no input."
)
GROUP = click.option(
    "--group",
    "groups",
    multiple=True,
    help="NAME=MEMBER,...: inputs, columns (one*), places (x[3:7], image[0:9,4:8]) or words that "
    "are shown as one; repeatable. Default: the sidecar's.",
)
BASELINE = click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="zeros|mean|rows|blur|pad|mask|FILE",
    help="What modes that compare compare with; repeat it for several, which are averaged. A "
    "FILE's rows are one each; mean and rows are those of --background; pad and mask are "
    "for texts.",
)
BACKGROUND = click.option(
    "--background",
    type=click.Path(path_type=Path),
    help="File or folder of samples to compare with: each row, or their mean.",
)
REASONS = click.option(
    "--reasons",
    type=click.Path(path_type=Path),
    help="Sentences for features that speak against an outcome, a .toml file (docs/reasons.md).",
)
THROUGH = click.option(
    "--through",
    "through",
    multiple=True,
    metavar="TENSOR=1,5,7",
    help="Relevance passes only these channels, heads or units of a tensor inside the model; "
    "repeatable.",
)


def _page_file(_: click.Context, __: click.Parameter, html: Path | None) -> Path | None:
    """Raise RequestError, before anything is computed, where a page could not be written."""
    if html is None:
        return None
    from backtrace_onnx.report.page.writer import check_pages

    check_pages()
    if html.is_dir():
        raise RequestError(f"{html}: is a folder; name a file in it")
    if not html.absolute().parent.is_dir():
        raise RequestError(f"{html}: its folder is not there")
    return html


HTML = click.option(
    "--html",
    type=click.Path(path_type=Path),
    callback=_page_file,
    help="File for a page of HTML that needs no other.",
)
OPEN = click.option("--open", "opened", is_flag=True, help="Show the page of --html in a browser.")


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command these arguments and options, in this order."""

    def given(command: Command) -> Command:
        for option in reversed(options):  # as decorators are applied: the last one first
            command = option(command)
        return command

    return given


output_options = with_options(_OUTPUT, _TASK, _SCALER, _THRESHOLD, _SAMPLE_AXIS, _CLASS_AXIS)
"""What of an output is explained, and what its axes are."""
