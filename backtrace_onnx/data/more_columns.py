"""Columns that somebody adds to the results of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from backtrace_onnx.data.encoding import EncodedRows


class MoreColumns(Protocol):
    """Columns of results that somebody adds; it is sent to other processes.

    `explain` is the `ExplainBatches` that explains the rows.
    """

    @property
    def mode(self) -> str:
        """The mode of a run for which none is named."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed for them, a sentence each, as soon as rows were seen."""

    def describe(self) -> dict[str, Any]:
        """What a manifest says of them, as JSON has it."""

    def start(self, explain: Any, encoded: Iterator[EncodedRows]) -> None:
        """See the first rows of the data set, as far as these are asked for.

        What `explain.ask` is told here holds for all rows.
        """

    def columns(self, explain: Any, feeds: Any, names: Any) -> dict[str, Any]:
        """Arrow columns by name, a row for each sample."""


__all__ = ["MoreColumns"]
