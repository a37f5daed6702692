"""The command `global`: what a model's answers rest on over a whole data set."""

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
    GROUP,
    ID_COLUMN,
    LABEL_COLUMN,
    MODE,
    SIDECAR,
    TOKENIZER,
    output_options,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from backtrace_onnx.summary.global_explanation import GlobalExplanation
    from backtrace_onnx.summary.means import ShareMean, Slice

_OF_EXPLAINING = ("mode", "modules")  # options with a default, which results that are there lack


_OPTIONS = (
    click.argument("source", type=click.Path(path_type=Path)),
    click.argument("data", nargs=-1),
    click.option(
        "--by",
        multiple=True,
        help="Tell rows apart by class (what they were answered) or by a column; repeatable.",
    ),
    click.option(
        "--share",
        type=click.Choice(["inputs", "start"]),
        default="inputs",
        show_default=True,
        help="What relevance is divided by: the row's |relevance| of all inputs, or its start.",
    ),
    click.option("--modules", is_flag=True, help="Of the model's modules as well."),
    click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True),
    click.option("--confidence", type=float, default=0.95, show_default=True, help="Of intervals."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws."),
    MODE,
    click.option("--target", help="Label or index to explain; default: each row's largest entry."),
    output_options,
    SIDECAR,
    TOKENIZER,
    BASELINE,
    BACKGROUND,
    LABEL_COLUMN,
    ID_COLUMN,
    click.option("--group-column", "people", multiple=True, help="Who a row is about."),
    GROUP,
    click.option("--batch", type=click.IntRange(1), help="Rows at once; default: by the model."),
    click.option(
        "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes."
    ),
    click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be read."),
    click.option(
        "--top", type=click.IntRange(1), default=12, show_default=True, help="Features told."
    ),
    click.option("--out", type=click.Path(path_type=Path), help="Folder for pictures and numbers."),
    AS_JSON,
)


@click.command(name="global")
@with_options(*_OPTIONS)
def global_(
    source: Path, data: tuple[str, ...], top: int, out: Path | None, as_json: bool, **asked: Any
) -> None:
    """Tell what answers rest on over all rows: mean shares, intervals, ranks and ties.

    SOURCE is a model, with the DATA to explain (as `explain-dataset` takes them), or the folder of
    results that `explain-dataset` wrote. --out writes features.png, by-<column>.png, beeswarm.png,
    dependence.png, heatmap.png, map-<input>.png, words-<input>.png and report.json.

    \b
    Keys of --json:
      format, rows, skipped, share, resamples, confidence, seed, notes[], files[]
      slices[] (all rows first): by, value, rows, idle (rows without relevance)
        features[], groups[], modules[]: name, mean_abs, mean, mean_abs_interval, mean_interval,
          rank [best, worst], tied[] (whose order with this one is not settled)
        words {input: [{word, rows, mean, mean_abs, interval}]}
    """
    from backtrace_onnx.report.console import Waiting, console

    with Waiting("Loading the model" if data else "Reading results") as waiting:
        made = _made(waiting, source, data, asked)
        files = _write(made, out, top) if out else []
    if as_json:
        return print_json({**made.record(), "files": files})
    _print(console(), made, top)
    if files:
        console().print(f"{out}: {', '.join(files)}")


def _made(waiting: Any, source: Path, data: tuple[str, ...], asked: Any) -> GlobalExplanation:
    from backtrace_onnx.results.group_members import read_options as read_groups
    from backtrace_onnx.summary.global_explanation import global_explanation

    def progress(done: int, about: int) -> None:
        waiting.doing(f"Explaining: {done} of about {about} rows", done, about)

    options = {k: v for k, v in asked.items() if v is not None and v != ()}
    groups = read_groups(options.pop("groups", ()))
    people = options.pop("people", ())
    options |= {"groups": groups} if groups else {}
    if not data:
        for name in _OF_EXPLAINING:
            options.pop(name)
        return global_explanation(source, **read_options(options))
    return global_explanation(
        source, data, group_columns=people, progress=progress, **read_options(options)
    )


def _write(made: GlobalExplanation, out: Path, top: int) -> list[str]:
    from backtrace_onnx.commands.output_folder import REPORT, whole_folder

    with whole_folder(out) as folder:
        files = [path.name for path in made.plot(folder, features=top)]
        record = {**made.record(), "files": [*files, REPORT]}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (folder / REPORT).write_text(text + "\n", "utf-8")
    return [*files, REPORT]


def _print(to: Console, made: GlobalExplanation, top: int) -> None:
    from backtrace_onnx.summary.records import KINDS

    skipped = f", {made.skipped} could not be read" if made.skipped else ""
    to.print(f"{made.rows} row(s){skipped}; intervals of {made.confidence:.0%}")
    for one in (made.whole, *made.slices):
        to.print("")
        to.print(f"{one.title}: {one.rows} row(s)")
        for kind, means in zip(KINDS, (one.features, one.groups, one.modules), strict=True):
            if means:
                _means(to, kind, means, top)
        for name, words in one.words.items():
            if words:
                _words(to, name, one, top)
    for note in made.notes:
        to.print(f"note: {note}")


def _means(to: Console, kind: str, means: Sequence[ShareMean], top: int) -> None:
    from backtrace_onnx.report.console import show, table
    from backtrace_onnx.report.signed_amounts import signed_percent

    rows = table(to, "rank", kind, "mean |share|", "", "mean share", "", right=(2, 4))
    for mean in means[:top]:
        best, worst = mean.rank
        rank = str(best) if best == worst else f"{best}-{worst}"
        ends = (_ends(mean.mean_abs_interval), _ends(mean.mean_interval))
        cells = (f"{mean.mean_abs:.2%}", ends[0], signed_percent(mean.mean, 2), ends[1])
        rows.add_row(rank, mean.name, *cells)
    show(to, rows)
    if len(means) > top:
        to.print(f"and {len(means) - top} more")


def _words(to: Console, name: str, one: Slice, top: int) -> None:
    from backtrace_onnx.report.console import show, table
    from backtrace_onnx.report.signed_amounts import signed_percent

    rows = table(to, f"word of {name}", "rows", "mean |share|", "mean share", "", right=(1, 2, 3))
    for word in one.words[name][:top]:
        cells = (f"{word.mean_abs:.2%}", signed_percent(word.mean, 2), _ends(word.interval))
        rows.add_row(word.word, str(word.rows), *cells)
    show(to, rows)


def _ends(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"
