"""Text as a terminal may be given it: what would steer the terminal is spelled out.

Names come from files of strangers. A name may hold escape sequences, line ends, or marks that turn
the order of what is shown.
"""

from __future__ import annotations

import re

_STEERING = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f"  # controls, without the line end
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"  # order and ends of lines
    "\ud800-\udfff\U000e0000-\U000e007f"  # halves of letters, letters without a shape
)
_IN_LINES = re.compile(f"[{_STEERING}]")
_IN_A_LINE = re.compile(f"[\n{_STEERING}]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with `\x1b`, `\n`, `\u202e` ... for characters that are no letters.

    Args:
        lines: line ends are kept: the text is our own, and has several.
    """
    return (_IN_LINES if lines else _IN_A_LINE).sub(_spelled, text)


def visible_json(text: str) -> str:
    """JSON with its own spelling of such characters, which it holds in its strings only."""
    return _IN_LINES.sub(_in_json, text)


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _in_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
