"""Shades of relevance as classes of style: f1 to f20 speak for, a1 to a20 against."""

from __future__ import annotations

from backtrace_onnx.report.picture_style import shade
from backtrace_onnx.report.shaded_text import ink

STEPS = 20
"""Shades of either sign."""
MOST = 24
"""Answers that one picker offers, and samples that one page holds."""
_DARK_PAPER = (27, 31, 36)


def shade_class(strength: float) -> str:
    """The class of a strength from -1 to 1; "" where it is as good as none."""
    step = round(min(1.0, abs(strength)) * STEPS)
    return f"{'f' if strength > 0 else 'a'}{step}" if step else ""


def shades() -> str:
    """Rules of all shades, for light and dark paper, and those that show what is picked."""
    light = "\n".join(_rule(f"{sign}{i}", _shade(sign, i)) for sign in "fa" for i in _steps())
    dark = "\n".join(_rule(f"{sign}{i}", _darker(sign, i)) for sign in "fa" for i in _steps())
    picked = ", ".join(f".sample:has(.pick-{i}:checked) .is-{i}" for i in range(1, MOST + 1))
    return (
        f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
        f"@supports selector(:has(a)) {{\n.sample .picked {{ display: none }}\n"
        f"{picked} {{ display: revert }}\n}}"
    )


def _steps() -> range:
    return range(1, STEPS + 1)


def _rule(name: str, color: str) -> str:
    return f".{name} {{ background: {color}; color: {ink(color)} }}"


def _shade(sign: str, step: int) -> str:
    return shade((1 if sign == "f" else -1) * step / STEPS)


def _darker(sign: str, step: int) -> str:
    """The shade on dark paper: the paper shows through where relevance is small."""
    strength = step / STEPS
    full = (224, 98, 20) if sign == "f" else (38, 116, 196)
    cover = min(1.0, 1.05 * strength**0.7)
    mixed = (round(cover * a + (1 - cover) * b) for a, b in zip(full, _DARK_PAPER, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


__all__ = ["MOST", "shade_class", "shades"]
