"""Numbers with their sign, where what is nothing has none."""

from __future__ import annotations


def signed(value: float, digits: int = 4) -> str:
    """A number with its sign, in so many digits."""
    return f"{value:+.{digits}g}" if value else "0"


def signed_percent(share: float, digits: int = 1) -> str:
    """A share in percent with its sign; what is nothing at so many digits has none."""
    text = f"{share:+.{digits}%}"
    return text if any(digit in text for digit in "123456789") else text[1:]


__all__ = ["signed", "signed_percent"]
