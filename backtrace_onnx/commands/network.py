"""The command `network`: what a network does with relevance, part by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtrace_onnx.commands.explain_dataset import read_options
from backtrace_onnx.commands.report_output import print_json
from backtrace_onnx.commands.shared_options import (
    AS_JSON,
    BACKGROUND,
    BASELINE,
    ID_COLUMN,
    LABEL_COLUMN,
    MODE,
    MODEL,
    SIDECAR,
    TOKENIZER,
    output_options,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from backtrace_onnx.network.network_analysis import NetworkAnalysis
    from backtrace_onnx.network.numbers import PartNumbers

_KINDS = ("layer", "module", "node", "input")


_OPTIONS = (
    MODEL,
    click.argument("data", nargs=-1, required=True),
    click.option(
        "--parts",
        type=click.Choice([*_KINDS, "all"]),
        multiple=True,
        default=["layer", "input"],
        show_default=True,
        help="What the table tells of; repeatable. JSON tells of all.",
    ),
    MODE,
    click.option("--target", help="Label or index to explain; default: each row's largest entry."),
    output_options,
    SIDECAR,
    TOKENIZER,
    BASELINE,
    BACKGROUND,
    LABEL_COLUMN,
    ID_COLUMN,
    click.option("--group-column", "groups", multiple=True, help="Who a row is about."),
    click.option("--no-classes", is_flag=True, help="Do not compare the two likeliest classes."),
    click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Rows."),
    click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be read."),
    click.option(
        "--out", type=click.Path(path_type=Path), help="Folder for the picture and numbers."
    ),
    AS_JSON,
)


@click.command()
@with_options(*_OPTIONS)
def network(
    model: Path,
    data: tuple[str, ...],
    parts: tuple[str, ...],
    no_classes: bool,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Follow relevance through MODEL, in the mean over the rows of DATA.

    DATA are files as `explain-dataset` takes them. Numbers are in parts of what each row's
    relevance started with. --out writes flow.png and report.json.

    \b
    Keys of --json:
      format, rows, mode, inputs, constants, unassigned, cut, equal_from (the layer from which on
        maps of two classes are equal; "": they differ; null: not compared), notes[], files[]
      parts[]: kind (node, layer, module, input), name, operator, nodes
        received, absorbed (by biases and constants), unassigned, positive, negative,
        entropy, effective (spread, from 0 to 1), classes_alike (cosine)
        saturation {saturated, dead}, or null
    """
    from backtrace_onnx.report.console import Waiting, console

    with Waiting("Loading the model") as waiting:
        from backtrace_onnx.network.network_analysis import network_analysis

        def progress(done: int, about: int) -> None:
            waiting.doing(f"Explaining: {done} of about {about} rows", done, about)

        options = read_options({k: v for k, v in asked.items() if v is not None and v != ()})
        options |= {"classes": not no_classes, "progress": progress}
        made = network_analysis(model, list(data), **options)
        files = _write(made, out) if out else []
    if as_json:
        return print_json({**made.record(), "files": files})
    _print(console(), made, _KINDS if "all" in parts else parts)
    if files:
        console().print(f"{out}: {', '.join(files)}")


def _write(made: NetworkAnalysis, out: Path) -> list[str]:
    from backtrace_onnx.commands.output_folder import REPORT, whole_folder

    files = ["flow.png", REPORT]
    with whole_folder(out) as folder:
        made.plot(folder / "flow.png")
        text = json.dumps({**made.record(), "files": files}, indent=1, ensure_ascii=False)
        (folder / REPORT).write_text(text + "\n", "utf-8")
    return files


def _print(to: Console, made: NetworkAnalysis, kinds: Sequence[str]) -> None:
    from backtrace_onnx.report.console import show, table

    to.print(f"{made.rows} row(s), mode {made.mode}: {made.title}")
    names = ("received", "absorbed", "nobody", "for", "against", "spread", "alike", "saturated")
    for kind in kinds:
        own = [part for part in made.parts if part.kind == kind]
        if not own:
            continue
        to.print("")
        rows = table(to, kind, *names, right=tuple(range(1, len(names) + 1)))
        for part in own:
            rows.add_row(part.name, *_cells(part))
        show(to, rows)
    for note in made.notes:
        to.print(f"note: {note}")


def _cells(part: PartNumbers) -> list[str]:
    shares = (part.received, part.absorbed, part.unassigned, part.positive, part.negative)
    cells = [*map(_percent, shares), _percent(part.entropy)]
    cells.append("" if part.classes_alike is None else f"{part.classes_alike:.3f}")
    own = part.saturation
    dead = f" ({own.dead:.0%} dead)" if own is not None and own.dead else ""
    return [*cells, "" if own is None else f"{own.saturated:.0%}{dead}"]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{round(value, 3) + 0.0:.1%}"
