"""A data set as a model takes it: the inputs of some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from backtrace_onnx.data.encoding import opens_files
from backtrace_onnx.data.explain_batches import ExplainBatches
from backtrace_onnx.data.identity import hash_data
from backtrace_onnx.data.reading import Data, find_files
from backtrace_onnx.data.reading_notes import ReadingNotes


def stream_feeds(
    explain: ExplainBatches, data: Data, told: ReadingNotes, *, skip_bad: bool = False
) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Arrays by input, how many of their samples are rows, and about how many rows there are.

    A model that takes a fixed number of samples gets the last row again, as often as it lacks some.
    `told` gets what reading them tells. Raises InputError where rows cannot be read, unless these
    may be skipped.
    """
    files = find_files(data, explain.graph, opens=opens_files(explain.sidecar))
    about = hash_data(files).rows
    for file in files:
        for block in file.blocks(explain.batch):
            encoded = explain.encode(block, skip_bad=skip_bad)
            told.add(encoded)
            count = len(encoded.rows)
            size = explain.fixed_rows or count
            axes = {name: explain.axis(name) for name in encoded.feeds}
            for start in range(0, count, size or 1):
                at = np.minimum(np.arange(start, start + size), count - 1).tolist()
                feeds = dict(encoded.take(at, axes).feeds)
                yield feeds, min(size, count - start), about
