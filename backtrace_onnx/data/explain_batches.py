"""Batches in, Arrow tables of relevance out: one object that can be sent to other processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx

from backtrace_onnx.data.arrow import as_column, as_texts, need_arrow, plain
from backtrace_onnx.data.encoding import EncodedRows
from backtrace_onnx.data.given_batches import as_block
from backtrace_onnx.data.more_columns import MoreColumns
from backtrace_onnx.data.opened_rows import OpenedRows
from backtrace_onnx.data.option_names import OPENING, check_options
from backtrace_onnx.data.result_columns import choices_told, result_columns
from backtrace_onnx.data.row_blocks import BadRow, RowBlock
from backtrace_onnx.errors import NumericalError, RequestError, RowError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.explanation import Explanation
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.inputs.kept_columns import KeptColumns, Names
from backtrace_onnx.inputs.path_arguments import texts_of
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.model.file_reading import ModelLike

Returns = Literal["arrow", "pandas", "dict"]
_REFUSED = ("targets", "keep", "start")
_OWN = ("labels", "ids", "groups", "batch", "returns", "class_labels", "values", "modules", "more")
_OF_DATA_SETS = ("out", "part_rows", "resume", "skip_bad", "workers", "progress")


@dataclass(frozen=True)
class ExplainedRows:
    """The results of some rows, as an Arrow table, and the rows that could not be read.

    Attributes:
        rows: of which rows of the block the results are.
        notes: what was left out or missing in reading, a sentence each.
    """

    table: Any
    rows: tuple[int, ...] = ()
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


class ExplainBatches:
    """Explains batches of rows; a function for engines that map batches over data sets.

    Called with an Arrow table or record batch, a data frame, or a mapping of arrays or lists by
    column, it returns an Arrow table with a row for each row: `label/<column>`, `id/<column>` and
    `group/<column>` of those that are kept, `prediction` and `target` (each also with `_label` and
    `_value`), `relevance/<feature>`, lists `relevance/<input>` of
    arrays, `ledger/<part>` and `notes`. Called with an iterator of batches it returns an iterator
    of results. It can be pickled; the model is opened where and when the first batch comes.

    Args:
        model: path, bytes or ModelProto; a path must be readable wherever batches are explained.
        labels, ids, groups: columns that are kept beside the results, and are no inputs (a group
            that an input takes by its name is both); default: the sidecar's.
        sidecar: a `Sidecar`, or its path; default: the one beside the model, if there is one.
        tokenizer: path of a tokenizer.json, for texts; default: the sidecar's.
        batch: most rows that are explained at once; default: by the size of the model.
        returns: "arrow", "pandas" (a frame) or "dict" (lists by column).
        class_labels: names of the classes; default: the sidecar's.
        values: keep also what features hold, as `value/<feature>`.
        modules: keep also what the model's modules received, as `module/<path>`.
        more: columns of somebody else's, such as `audit.ReasonColumns`.
        options: those of `Explainer` and of `Explainer.explain`; `target` may be a label.

    Raises:
        RequestError: an option does not go with rows.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        labels: Names = (),
        ids: Names = (),
        groups: Names = (),
        sidecar: Sidecar | str | os.PathLike[str] | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        batch: int | None = None,
        returns: Returns = "arrow",
        class_labels: Sequence[str] = (),
        values: bool = False,
        modules: bool = False,
        more: MoreColumns | None = None,
        **options: Any,
    ) -> None:
        for name in _OF_DATA_SETS:
            if name in options:
                raise RequestError(
                    f"{name} goes with explain_dataset, which counts and names the rows that it "
                    "leaves out: a batch has a result for each row"
                )
        check_options(options, (*_OWN, *_OF_DATA_SETS, *_REFUSED))
        for name in _REFUSED:
            if options.get(name) is not None and options[name] != "probability":
                raise RequestError(f"{name} does not go with data sets: a row has one explanation")
        if returns not in ("arrow", "pandas", "dict"):
            raise RequestError(f"returns is arrow, pandas or dict, not {returns!r}")
        if batch is not None and (
            not isinstance(batch, int) or isinstance(batch, bool) or batch < 1
        ):
            raise RequestError(f"batch is a number of rows, at least 1, not {batch!r}")
        if not isinstance(values, bool) or not isinstance(modules, bool):
            raise RequestError("values and modules are True or False")
        proto = isinstance(model, onnx.ModelProto)
        self._model = model.SerializeToString() if proto else model  # type: ignore[union-attr]
        self._kept = KeptColumns.named(labels, ids, groups)
        self._sidecar, self._tokenizer = sidecar, tokenizer
        self._batch, self._returns = batch, returns
        self._class_labels = texts_of(class_labels, "class_labels")
        self._options = options
        self._kinds, self._more = {"values": values, "modules": modules}, more
        self._opened: OpenedRows | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def __call__(self, batch: Any) -> Any:
        """The results of one batch, or of every batch of an iterator.

        Raises InputError where rows do not fit the model, and what `Explainer.explain` raises.
        """
        if isinstance(batch, Iterator):
            return map(self, batch)
        return self._returned(self.explain(as_block(batch)).table)

    def explain(self, block: RowBlock, *, skip_bad: bool = False) -> ExplainedRows:
        """The results of some rows, as an Arrow table, and the rows that cannot be read.

        Raises RowError naming such a row unless it may be skipped.
        """
        pa = need_arrow()
        model = self._model_opened()
        tables, bad = [], list(block.bad if skip_bad else ())
        rows: list[int] = []
        notes: dict[str, None] = {}
        size = self.batch
        for start in range(0, max(block.rows, 1), size):
            part = block.take(np.arange(start, min(start + size, block.rows)))
            part = part if skip_bad else replace(part, bad=block.bad)
            encoded = model.encoder.encode(part, skip_bad=skip_bad)
            encoded, columns = self._finite(part, encoded, skip_bad)
            bad += encoded.bad
            rows += (encoded.rows + start).tolist()
            notes |= dict.fromkeys(note.text for note in encoded.notes)
            kept = self._kept_columns(part.take(encoded.rows), model)
            tables.append(pa.table(kept | columns))
        notes |= dict.fromkeys(self._more.notes if self._more is not None else ())
        table = pa.concat_tables(tables)
        notes |= dict.fromkeys(choices_told(table["notes"]))
        return ExplainedRows(table, tuple(rows), tuple(bad), tuple(notes))

    @property
    def graph(self) -> Graph:
        """The model's graph; opens the model."""
        return self._model_opened().explainer.graph

    @property
    def explainer(self) -> Explainer:
        """The opened model."""
        return self._model_opened().explainer

    @property
    def sidecar(self) -> Sidecar | None:
        """What says how raw data become inputs; opens the model."""
        return self._model_opened().sidecar

    @property
    def asked(self) -> dict[str, Any]:
        """Options of `Explainer.explain`, without the target."""
        left = (*OPENING, "target")
        return {name: value for name, value in self._options.items() if name not in left}

    @property
    def target(self) -> Any:
        """What is explained in all rows; of a label its index. Opens the model."""
        given, output = self._options.get("target"), self._options.get("output")
        return self._model_opened().read_target(given, output, self._class_labels)

    def ask(self, **options: Any) -> None:
        """Explain with other options of `Explainer.explain` from now on."""
        self._options = {**self._options, **options}

    @property
    def batch(self) -> int:
        """Most rows that are explained at once; opens the model where none were named."""
        return self._batch or self._model_opened().batch

    @property
    def fixed_rows(self) -> int | None:
        """The number of rows that the model takes at once, where that is fixed."""
        return self._model_opened().fixed_rows

    def axis(self, name: str) -> int:
        """Where the samples of an input lie."""
        return self._model_opened().axis(name)

    def encode(self, block: RowBlock, *, skip_bad: bool = False) -> EncodedRows:
        """The model's inputs of some rows. Raises InputError where they do not fit."""
        return self._model_opened().encoder.encode(block, skip_bad=skip_bad)

    def start(self, blocks: Iterator[RowBlock], *, skip_bad: bool = False) -> None:
        """Show the first rows of a data set to whoever adds columns."""
        if self._more is not None:
            self._more.start(self, (self.encode(block, skip_bad=skip_bad) for block in blocks))

    def explanation(self, feeds: Any, **more: Any) -> Explanation:
        """The explanation of a model's inputs, as asked, and with `more` options."""
        model = self._model_opened()
        options = {k: v for k, v in self._options.items() if k not in OPENING}
        options |= {"sidecar": model.sidecar, "labels": self._class_labels}
        options |= {"target": self.target, **more}
        made: Explanation = model.explainer.explain(feeds, **options)
        return made

    def _finite(
        self, block: RowBlock, encoded: EncodedRows, skip_bad: bool
    ) -> tuple[EncodedRows, dict[str, Any]]:
        """Results, without the rows whose relevance is not finite where they may be skipped."""
        try:
            return encoded, self._explained(block.take(encoded.rows), encoded)
        except (RowError, NumericalError):
            pass  # which row it is, each alone will tell
        axes = {name: self._model_opened().axis(name) for name in encoded.feeds}
        wrong: dict[int, BadRow] = {}
        for at, row in enumerate(encoded.rows.tolist()):
            try:
                self._explained(block.take(encoded.rows[[at]]), encoded.take([at], axes))
            except (RowError, NumericalError) as error:
                error.args = (f"{block.place(row)}: {error}",)
                if not skip_bad:
                    raise
                line = block.lines[row] if block.lines else row + 1
                wrong[at] = BadRow(block.source, line, str(error))
        left = [at for at in range(len(encoded.rows)) if at not in wrong]
        encoded = replace(encoded.take(left, axes), bad=(*encoded.bad, *wrong.values()))
        return encoded, self._explained(block.take(encoded.rows), encoded)

    def _explained(self, block: RowBlock, encoded: EncodedRows) -> dict[str, Any]:
        model = self._model_opened()
        if not block.rows:
            columns = self._columns(model.example(block), encoded)
            return {name: column.slice(0, 0) for name, column in columns.items()}
        size = model.fixed_rows
        if size is None or size == block.rows:
            return self._columns(encoded.feeds, encoded)
        pa, parts = need_arrow(), []
        for start in range(0, block.rows, size):
            count = min(size, block.rows - start)
            at = np.minimum(np.arange(start, start + size), block.rows - 1)
            axes = {n: model.axis(n) for n in encoded.feeds}
            some = encoded.take(at.tolist(), axes)
            parts.append(pa.table(self._columns(some.feeds, encoded)).slice(0, count))
        whole = pa.concat_tables(parts)
        return dict(zip(whole.column_names, whole.columns, strict=True))

    def _columns(self, feeds: Any, encoded: EncodedRows) -> dict[str, Any]:
        model = self._model_opened()
        made = self.explanation(dict(feeds))
        names = {**made.names, **encoded.names}
        named = replace(made, names=names)
        how: Any = {"told": model.explainer.class_labels, **self._kinds}
        columns = result_columns(named, model.sidecar, self._class_labels, **how)
        if self._more is not None:
            columns |= self._more.columns(self, feeds, names)
        return columns

    def _kept_columns(self, block: RowBlock, model: OpenedRows) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name in model.kept.names:
            column = block.arrow.get(name)
            if column is not None:
                made = plain(column)
            elif block.are_lines and block.columns[name].ndim == 1:
                made = as_texts(block.columns[name])
            else:
                made = as_column(block.columns[name])
            kept |= {f"{role}/{name}": made for role in model.kept.roles(name)}
        return kept

    def _returned(self, table: Any) -> Any:
        if self._returns == "pandas":
            return table.to_pandas()
        return table.to_pydict() if self._returns == "dict" else table

    def _model_opened(self) -> OpenedRows:
        if self._opened is None:
            opening = {k: v for k, v in self._options.items() if k in OPENING}
            how = (self._sidecar, self._tokenizer, self._kept, opening)
            self._opened = OpenedRows.open(self._model, *how)
        return self._opened
