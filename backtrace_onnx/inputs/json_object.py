"""Strict reading of a JSON object: every error names the file and the key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from backtrace_onnx.errors import InputError
from backtrace_onnx.messages.similar_names import find_alike

_ABSENT: Any = object()


class Settings:
    """One object of a JSON file; keys are taken one by one, and none may be left at the end."""

    def __init__(self, file: str, place: str, values: Any) -> None:
        self._file, self._place = file, place
        self._taken, self._known = set[str](), set[str]()
        if not isinstance(values, dict):
            raise InputError(f"{file}: {place or 'the file'}: must be an object in braces")
        self._values: dict[str, Any] = values

    def has(self, *keys: str) -> bool:
        """Whether any of the keys is given."""
        self._known.update(keys)
        return any(key in self._values for key in keys)

    def wrong(self, key: str, what: str) -> InputError:
        """An error that names the file and the key."""
        return InputError(f"{self._file}: {self._at(key)}: {what}")

    def finish(self) -> None:
        """Raise InputError if a key was given that nobody asked for."""
        known = sorted(self._taken | self._known)
        for key in self._values:
            if key not in self._taken:
                told = f"there are: {', '.join(known)}"
                raise self.wrong(key, f"unknown key; {told}{_meant(key, known)}")

    def text(self, key: str) -> str:
        """A string that is not empty."""
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"must be a text, not {value!r}")
        return value

    def choice(self, key: str, choices: Sequence[str], default: Any = _ABSENT) -> str:
        """A word that is one of `choices`."""
        value: str = self._take(key, default)
        if value != default and value not in choices:
            hint = _meant(str(value), choices)
            raise self.wrong(key, f"must be one of {', '.join(choices)}, not {value!r}{hint}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A value that is true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, not {value!r}")
        return value

    def number(self, key: str, default: Any = _ABSENT) -> float:
        """A finite number."""
        value = self._take(key, default)
        return float(value) if value is default else self._number(key, value)

    def whole(self, key: str, least: int, default: Any = _ABSENT) -> int:
        """A whole number of at least `least`."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, f"must be a whole number of at least {least}, not {value!r}")
        return value

    def wholes(self, key: str, count: int) -> tuple[int, ...]:
        """`count` whole numbers of at least 0 in a list."""
        value = self._take(key)
        whole = isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
        if not whole or len(value) != count:
            raise self.wrong(key, f"must be a list of {count} whole numbers of at least 0")
        return tuple(value)

    def axis(self, key: str, word: str | None = None) -> Any:
        """The number of an axis, or a word in its place; None where nothing is said."""
        value = self._take(key, None)
        if value is None or (word is not None and value == word):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            other = f" or {word!r}" if word else ""
            raise self.wrong(key, f"must be the number of an axis{other}, not {value!r}")
        return value

    def numbers(self, key: str, count: int, default: float) -> tuple[float, ...]:
        """`count` finite numbers in a list."""
        value = self._take(key, [default] * count)
        if not isinstance(value, list) or len(value) != count:
            raise self.wrong(key, f"must be a list of {count} number(s), one per channel")
        return tuple(self._number(key, v) for v in value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Different strings in a list; none if the key is absent."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.wrong(key, "must be a list of texts")
        if key in self._values and not value:
            raise self.wrong(key, "must not be empty")
        return tuple(value)

    def value(self, key: str) -> str | float | bool | None:
        """A text, a finite number, or true or false; None if the key is absent."""
        value = self._take(key, None)
        if value is None and self.has(key):
            raise self.wrong(key, "must be a text or a number, not null")
        if value is None or isinstance(value, str | bool | int):
            return value
        return self._number(key, value)

    def section(self, key: str) -> Settings:
        """The object `key`."""
        return Settings(self._file, self._at(key), self._take(key))

    def sections(self, key: str) -> Iterator[tuple[str, Settings]]:
        """The objects in the object `key`, by name."""
        section = self._take(key, {})
        if not isinstance(section, dict):
            raise self.wrong(key, "must be an object in braces")
        for name, value in section.items():
            yield name, Settings(self._file, f"{self._at(key)}.{name}", value)

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """The lists of texts in the object `key`, by name; {} if the key is absent."""
        section = self._take(key, {})
        own = Settings(self._file, self._at(key), section)
        return {name: own.texts(name) for name in section}

    def items(self, key: str) -> Iterator[Settings]:
        """The objects in the list `key`, which must not be empty."""
        value = self._take(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "must be a list that is not empty")
        for i, item in enumerate(value):
            yield Settings(self._file, f"{self._at(key)}[{i}]", item)

    def _take(self, key: str, default: Any = _ABSENT) -> Any:
        self._taken.add(key)
        value = self._values.get(key, default)
        if value is _ABSENT:
            others = find_alike(key, [one for one in self._values if one not in self._taken])
            hint = f"; {others[0]!r} is no key: is it meant?" if others else ""
            raise self.wrong(key, f"is missing{hint}")
        return value

    def _number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.wrong(key, f"must be a finite number, not {value!r}")
        return float(value)

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _meant(given: str, known: Sequence[str]) -> str:
    """The name that may have been meant, behind the names that there are; "" where none is like."""
    close = find_alike(given, known)
    return f"; did you mean {close[0]!r}?" if close else ""
