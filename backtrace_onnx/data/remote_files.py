"""Files elsewhere, by URL: fsspec opens them, where it is installed, as paths open files here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from backtrace_onnx.errors import InputError


class RemoteFile:
    """A file that fsspec knows, with what readers ask of a path.

    Args:
        url: such as s3://bucket/rows.csv. options: of its file system.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._path = PurePosixPath(url.partition("://")[2])

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return self.url

    @property
    def suffix(self) -> str:
        """The ending, with its dot."""
        return self._path.suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self._path.stem

    @property
    def size(self) -> int:
        """How many bytes it has. Raises OSError where it cannot be read."""
        with _errors():
            system, path = _fsspec().core.url_to_fs(self.url)
            return int(system.size(path))

    def as_posix(self) -> str:
        """The URL."""
        return self.url

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open it, as `Path.open` does. Raises OSError where it cannot be read."""
        with _errors():
            opened: IO[Any] = _fsspec().open(self.url, mode, **options).open()
            return opened


AnyPath = Path | RemoteFile


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


def find_remote(url: str) -> tuple[list[RemoteFile], bool]:
    """The file of a URL, or those of a folder or pattern in order; and whether it is a folder.

    Raises InputError where there is none, or the place cannot be reached.
    """
    try:
        with _errors():
            system, path = _fsspec().core.url_to_fs(url)
            scheme, folder = url.partition("://")[0], False
            if any(mark in path for mark in "*?["):
                found = sorted(system.glob(path))
            elif system.isdir(path):
                folder = True
                found = sorted(system.find(path))
            else:
                found = [path] if system.exists(path) else []
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({error.strerror or error})") from None
    if not found:
        raise InputError(f"{url}: no such file")
    names = (str(system.unstrip_protocol(one)) for one in found)
    return [RemoteFile(n if "://" in n else f"{scheme}://{n}") for n in names], folder


def _fsspec() -> Any:
    """The module. Raises InputError with the pip line that installs it."""
    try:
        import fsspec
    except ModuleNotFoundError:
        raise InputError(
            "files by URL need fsspec, which is not installed. Type: pip install fsspec, and what "
            "it asks for such URLs (s3fs, gcsfs, adlfs)"
        ) from None
    return fsspec


@contextmanager
def _errors() -> Iterator[None]:
    """What file systems raise in their own ways, as OSError."""
    try:
        yield
    except (OSError, InputError):
        raise
    except Exception as error:  # of whichever library speaks to the server
        raise OSError(0, f"{type(error).__name__}: {error}".split("\n")[0]) from None
