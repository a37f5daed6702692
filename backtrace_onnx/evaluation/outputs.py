"""What an evaluation leaves: a table for people, JSON, a picture of the curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.evaluation import Evaluation
from backtrace_onnx.evaluation.summary import ModeSummary
from backtrace_onnx.messages.listing import listed
from backtrace_onnx.messages.terminal_text import visible

if TYPE_CHECKING:
    from rich.console import Console

JSON, PICTURE = "evaluation.json", "curves.png"


def write(made: Evaluation, folder: Path) -> None:
    """Write table and picture into a folder. Raises RequestError where it cannot be written."""
    whole = folder / f".{JSON}"
    try:
        whole.write_text(json.dumps(made.record(), indent=1, ensure_ascii=False) + "\n", "utf-8")
        whole.replace(folder / JSON)
    except OSError as error:
        raise RequestError(f"{folder}: cannot be written ({error.strerror})") from None
    if any(mode.curves for mode in made.modes):
        made.plot(folder / PICTURE)


def print_table(to: Console, made: Evaluation) -> None:
    """Print modes and metrics as a table, and what is to be known beside it."""
    from backtrace_onnx.report.console import show, table

    arrows = {"larger": "+", "smaller": "-"}
    names = [f"{metric.name} {arrows[metric.better]}" for metric in made.metrics]
    columns = ("mode", *names, "ms", "median rank")
    rows = table(to, *columns, right=tuple(range(1, len(columns))))
    for mode in made.modes:
        cells = [_cell(mode, metric.name) for metric in made.metrics]
        middle = mode.median_rank
        rows.add_row(
            mode.mode,
            *cells,
            "" if not mode.seconds else f"{1000 * mode.seconds:.0f}",
            "" if middle is None else f"{middle:g}",
        )
    show(to, rows)
    for line in lines(made):
        to.print(line)


def lines(made: Evaluation) -> list[str]:
    """What is to be known beside the table: errors and notes."""
    told = [
        "mean +- half of the 95 % interval of it (bootstrap over rows), rank in brackets, = where "
        "intervals overlap; + larger is better, - smaller; ms of one explanation"
    ]
    if any(beats is False for mode in made.modes for beats in mode.beats_random.values()):
        told.append(
            "! no better than relevance that is drawn (random), row by row: says nothing, and "
            "counts in the median rank as the place behind all modes"
        )
    for mode in made.modes:
        for name, reasons in mode.errors.items():
            what = f"{mode.mode}, {name}" if name else mode.mode
            count = sum(reasons.values())
            told.append(f"{what}: not in {count} of {made.rows} rows: {_reasons(reasons)}")
    told += [f"note: {note}" for note in made.notes]
    if made.folder is not None:
        told.append(f"kept in {made.folder}")
    return [visible(line) for line in told]


def _reasons(reasons: Mapping[str, int]) -> str:
    """Each reason, and where there are several in how many rows it was."""
    if len(reasons) == 1:
        return next(iter(reasons))
    return listed([f"{text} ({count} row(s))" for text, count in reasons.items()], between="; ")


def _cell(mode: ModeSummary, name: str) -> str:
    found, place = mode.estimates[name], mode.ranks.get(name)
    if found is None:
        return "-"
    floor = " !" if mode.beats_random.get(name) is False else ""
    half = (found.high - found.low) / 2
    spread = "" if math.isnan(half) else f" +- {_short(half)}"
    return f"{_short(found.mean)}{spread}" + ("" if place is None else f" ({place})") + floor


def _short(value: float) -> str:
    return f"{value:.3g}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"


__all__ = ["lines", "print_table", "write"]
