"""That no file is written over one that is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from backtrace_onnx.errors import BacktraceError, RequestError

_BESIDE = ("{stem}.sidecar.json", "{name}.data", "tokenizer.json")


def check_apart(
    written: Iterable[Path | None],
    models: Iterable[Path | None],
    read: Iterable[Path | str | None] = (),
    data: Iterable[str] = (),
) -> None:
    """Raise RequestError where a file to write is one that is read, or is named twice.

    Args:
        models: each with what belongs to it: sidecar, weights, tokenizer.
        read: other files; names of none are passed over.
        data: rows, each a file, folder or pattern, or one behind the name of an input.
    """
    wanted = [path for path in written if path is not None]
    if not wanted:
        return
    own = [file for model in models if model is not None for file in _of_model(model)]
    files = [Path(path) for path in read if path is not None]
    taken = {path.resolve() for path in (*own, *files, *_local_files(data))}
    for path in wanted:
        if path.resolve() in taken:
            raise RequestError(f"{path}: is read here, or written twice; name another file")
        taken.add(path.resolve())


def _of_model(model: Path) -> Iterator[Path]:
    yield model
    for name in _BESIDE:
        yield model.with_name(name.format(stem=model.stem, name=model.name))


def _local_files(data: Iterable[str]) -> Iterator[Path]:
    """The files on this machine that arguments mean, as far as they are there."""
    from backtrace_onnx.data.reading import find_files

    for argument in data:
        named = argument.partition("=")[2] if not Path(argument).exists() else ""
        for text in {argument, named or argument, argument.removeprefix("@")}:
            with suppress(BacktraceError):
                known = "://" not in text  # a folder's pictures are read, or else its tables
                found = [f for o in (True, False) if known for f in find_files(text, opens=o)]
                yield from (Path(str(path)) for file in found for path in file.paths)
            with suppress(OSError):
                if Path(text).is_file():
                    yield Path(text)


__all__ = ["check_apart"]
