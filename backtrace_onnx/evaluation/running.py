"""Modes of explanation, held to metrics on rows of data; a run that was killed goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backtrace_onnx.data.identity import (
    describe_options,
    find_versions,
    hash_data,
    hash_model,
    settled_options,
)
from backtrace_onnx.data.locking import locked
from backtrace_onnx.data.reading import Data, DataFile
from backtrace_onnx.data.reading_notes import left_out_rows
from backtrace_onnx.errors import RequestError
from backtrace_onnx.evaluation.evaluation import Evaluation
from backtrace_onnx.evaluation.intervals import need_scipy
from backtrace_onnx.evaluation.journal import Journal
from backtrace_onnx.evaluation.measuring import Measurer
from backtrace_onnx.evaluation.outputs import write
from backtrace_onnx.evaluation.reading import Effort
from backtrace_onnx.evaluation.settings import EvaluationSettings, check_number
from backtrace_onnx.evaluation.summary import RANDOM, summarise
from backtrace_onnx.evaluation.workers import measured
from backtrace_onnx.inputs.path_arguments import path_of
from backtrace_onnx.messages.listing import listed
from backtrace_onnx.model.file_reading import ModelLike

Progress = Callable[[int, int], None]
MODES = ("auto", "default", "gradient_x_input", RANDOM)
ROWS = 200


def evaluate(
    model: ModelLike,
    data: Data,
    *,
    modes: str | Sequence[str] = MODES,
    metrics: str | Sequence[str] = (),
    rows: int | str | None = ROWS,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    resume: bool = True,
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Hold modes of explanation to metrics on rows of data: a table with intervals and ranks.

    Args:
        model: path, bytes or ModelProto. data: as `explain_dataset` takes them.
        modes: names of modes, or one; "auto"; and "random": relevance that is drawn, which has no
            rank.
        metrics: names, or one (docs/metrics.md); default: five that say different things.
        rows: how many rows are drawn from the data; None or "all": all. seed: of every draw.
        out: a folder for what is measured; a run that was killed goes on there.
        resume: whether to go on where an earlier run stopped; else its results are removed.
        skip_bad: leave out rows that cannot be read. workers: processes that measure.
        progress: called with (rows and modes done, how many there are).
        options: replace (what takes the place of parts, as metrics take it, or "auto": by what
            inputs are); square (pixels along the side of the parts of a picture); sets, steps,
            draws (random sets of parts, steps of a curve, noisy copies: 64, 8, 5); masks (a file
            or folder of what should matter in rows, docs/metrics.md); sidecar,
            tokenizer; labels, ids, groups (columns that are no inputs); others of `Explainer` and
            `Explainer.explain`, such as target, task, output, baseline.

    Raises:
        InputError: data cannot be read, or do not fit the model; names file and line.
        RequestError: an option does not fit, scipy is not installed, or no mode runs at all.
        UnsupportedError: operators of the model have no rule.
    """
    need_scipy()
    check_number("workers", workers)
    how: Any = {"rows": rows, "skip_bad": skip_bad, "seed": seed}
    settings = EvaluationSettings.read(model, data, modes, metrics, options=options, **how)
    how["rows"] = settings.rows
    if out is None:
        return _evaluated(settings, None, {}, resume, workers, progress)
    told = {**how, **options, "sidecar": settings.opening["sidecar"]}
    with locked(_made(path_of(out, "out"))) as folder:
        return _evaluated(settings, folder, told, resume, workers, progress)


def _evaluated(
    settings: EvaluationSettings,
    folder: Path | None,
    told: Mapping[str, Any],
    resume: bool,
    workers: int,
    progress: Progress | None,
) -> Evaluation:
    measurer = Measurer(settings)
    run = {} if folder is None else _run(measurer, told)
    journal = Journal(folder, run, resume=resume)
    kept = _fill(journal, measurer, workers, progress)
    entries = [e for (_, mode), e in journal.entries.items() if mode in settings.modes]
    rows = len({entry.row for entry in entries})
    found = summarise(entries, settings.modes, measurer.metrics, settings.effort.seed)
    _check_some(found)
    notes, there = _notes(measurer, found, rows), measurer.rows.there
    about = (_name(settings.model), tuple(measurer.metrics), found, rows, there, notes)
    made = Evaluation(*about, folder, kept)
    if folder is not None:
        write(made, folder)
    return made


def _run(measurer: Measurer, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the folder says that it is an evaluation of."""
    metrics = [metric.name for metric in measurer.metrics]
    asked = {**told, "metrics": metrics, "target": measurer.subject.target}
    settled = settled_options(asked, **asdict(Effort()), replace="auto")
    made = {
        "model": hash_model(measurer.settings.model),
        "data": hash_data(measurer.rows.files).files,
        "options": describe_options(settled),
        "versions": find_versions(),
    }
    if measurer.localises:
        paths = tuple(measurer.mask_files.all())
        made["masks"] = hash_data([DataFile(paths, "files")]).files[0] if paths else "none"
    return made


def _fill(journal: Journal, measurer: Measurer, workers: int, progress: Progress | None) -> int:
    """Measure what the journal lacks; how many entries it had."""
    modes, count = measurer.settings.modes, len(measurer.rows)
    done = kept = sum(mode in modes for _, mode in journal.entries)
    wanted = [(n, tuple(m for m in modes if (n, m) not in journal.entries)) for n in range(count)]
    for entry in measured(measurer, [(n, todo) for n, todo in wanted if todo], workers):
        journal.add(entry)
        done += 1
        if progress is not None:
            progress(done, count * len(modes))
    return kept


def _check_some(found: Sequence[Any]) -> None:
    """Raise RequestError where no mode explained any row."""
    if any(mode.estimates.values() for mode in found if any(mode.estimates.values())):
        return
    why = [f"{m.mode}: {next(iter(next(iter(m.errors.values()))))}" for m in found if m.errors]
    raise RequestError(f"nothing could be measured. {listed(why, between='; ')}")


def _notes(measurer: Measurer, found: Sequence[Any], rows: int) -> tuple[str, ...]:
    """What one must know to read the table."""
    there, bad = measurer.rows.there, measurer.rows.bad
    notes = []
    if rows < there:
        seed = measurer.settings.effort.seed
        notes.append(f"{rows} of {there} rows, drawn with seed {seed}")
    if rows == 1:
        notes.append("one row has no interval, and ranks of it say nothing")
    if measurer.rows.masks:
        names = [path.name for path in measurer.rows.masks]
        notes.append(f"{len(names)} picture(s) are masks of others, and no rows: {listed(names)}")
    notes += (*left_out_rows(bad), *measurer.rows.notes)
    for mode in found:
        if mode.used:
            notes.append(f"auto was {', '.join(mode.used)}")
    first = next((row for row in measurer.rows.rows() if row is not None), None)
    if first is not None:
        notes.append(measurer.parts(measurer.subject.view(first.feeds)).words)
    return tuple(notes)


def _made(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{out}: cannot be written ({error.strerror})") from None
    return out


def _name(model: ModelLike) -> str:
    return str(model) if isinstance(model, str | os.PathLike) else "the model"


__all__ = ["MODES", "ROWS", "evaluate"]
