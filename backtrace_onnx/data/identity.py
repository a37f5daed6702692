"""What a run over a data set is a run of: hashes of model and data, options, versions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from backtrace_onnx.data.archives import count_rows
from backtrace_onnx.data.arrow import need_arrow
from backtrace_onnx.data.reading import DataFile
from backtrace_onnx.data.remote_files import AnyPath
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import InputError, ModelError, RequestError
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.model.file_reading import ModelLike

_BLOCK = 1 << 20
_PACKAGES = ("numpy", "onnx", "onnxruntime", "numba", "pyarrow")
_DEFAULTS = {"engine": "numba", "on_unsupported": "error"}
_LISTS = ("labels", "ids", "groups", "class_labels", "baseline", "modes", "metrics")
_LINES = ("csv", "jsonl", "ndjson", "txt")


@dataclass(frozen=True)
class HashedData:
    """A data set's hashes, and about how many rows it has.

    Attributes:
        files: {"file", "sha256"} of each; pictures that are read in one go have one hash.
    """

    files: list[dict[str, str]]
    rows: int


def hash_data(files: Sequence[DataFile]) -> HashedData:
    """Read the files of a data set once, and hash them. Raises InputError."""
    hashed, rows = [], 0
    for file in files:
        whole, lines = _hashed_file(file)
        hashed.append({"file": file.called, "sha256": whole})
        rows += _rows(file, lines)
    return HashedData(hashed, rows)


def _hashed_file(file: DataFile) -> tuple[str, int]:
    """The hash of a file, or of all that are read in one go, and how many lines there are."""
    if file.given is not None:
        return hash_block(file.given), file.given.rows
    digest, lines = hashlib.sha256(), 0
    for path in file.paths:
        own, count = _hashed(path)
        lines += count
        digest.update(f"{path.as_posix()}\0{own}\n".encode())
    for name, array in file.beside.items():
        digest.update(f"{name}\0{array.dtype}{array.shape}\n".encode() + array.tobytes())
    alone = len(file.paths) == 1 and not file.beside
    return own if alone else digest.hexdigest(), lines


def hash_block(block: RowBlock) -> str:
    """The hash of rows that lie in no file: of their names, types and cells."""
    digest = hashlib.sha256()
    for name, column in block.columns.items():
        cells = repr(column.tolist()).encode() if column.dtype.hasobject else column.tobytes()
        digest.update(f"{name}\0{column.dtype}{column.shape}\n".encode() + cells)
    return digest.hexdigest()


def hash_model(model: ModelLike) -> dict[str, str]:
    """The hash of a model, its external weights included. Raises ModelError."""
    if isinstance(model, onnx.ModelProto):
        return {"sha256": hashlib.sha256(model.SerializeToString()).hexdigest()}
    if not isinstance(model, str | os.PathLike):
        return {"sha256": hashlib.sha256(bytes(model)).hexdigest()}
    path = Path(model)
    try:
        digest, _ = _hashed(path)
    except InputError as error:
        raise ModelError(str(error)) from None
    proto = onnx.load(path, load_external_data=False)
    outside = {
        entry.value
        for tensor in proto.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    parts = [digest, *(_hashed(path.parent / name)[0] for name in sorted(outside))]
    whole = hashlib.sha256(" ".join(parts).encode()).hexdigest() if outside else digest
    return {"file": path.name, "sha256": whole}


def settled_options(options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Options in one form, however they were given: what a command names, and Python leaves out.

    Those that are not named are their `defaults`, or left out where nothing is the default; one
    name, or one baseline, is a list of one.
    """
    given = {name: value for name, value in options.items() if not _is_nothing(value)}
    told = {**_DEFAULTS, **defaults, **given}
    for name in _LISTS:
        if name in told and not _is_several(told[name]):
            told[name] = [told[name]]
    return told


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not len(value))


def _is_several(value: Any) -> bool:
    """Whether a value is a list already; one of numbers is an array."""
    numbers = int | float
    return isinstance(value, list | tuple) and not all(isinstance(one, numbers) for one in value)


def describe_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them; of arrays and files their hashes too.

    Raises RequestError for what no file can say, such as a function.
    """
    return {name: _described(name, value) for name, value in sorted(options.items())}


def find_versions() -> dict[str, str]:
    """Of the packages that results depend on, as far as they are installed."""
    found = {"backtrace-onnx": import_module("backtrace_onnx").__version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _described(name: str, value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        if len(str(value)) < 1000 and path.is_file():
            return {"file": path.name, "sha256": _hashed(path)[0]}
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if hasattr(value, "describe"):
        return _described(name, value.describe())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        data = np.ascontiguousarray(value)
        digest = hashlib.sha256(data.tobytes()).hexdigest()
        return {"array": [str(value.dtype), *value.shape], "sha256": digest}
    if isinstance(value, Mapping):
        return {str(key): _described(name, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_described(name, one) for one in value]
    if isinstance(value, Sidecar):
        return {"file": value.path.name, "sha256": hashlib.sha256(repr(value).encode()).hexdigest()}
    raise RequestError(
        f"{name} is {type(value).__name__}, which the manifest of a data set's results cannot say; "
        "give names, numbers, arrays or files"
    )


def _hashed(path: AnyPath) -> tuple[str, int]:
    """The hash of a file, and how many lines it has."""
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                lines += block.count(b"\n")
                last = block[-1:]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest(), lines + (last != b"\n")


def _rows(file: DataFile, lines: int) -> int:
    """About how many rows a file has: cells may have several lines, and lines may be blank."""
    if file.given is not None:
        return file.given.rows
    if file.parts:
        first = next(iter(file.parts.values()))
        return sum(_rows(one, _hashed_file(one)[1]) for one in first)
    if file.kind in _LINES:
        return max(lines - (file.kind == "csv"), 0)
    if file.kind == "parquet":
        need_arrow()
        import pyarrow.parquet as pq

        try:
            with file.paths[0].open("rb") as opened:
                return int(pq.read_metadata(opened).num_rows)
        except Exception:  # which reading the file tells
            return 0
    if file.kind == "json":
        return 0
    return len(file.paths) if file.kind == "files" else count_rows(file.paths[0], file.shared)
