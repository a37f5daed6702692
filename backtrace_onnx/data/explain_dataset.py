"""A whole data set explained, row by row, into a folder that a killed run leaves in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.encoding import opens_files
from backtrace_onnx.data.explain_batches import ExplainBatches, ExplainedRows
from backtrace_onnx.data.given_batches import is_given
from backtrace_onnx.data.identity import (
    HashedData,
    describe_options,
    find_versions,
    hash_data,
    hash_model,
    settled_options,
)
from backtrace_onnx.data.locking import locked
from backtrace_onnx.data.reading import Data, DataFile, find_files
from backtrace_onnx.data.remote_files import is_url
from backtrace_onnx.data.results_folder import PartWriter, ResultsFolder
from backtrace_onnx.data.row_blocks import FILE, BadRow, RowBlock, cut_blocks
from backtrace_onnx.data.workers import explained
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.path_arguments import path_of, texts_of
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.model.file_reading import ModelLike

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetResults:
    """The results of a data set, in a folder.

    Attributes:
        folder: where they lie.
        rows: how many results there are.
        skipped: how many rows could not be read. bad: the first of them.
        parts: the files, in the order of the data.
        notes: what was left out or missing in reading, a sentence each.
        resumed: how many of the parts were there before.
    """

    folder: Path
    rows: int
    skipped: int
    parts: tuple[Path, ...]
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()
    resumed: int = 0

    def tables(self) -> Iterator[Any]:
        """The results part by part, as Arrow tables."""
        need_arrow()
        import pyarrow.parquet as pq

        for part in self.parts:
            yield pq.ParquetFile(part).read()

    def read(self) -> Any:
        """All results as one Arrow table; without columns where the data set has no rows."""
        pa = need_arrow()
        return pa.concat_tables(self.tables()) if self.parts else pa.table({})


def explain_dataset(
    model: ModelLike,
    data: Data,
    out: str | os.PathLike[str],
    *,
    mode: Any = None,
    batch: int | None = None,
    part_rows: int | None = None,
    resume: bool = True,
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> DatasetResults:
    """Explain every row of a data set into a folder of .parquet parts.

    A row has the columns that `ExplainBatches` returns, and `row/file` and `row/line`, where it
    lies. What a run that was killed has finished is kept: the same call goes on behind it, and
    its parts are the same bit for bit as those of one run.

    Args:
        model: path, bytes or ModelProto. out: the folder of results: parts and _manifest.json.
        data: a file, folder or pattern, or several, or rows at hand: what docs/datasets.md names.
        batch: rows that are read and explained at once; default: by the size of the model.
        part_rows: rows of the data that a part is of; default: 16 batches, at least 4096.
        resume: whether to go on where an earlier run stopped; else its results are removed.
        skip_bad: leave out and count rows that cannot be read.
        workers: processes that explain. progress: called with (rows done, about how many of all).
        mode, options: those of `ExplainBatches`; default: "default", of `ReasonColumns` "auto".

    Raises:
        InputError: data cannot be read, or do not fit the model; names file and line.
        RequestError: the folder is another run's, cannot be written, or an option does not fit.
    """
    _check(part_rows=1 if part_rows is None else part_rows, workers=workers)
    explain = ExplainBatches(model, mode=(mode := _mode(mode, options)), batch=batch, **options)
    files = find_files(data, explain.graph, opens=opens_files(explain.sidecar))
    hashed, batch = hash_data(files), explain.batch
    part_rows = part_rows or max(4096, 16 * batch)
    asked = {"mode": mode, "batch": batch, "skip_bad": skip_bad, **options}
    run = _run(model, hashed, {**asked, "target": explain.target}, part_rows)
    with locked(_made(path_of(out, "out"), data)) as folder:
        results = ResultsFolder(folder, run, resume=resume)
        resumed = len(results.parts)
        if not results.complete:
            explain.start(_blocks(files, batch), skip_bad=skip_bad)
            left = cut_blocks(_blocks(files, batch), part_rows, resumed)
            made = explained(explain, left, skip_bad=skip_bad, workers=workers)
            _write(results, made, part_rows, hashed.rows, progress)
        return _results(results, resumed)


def explain_rows(
    model: ModelLike,
    data: Data,
    *,
    batch: int | None = None,
    skip_bad: bool = False,
    workers: int = 1,
    **options: Any,
) -> Iterator[tuple[ExplainedRows, int]]:
    """The results of a data set batch by batch, each with about how many rows there are in all.

    Arguments and errors are those of `explain_dataset`; nothing is written.
    """
    need_arrow()
    explain = ExplainBatches(model, batch=batch, **options)
    files = find_files(data, explain.graph, opens=opens_files(explain.sidecar))
    about, batch = hash_data(files).rows, explain.batch
    for _, rows in explained(explain, _blocks(files, batch), skip_bad=skip_bad, workers=workers):
        yield rows, about


def _mode(mode: Any, options: dict[str, Any]) -> Any:
    """The mode that is named, or that of what adds columns."""
    more = options.get("more")
    if more is not None and not hasattr(more, "start"):
        raise RequestError(
            f"more adds columns, such as ReasonColumns, and is no {type(more).__name__}"
        )
    if mode is not None:
        return mode
    return "default" if more is None else more.mode


def _check(**counts: Any) -> None:
    """Raises RequestError for counts that are none, and where pyarrow is not installed."""
    need_arrow()
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(f"{name} is a number, at least 1, not {value!r}")


def _write(
    results: ResultsFolder,
    made: Iterable[tuple[RowBlock, ExplainedRows]],
    part_rows: int,
    about: int,
    progress: Progress | None,
) -> None:
    """Write results into parts of so many rows each, behind those that are there, and close.

    Args:
        about: how many rows the data have, as far as their files tell.
    """
    left, done = iter(made), sum(part.read for part in results.parts)
    first = next(left, None)
    while first is not None:
        with results.part() as part:
            for block, rows in _up_to(part_rows, first, left):
                done += _add(part, block, rows)
                if progress is not None:
                    progress(done, max(about, done))
        first = next(left, None)
    results.finish()


def _up_to(
    part_rows: int,
    first: tuple[RowBlock, ExplainedRows],
    rest: Iterator[tuple[RowBlock, ExplainedRows]],
) -> Iterator[tuple[RowBlock, ExplainedRows]]:
    """The first block and those behind it, until they are a part."""
    item: tuple[RowBlock, ExplainedRows] | None = first
    while item is not None:
        yield item
        part_rows -= item[0].rows
        item = next(rest, None) if part_rows > 0 else None


def _add(part: PartWriter, block: RowBlock, made: ExplainedRows) -> int:
    """Add the results of a block to a part; how many rows these were."""
    pa = need_arrow()
    rows = np.array(made.rows, np.intp)
    if block.kind == "files":
        files = pa.array(block.columns[FILE][rows], pa.string())
    else:
        files = pa.repeat(pa.scalar(block.source, pa.string()), len(rows))
    lines = np.array(block.lines, np.int64)[rows]
    where = {"row/file": files, "row/line": pa.array(lines, pa.int64())}
    columns = dict(zip(made.table.column_names, made.table.columns, strict=True))
    part.add(pa.table(where | columns), made.bad, made.notes)
    return len(made.rows) + len(made.bad)


def _blocks(files: Iterable[DataFile], rows: int) -> Iterator[RowBlock]:
    for file in files:
        yield from file.blocks(rows)


def _run(
    model: ModelLike, hashed: HashedData, asked: dict[str, Any], part_rows: int
) -> dict[str, Any]:
    """What the manifest says that this is a run of."""
    settled = settled_options(asked, values=False, modules=False)
    told = describe_options(settled) | {"part_rows": part_rows}
    if asked.get("sidecar") is None and isinstance(model, str | os.PathLike):
        beside = Sidecar.beside(model)
        told |= describe_options({"sidecar": None if beside is None else beside.path})
    return {
        "model": hash_model(model),
        "data": hashed.files,
        "options": told,
        "versions": find_versions(),
    }


def _made(out: Path, data: Data) -> Path:
    for given in () if is_given(data) else texts_of(data, "data"):
        local = not is_url(given)
        if local and Path(given).is_dir() and out.resolve().is_relative_to(Path(given).resolve()):
            raise RequestError(
                f"{out}: lies in the folder of the data ({given}), and would become data itself; "
                "choose another folder"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{out}: cannot be written ({error.strerror})") from None
    return out


def _results(results: ResultsFolder, resumed: int) -> DatasetResults:
    parts = results.parts
    return DatasetResults(
        results.path,
        sum(part.rows for part in parts),
        sum(part.skipped for part in parts),
        tuple(results.path / part.file for part in parts),
        tuple(bad for part in parts for bad in part.bad),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        resumed,
    )
