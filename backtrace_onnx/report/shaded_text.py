"""A text whose tokens are shaded by relevance: on a terminal, and as a page of HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from backtrace_onnx.report.answers import percent
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.headlines import headline
from backtrace_onnx.report.picture_style import INK, shade
from backtrace_onnx.report.signed_amounts import signed
from backtrace_onnx.report.token_relevance import (
    TextRelevance,
    TokenRelevance,
    beside,
    read_text_relevance,
)

if TYPE_CHECKING:
    from rich.text import Text

_LEGEND = (-1.0, -0.5, 0.0, 0.5, 1.0)


def lines(subject: ExplainedSample, name: str) -> list[Text]:
    """What is printed: the text, shaded; special tokens and padding; what the colours mean."""
    from rich.text import Text

    sentence = read_text_relevance(subject, name)
    legend = Text("speaks against ", style="dim")
    for strength in _legend(sentence):
        legend.append("   ", style=_style(strength))
    legend.append(" speaks for" if _signed(sentence) else " relevance", style="dim")
    if not _signed(sentence):
        legend = legend[len("speaks against ") :]
    return [
        shaded(sentence),
        *(Text(note, style="dim") for note in notes(subject, sentence)),
        legend,
    ]


def shaded(sentence: TextRelevance) -> Text:
    """The text, every token on the colour of its relevance."""
    from rich.text import Text

    made = Text()
    for mark in sentence.marks:
        made.append(visible(mark.text), style=_style(mark.relevance / sentence.limit))
    return made


def notes(subject: ExplainedSample, sentence: TextRelevance) -> list[str]:
    """What is no part of the text: special tokens, padding, other inputs that got relevance."""
    found = []
    if sentence.special:
        found.append("special tokens: " + ", ".join(_amounts(sentence.special, sentence.total)))
    if sentence.padding:
        held = "no relevance" if sentence.filled == 0 else f"relevance {sentence.filled:.3g}"
        found.append(f"padding: {sentence.padding} tokens, {held}")
    others = [f"{name} {signed(amount, 3)}" for name, amount in beside(subject)]
    return found + ([f"other inputs: {', '.join(others)}"] if others else [])


def page(subjects: Iterable[ExplainedSample]) -> str:
    """One small page of HTML that needs nothing else: every text, shaded, with its headline."""
    parts = [_HEAD]
    for subject in subjects:
        parts.append(f"<h1>{escape(headline(subject))}</h1>")
        parts += [_section(subject, name) for name in subject.read_texts]
    return "\n".join([*parts, "</body></html>", ""])


def _section(subject: ExplainedSample, name: str) -> str:
    sentence = read_text_relevance(subject, name)
    spans = "".join(_span(mark, sentence) for mark in sentence.marks)
    small = "".join(f"<p class=note>{escape(note)}</p>" for note in notes(subject, sentence))
    words = ("speaks against", "speaks for") if _signed(sentence) else ("", "relevance")
    bar = "".join(f'<i style="background:{shade(s)}"></i>' for s in _legend(sentence))
    legend = (
        f"<p class=note>{words[0]} {bar} {words[1]} · mode {escape(subject.explanation.mode)}</p>"
    )
    return f"<p class=text>{spans}</p>\n{small}{legend}"


def _span(mark: TokenRelevance, sentence: TextRelevance) -> str:
    color = shade(mark.relevance / sentence.limit)
    share = percent(abs(mark.relevance) / sentence.total)
    title = f"{signed(mark.relevance)} ({share})"
    sign = " class=against" if mark.relevance < 0 else ""
    style = f"background:{color};color:{ink(color)}"
    return f'<span{sign} style="{style}" title="{title}">{escape(visible(mark.text))}</span>'


def ink(background: str) -> str:
    """Dark or white letters, whichever can be read on a colour (#rrggbb)."""
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def _style(strength: float) -> str:
    color = shade(strength)
    return f"{ink(color)} on {color}" + (" underline" if strength < -0.02 else "")


def visible(text: str) -> str:
    """The text with visible signs for line breaks and for characters that print nothing or move."""
    text = text.replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def _signed(sentence: TextRelevance) -> bool:
    return any(mark.relevance < 0 for mark in sentence.marks)


def _legend(sentence: TextRelevance) -> tuple[float, ...]:
    return _LEGEND if _signed(sentence) else _LEGEND[2:]


def _amounts(marks: Iterable[TokenRelevance], total: float) -> list[str]:
    """Each special token with its relevance; one that stands there often once."""
    sums: dict[str, tuple[int, float]] = {}
    for mark in marks:
        count, amount = sums.get(mark.text, (0, 0.0))
        sums[mark.text] = (count + 1, amount + mark.relevance)
    return [
        f"{visible(text)}{f' x {count}' if count > 1 else ''} {signed(amount, 3)} "
        f"({percent(abs(amount) / total)})"
        for text, (count, amount) in sums.items()
    ]


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Relevance</title>
<meta name="viewport" content="width=device-width">
<style>
body{font:16px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:46em;
margin:2em auto;padding:0 1em}
h1{font-size:1.05em;margin:1.6em 0 .3em}
.text{font-size:1.15em;line-height:2;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.text span{border-radius:3px;padding:.15em 0}
.against{text-decoration:underline}
.note{color:#57606a;font-size:.85em;margin:.2em 0}
i{display:inline-block;width:1.6em;height:.8em;vertical-align:-.05em}
</style></head><body>"""
