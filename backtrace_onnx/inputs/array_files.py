"""Files of arrays: .npy, .npz and .json as plain values, each with an error of its own."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import InputError
from backtrace_onnx.graph.graph import TensorType
from backtrace_onnx.messages.notes import Note

Array = npt.NDArray[Any]


def read_file(path: Path) -> Any:
    """An array, arrays by name, or JSON's values; the path itself of any other kind of file.

    Raises InputError where the file does not hold what its name says.
    """
    return READERS.get(path.suffix.lower(), _as_path)(path)


def numeric(path: Path, content: Any) -> Array:
    """JSON's lists, or an array, as an array of numbers or texts. Raises InputError."""
    try:
        array = np.asarray(content)
    except (ValueError, OverflowError):
        raise InputError(f"{path}: its lists are not all of the same length") from None
    if array.dtype.kind not in "fiubU":
        raise InputError(f"{path}: holds {array.dtype} values, not numbers")
    return array


def note_name(source: str, name: str, taken: str) -> tuple[Note, ...]:
    """That the only array is taken for the only input, where it has a name and that is another."""
    if name == taken or (not name) or source.lower().endswith(".npy"):
        return ()
    return (Note(f"{source}: array {name!r} is taken for {taken!r}, the only input"),)


def shaped(array: Array, kind: TensorType) -> Array:
    """With the batch axis, and rows of a table cut to the sample's shape, where that fits."""
    wanted = kind.shape
    if wanted is None or len(wanted) == array.ndim:
        return array
    if len(wanted) == array.ndim + 1:
        return array[None]
    rest = wanted[1:]
    sizes = [n for n in rest if isinstance(n, int)]
    if array.ndim == 2 and len(sizes) == len(rest) and np.prod(sizes) == array.shape[1]:
        return array.reshape(len(array), *sizes)
    return array


def rows_shaped(rows: Array, kind: TensorType) -> Array:
    """Arrays of samples [rows, ...], every sample in the input's shape where it can be."""
    if kind.shape is None or len(kind.shape) == rows.ndim:
        return rows
    sizes = [n for n in kind.shape[1:] if isinstance(n, int)]
    if len(sizes) == len(kind.shape) - 1 and np.prod(sizes) == np.prod(rows.shape[1:]):
        return rows.reshape(len(rows), *sizes)
    return rows


def _as_path(path: Path) -> Any:
    return path


def _load(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path}: not a NumPy file of plain arrays ({reason})") from None


def parsed_json(content: bytes, source: str) -> Any:
    """The values of a JSON file. Raises InputError, also where an object names a key twice."""
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid JSON ({error})") from None


def _read_json(path: Path) -> Any:
    try:
        return parsed_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where it names a key twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object names {twice!r} twice")
    return made


READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _load,
    ".npz": _load,
    ".json": _read_json,
    ".csv": _as_path,
}
