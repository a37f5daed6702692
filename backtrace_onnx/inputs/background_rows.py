"""The rows of a background: as they are read, and as arrays that a file may hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from backtrace_onnx.errors import InputError, RequestError
from backtrace_onnx.graph.given_arrays import array_as
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import holds_sense
from backtrace_onnx.graph.missing_values import takes_missing
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.array_files import READERS
from backtrace_onnx.inputs.files import KINDS, InputReader
from backtrace_onnx.inputs.folder_files import choose_files
from backtrace_onnx.inputs.table_inputs import read_given
from backtrace_onnx.messages.listing import listed
from backtrace_onnx.messages.notes import Note

if TYPE_CHECKING:
    from backtrace_onnx.inputs.sidecar import Sidecar

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BackgroundRows:
    """Samples to compare with, each by itself.

    Attributes:
        arrays: by input. source: where they came from, for people.
        without: which files that lie beside them are left out, in words behind these.
        notes: what was assumed or left out in reading them.
    """

    arrays: Mapping[str, Array]
    source: str
    without: str = ""
    notes: tuple[Note, ...] = ()


class NamedBaseline(dict[str, Array]):
    """One baseline that nobody gave: arrays by input, and what they are in words."""

    def __init__(self, arrays: Mapping[str, Array], words: str) -> None:
        super().__init__(arrays)
        self.words = words


def read_rows(path: Path, reader: InputReader) -> BackgroundRows:
    """The samples of a file, or of all files of a folder. Raises InputError."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_dir():
        read = reader.read([str(path)])
        return BackgroundRows(read.feeds, path.name, "", read.notes)
    here = {file: PurePath(file.name) for file in sorted(path.iterdir()) if file.is_file()}
    found = choose_files(here, READERS)
    if not found.files:
        raise InputError(f"{path}: the folder holds no samples; there may be {KINDS}")
    without = f" (without {listed(found.left)})" if found.left else ""
    read = reader.read([str(file) for file in found.files])
    return BackgroundRows(read.feeds, path.name, without, read.notes)


def read_samples(given: Any, graph: Graph, sidecar: Sidecar | None, what: str) -> BackgroundRows:
    """The samples of arrays, a table, a file or a folder. Raises InputError."""
    if isinstance(given, BackgroundRows):
        return given
    if isinstance(given, str | os.PathLike):
        return read_rows(Path(given), InputReader(graph, sidecar))
    return BackgroundRows(read_given(given, graph, sidecar).feeds, f"the {what}")


def by_name(given: Any, inputs: Sequence[str], what: str) -> Mapping[str, Any]:
    """What is given for inputs, by their names. Raises RequestError."""
    if isinstance(given, Mapping):
        if unknown := sorted(map(str, given.keys() - set(inputs))):
            raise RequestError(f"the {what} has no input of the model: {', '.join(unknown)}")
        return given
    if len(inputs) > 1:
        names = ", ".join(inputs)
        raise RequestError(f"the model has several inputs ({names}): give a {what} by name")
    return dict.fromkeys(inputs, given)


def background_rows(given: Any, graph: Graph, sidecar: Sidecar | None) -> dict[str, Array]:
    """Every sample of a background, [rows, ...] by input; the axis of samples is kept, of size 1.

    Raises RequestError where it does not fit the inputs, or lacks one that holds floats, and
    InputError for files.
    """
    what = "background"
    if given is None:
        raise RequestError("a background is needed: background=, an array of samples")
    read = by_name(read_samples(given, graph, sidecar, what).arrays, graph.inputs, what)
    axes = SampleAxes(graph)
    lacking = [n for n in graph.inputs if graph.type(n).is_float and n not in read]
    if lacking:
        raise RequestError(f"the background lacks input {lacking[0]!r}")
    found = {}
    for name, x in read.items():
        dtype = helper.tensor_dtype_to_np_dtype(graph.type(name).dtype)
        axis, shape = axes(name), graph.type(name).shape
        x = array_as(x, dtype, f"{what} of {name!r}")
        found[name] = rows = _apart(x, None if axis is None else int(axis))
        own = rows.shape[1:]
        fits = shape is None or len(own) == len(shape)
        for i, n in enumerate(shape or ()):
            fits = fits and (i == axis or not isinstance(n, int) or n == own[i])
        if not (fits and holds_sense(rows, missing=takes_missing(graph, name)).all()):
            why = "holds NaN or Inf" if fits else f"of shape {x.shape} does not fit {shape}"
            raise RequestError(f"the background of {name!r} {why}")
    counts = {name: len(rows) for name, rows in found.items()}
    most = max(counts.values())
    if set(counts.values()) - {1, most}:
        raise RequestError(f"the background's inputs have different numbers of samples: {counts}")
    return {name: np.repeat(rows, most // len(rows), axis=0) for name, rows in found.items()}


def _apart(x: Array, axis: int | None) -> Array:
    """The samples of an array, each with its axis of samples kept."""
    if axis is None or axis >= x.ndim:
        return x[None]
    return np.expand_dims(np.moveaxis(x, axis, 0), axis + 1)


__all__ = [
    "BackgroundRows",
    "NamedBaseline",
    "background_rows",
    "by_name",
    "read_rows",
    "read_samples",
]
