"""What a function computes, as a digest: its code and all that the code refers to."""

from __future__ import annotations

import builtins
import hashlib
import pickle
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def fingerprint(function: Callable[..., Any]) -> str:
    """Digest of a function: code, defaults, closure, the globals and functions it uses, and theirs.

    The same in every process as long as nothing of this changes. What can be neither read nor
    pickled has a digest of this process's own.
    """
    return hashlib.sha256("\n".join(_Reader().told(function)).encode()).hexdigest()


class _Reader:
    """Tells values as lines; what was told already, and cycles, by the place where it was."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []  # so that no id is used twice

    def told(self, x: Any) -> Iterator[str]:
        if isinstance(x, str | bytes | int | float | complex | type(None) | type(...)):
            yield f"{type(x).__name__} {x!r}"
            return
        if id(x) in self._seen:
            yield f"again {self._seen[id(x)]}"
            return
        self._seen[id(x)] = len(self._seen)
        self._held.append(x)
        yield type(x).__qualname__
        yield from self._parts(getattr(x, "py_func", x))

    def _parts(self, x: Any) -> Iterator[str]:
        if isinstance(x, types.FunctionType):
            yield from self._function(x)
        elif isinstance(x, types.CodeType):
            yield from self._code(x)
        elif isinstance(x, tuple | list):
            yield from self._all(x)
        elif isinstance(x, frozenset | set):
            yield from sorted("\n".join(_Reader().told(item)) for item in x)
        elif isinstance(x, dict):
            yield from self._all(part for item in x.items() for part in item)
        elif isinstance(x, np.ndarray | np.generic) and x.dtype != object:
            yield f"{x.dtype.str} {x.shape} {x.tobytes().hex()}"
        elif isinstance(x, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            yield f"{getattr(x, '__module__', '')} {x.__name__}"
        else:
            yield _pickled(x)

    def _all(self, items: Any) -> Iterator[str]:
        for item in items:
            yield from self.told(item)

    def _code(self, code: types.CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield f"{code.co_names} {code.co_freevars} {code.co_argcount} {code.co_flags}"
        yield from self._all(code.co_consts[1:] if _starts_with_text(code) else code.co_consts)

    def _function(self, function: types.FunctionType) -> Iterator[str]:
        yield from self.told(function.__code__)
        yield from self.told(function.__defaults__)
        yield from self.told(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            yield from self.told(_held_by(cell))
        for name, value in globals_of(function):
            yield f"{name}:"
            yield from self.told(value)


def _starts_with_text(code: types.CodeType) -> bool:
    """Whether the first constant is a docstring, which computes nothing."""
    return bool(code.co_consts) and isinstance(code.co_consts[0], str)


def _held_by(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return None


def globals_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """(name, value) of every global a function names, and of what it reads from modules, sorted."""
    names = sorted(set(_names(function.__code__)))
    for name in names:
        value = function.__globals__.get(name, getattr(builtins, name, None))
        yield name, value
        if isinstance(value, types.ModuleType):
            yield from ((f"{name}.{part}", getattr(value, part, None)) for part in names)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _pickled(x: Any) -> str:
    try:
        return pickle.dumps(x).hex()
    except Exception:  # pickling runs code of any kind
        return uuid.uuid4().hex
