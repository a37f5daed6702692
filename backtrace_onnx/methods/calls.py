"""Names with parameters as they are written: `gamma(0.25)`, `smoothgrad(samples=64, seed=1)`."""

from __future__ import annotations

import re

_CALL = re.compile(r"\s*(?P<name>[\w-]+)\s*(?:\((?P<given>.*)\))?\s*")


def read_call(text: str) -> tuple[str, list[tuple[str, str]]] | None:
    """The name, and the key (or "") and text of every parameter; None where nothing is called."""
    found = _CALL.fullmatch(text)
    if found is None:
        return None
    parts = (part.rpartition("=") for part in (found["given"] or "").split(",") if part.strip())
    return found["name"], [(key.strip(), value.strip()) for key, _, value in parts]


def read_numbers(text: str) -> tuple[str, list[float], dict[str, float]] | None:
    """The name, its numbers and its numbers by key; None where a parameter is no number."""
    call = read_call(text)
    try:
        numbers = [(key, float(value)) for key, value in call[1]] if call else []
    except ValueError:
        return None
    listed = [number for key, number in numbers if not key]
    return call and (call[0], listed, {key: number for key, number in numbers if key})
