""".npz and .npy files, read some rows at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.data.remote_files import AnyPath
from backtrace_onnx.errors import InputError

Array = npt.NDArray[Any]
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def stream_arrays(
    path: AnyPath, rows: int, left: Collection[str] = ()
) -> Iterator[Mapping[str, Array]]:
    """The arrays of a file by name, up to `rows` rows at a time, all of one length.

    `left`: names of those in a .npz file that are left out. Raises InputError where the file holds
    no such arrays.
    """
    with ExitStack() as stack, _errors(path):
        members = _members(path, stack, left)
        lengths = {name: member.length for name, member in members.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"{path}: the arrays are not of one length: {told}")
        length = next(iter(lengths.values()), 0)
        for start in range(0, length, rows):
            count = min(rows, length - start)
            yield {name: member.read(count) for name, member in members.items()}


def whole_arrays(path: AnyPath, names: Collection[str]) -> dict[str, Array]:
    """Those arrays of a .npz file, as far as they are there, whole. Raises InputError."""
    if path.suffix.lower() != ".npz" or not names:
        return {}
    with _errors(path), path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files if name in names}


class _Member:
    """One array of a file, read from its start to its end."""

    def __init__(self, file: Any) -> None:
        version = np.lib.format.read_magic(file)
        read = _HEADERS.get(version)
        if read is None:
            raise ValueError(f"format {version} is not known")
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        if not shape:
            raise ValueError("an array of a single value has no rows")
        self.length, self._rest, self._dtype, self._file = shape[0], shape[1:], dtype, file
        self._whole: Array | None = None
        self._at = 0
        if fortran and len(shape) > 1:  # whose rows do not lie together
            self._whole = self._taken(int(np.prod(shape))).reshape(shape, order="F")

    def read(self, rows: int) -> Array:
        """The next rows."""
        start, self._at = self._at, self._at + rows
        if self._whole is not None:
            return np.ascontiguousarray(self._whole[start : self._at])
        size = int(np.prod(self._rest, dtype=np.int64))
        return self._taken(rows * size).reshape(rows, *self._rest)

    def _taken(self, count: int) -> Array:
        data = self._read(count * self._dtype.itemsize)
        made: Array = np.frombuffer(data, self._dtype, count)
        return made

    def _read(self, wanted: int) -> bytearray:
        data = bytearray()
        while len(data) < wanted:
            some = self._file.read(min(wanted - len(data), 1 << 24))
            if not some:
                raise EOFError("it ends too early")
            data += some
        return data


@contextmanager
def _errors(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path}: not a NumPy file of plain arrays ({reason})") from None


def _members(path: AnyPath, stack: ExitStack, left: Collection[str] = ()) -> dict[str, _Member]:
    if path.suffix.lower() == ".npy":
        return {path.stem: _Member(stack.enter_context(path.open("rb")))}
    file = stack.enter_context(path.open("rb"))
    archive = stack.enter_context(zipfile.ZipFile(file))
    files = [info.filename for info in archive.infolist()]
    names = {file.removesuffix(".npy"): file for file in files}
    if not {*names} - {*left}:
        raise ValueError("it holds no arrays of rows" if names else "it holds no arrays")
    return {
        name: _Member(stack.enter_context(archive.open(file)))
        for name, file in names.items()
        if name not in left
    }


def count_rows(path: AnyPath, left: Collection[str] = ()) -> int:
    """How many rows the arrays of a file have, but those `left` out. Raises InputError."""
    with ExitStack() as stack, _errors(path):
        return max((member.length for member in _members(path, stack, left).values()), default=0)
