"""Where rows of results come from: a folder of results, tables at hand, or a model and its data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.explain_dataset import DatasetResults, Progress, explain_rows
from backtrace_onnx.data.reading import Data
from backtrace_onnx.data.results_folder import MANIFEST, read_manifest
from backtrace_onnx.errors import RequestError
from backtrace_onnx.inputs.sidecar import Sidecar, opened
from backtrace_onnx.model.file_reading import ModelLike
from backtrace_onnx.summary.collecting import CLASS

Source = ModelLike | DatasetResults | Iterable[Any]
_READ = 8192


class Results:
    """Tables of results as they come, and what is told of them on the way.

    Attributes:
        notes: sentences. skipped: rows that could not be read.
        groups: lists of features by name, where a sidecar has some.
    """

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self.skipped = 0
        self.groups: Mapping[str, Sequence[str]] = {}
        self.tables: Iterator[Any] = iter(())

    @classmethod
    def there(cls, source: Source, options: Mapping[str, Any]) -> Results:
        """Results that are there. Raises RequestError where the source is none."""
        made = cls()
        if options:
            named = ", ".join(options)
            raise RequestError(f"{named}: options of explaining do not go with results; give data")
        pa = need_arrow()
        if isinstance(source, pa.Table):
            made.tables = iter([source])
        elif isinstance(source, DatasetResults):
            made.skipped = source.skipped
            made.tables = _parts(source.parts)
        elif isinstance(source, str | os.PathLike):
            made._read(Path(source))
        elif isinstance(source, Iterable) and not isinstance(source, bytes):
            made.tables = iter(source)
        else:
            raise RequestError("give data, or results: a folder, DatasetResults, or Arrow tables")
        return made

    @classmethod
    def explained(
        cls,
        model: ModelLike,
        data: Data,
        by: Sequence[str],
        progress: Progress | None,
        options: dict[str, Any],
    ) -> Results:
        """The results of a model's data, row by row as they are explained."""
        made = cls()
        sidecar = opened(options.get("sidecar"))
        if sidecar is None and isinstance(model, str | os.PathLike):
            sidecar = Sidecar.beside(model)
        made.groups = sidecar.groups if sidecar else {}
        kept = _kept(by, options, sidecar)
        made.tables = made._stream(explain_rows(model, data, **{**options, **kept}), progress)
        return made

    def _read(self, folder: Path) -> None:
        manifest = read_manifest(folder) if folder.is_dir() else None
        if manifest is None:
            raise RequestError(
                f"{folder}: is no folder of results (explain-dataset writes a {MANIFEST} there); "
                "of a model, give data as well"
            )
        if not manifest["complete"]:
            self.notes["the results are of a run that has not finished"] = None
        self.skipped = int(manifest["skipped"])
        self.tables = _parts([folder / part["file"] for part in manifest["parts"]])

    def _stream(self, made: Iterable[Any], progress: Progress | None) -> Iterator[Any]:
        done = 0
        for rows, about in made:
            self.skipped += len(rows.bad)
            self.notes |= dict.fromkeys(rows.notes)
            done += rows.table.num_rows + len(rows.bad)
            if progress is not None:
                progress(done, max(about, done))
            yield rows.table


def _parts(files: Iterable[Path]) -> Iterator[Any]:
    pa = need_arrow()
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as part:
            for batch in part.iter_batches(_READ):
                yield pa.Table.from_batches([batch])


def _kept(
    by: Sequence[str], options: Mapping[str, Any], sidecar: Sidecar | None
) -> dict[str, tuple[str, ...]]:
    """The columns that are kept, those by which rows are told apart among them."""
    said = {}
    for role in ("labels", "ids", "groups"):
        own = options.get(role) or (getattr(sidecar.columns, role) if sidecar else ())
        said[role] = (own,) if isinstance(own, str) else tuple(own)
    known = {CLASS, *(name for names in said.values() for name in names)}
    more = [name for name in by if name not in known]
    return {"groups": (*said["groups"], *more)} if more else {}
