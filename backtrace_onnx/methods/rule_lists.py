"""Rules of single nodes as they are written: a list of pairs, a line, or a TOML file.

base = "attnlrp"
rules = [["first", "flat"], ["convolution", "gamma(0.25)"], ["encoder/*", "epsilon(0.1)"]]
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.methods.sharings import find_sharing
from backtrace_onnx.ops.sharing import Sharing

BASES = ("attnlrp", "cp-lrp", "lrp")
"""Modes that rules of single nodes may stand on, with a stabiliser or without."""

_KEYS = ("base", "rules")


@dataclass(frozen=True)
class RuleList:
    """What a composite is made of.

    Attributes:
        rules: what is meant and how it shares, in order.
        base: the mode that holds at all other nodes; None where none is named.
    """

    rules: tuple[tuple[str, Sharing], ...]
    base: str | None
    text: str


def read_rules(mode: object) -> RuleList | None:
    """The rules that a mode lists; None where it is a mode by name.

    A list of pairs (what, rule), in front of which a mode may stand; the same in one line,
    "attnlrp, first: flat, dense: gamma(0.25)"; or the path of a TOML file with `rules` and,
    perhaps, `base`. Raises RequestError naming what is no rule, or is wrong in the file.
    """
    if isinstance(mode, os.PathLike) or (isinstance(mode, str) and mode.endswith(".toml")):
        path = Path(mode)
        try:
            return _listed(list(_in_file(path)))
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from None
    if isinstance(mode, list | tuple):
        return _listed(mode)
    if isinstance(mode, str) and ":" in mode:
        parts = (part.partition(":") for part in _split(mode))
        return _listed([(what, rule) if colon else what for what, colon, rule in parts])
    return None


def _split(line: str) -> list[str]:
    """Parts of a line between commas that stand outside of parentheses."""
    return re.split(r",(?![^()]*\))", line)


def _in_file(path: Path) -> Iterator[Any]:
    try:
        read = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RequestError(f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise RequestError(f"is no TOML file ({error})") from None
    for key in read:
        if key not in _KEYS:
            close = find_alike(key, _KEYS)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RequestError(f"unknown key {key!r}, there are: {', '.join(_KEYS)}{hint}")
    if not isinstance(read.get("rules"), list):
        raise RequestError('lacks rules, such as rules = [["convolution", "gamma(0.25)"]]')
    if "base" in read:
        if not isinstance(read["base"], str):
            raise RequestError(f'base is a mode, such as base = "attnlrp", not {read["base"]!r}')
        yield read["base"]
    yield from read["rules"]


def _listed(parts: Sequence[Any]) -> RuleList:
    """The list of what may be a mode, and then pairs."""
    named = bool(parts) and isinstance(parts[0], str)
    base = parts[0].strip() if named else None
    if base is not None and base.partition("(")[0].strip() not in BASES:
        raise RequestError(f"rules of nodes stand on {', '.join(BASES)}; not on {base!r}")
    pairs = [_pair(part) for part in parts[named:]]
    if not pairs:
        raise RequestError("a composite lists rules, as in [('convolution', 'gamma(0.25)')]")
    rules = tuple((what, find_sharing(rule)) for what, rule in pairs)
    texts = [f"{what}: {rule}" for what, rule in pairs]
    return RuleList(rules, base, ", ".join([base, *texts] if base else texts))


def _pair(part: Any) -> tuple[str, str]:
    if isinstance(part, list | tuple) and len(part) == 2 and all(isinstance(p, str) for p in part):
        return part[0].strip(), part[1].strip()
    raise RequestError(
        f"a composite is made of pairs (what, rule), as in ('convolution', 'gamma(0.25)'); not of "
        f"{part!r}"
    )
