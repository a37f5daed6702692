"""Where relevance went, in one sentence that adds up to 100 %, and as one bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.json_report import balance
from backtrace_onnx.report.page.bar_charts import Axis, Piece

_NAMED = {
    "inputs": "inputs",
    "constants": "biases",
    "unassigned": "unassigned",
    "cut": "cut (through)",
}
_MINUS = "\u2212"
_KINDS = {"inputs": "data", "constants": "biases", "unassigned": "unassigned", "cut": "cut"}


@dataclass(frozen=True)
class BooksView:
    """One channel's books.

    Attributes:
        sentence: the sum. start: what is divided up, as a number.
        pieces: its terms as a bar. zero: where 0 lies.
    """

    sentence: str
    start: str
    pieces: tuple[Piece, ...]
    zero: float


def books_view(subject: ExplainedSample) -> tuple[BooksView, ...]:
    """The books of every channel that starts with something; () where a mode divides nothing up."""
    conserved = subject.explanation.conserved
    if conserved == "nothing":
        return ()
    found = []
    for channel, amounts in balance(subject).items():
        start = amounts["start"]
        if not start:
            continue
        kinds = [kind for kind in _NAMED if _listed(kind, amounts, conserved)]
        shares = [amounts[kind] / start for kind in kinds]
        told = rounded(shares)
        terms = _summed([_NAMED[kind] for kind in kinds], told)
        whole = "100 %" if conserved == "score" else "100 % of the difference to the baseline"
        if len(subject.channels) > 1:
            whole = f"100 % of what speaks {_SIDES[channel]}"
        axis = Axis.of([sum(s for s in shares if s > 0), sum(s for s in shares if s < 0)])
        named = list(zip((_KINDS[kind] for kind in kinds), shares, strict=True))
        behind = axis.stacked([(kind, -share) for kind, share in named], sign=-1)
        pieces = (*axis.stacked(named), *behind)
        found.append(BooksView(f"{whole} = {terms}", f"{start:.4g}", pieces, axis.zero))
    return tuple(found)


def rounded(shares: Sequence[float]) -> list[str]:
    """Shares in percent, rounded so that they add up as the exact ones do.

    To whole numbers, or to a tenth where one would seem to be nothing. What was rounded down most
    is rounded up (the method of the largest remainder).
    """
    scale = 1
    if any(0.0005 <= abs(share) < 0.01 for share in shares):
        scale = 10
    exact = [100 * scale * share for share in shares]
    if any(abs(value) >= 1e7 for value in exact):
        return [f"{100 * share:.3g}" for share in shares]
    whole = [int(value // 1) for value in exact]
    left = round(sum(exact)) - sum(whole)
    order = sorted(range(len(exact)), key=lambda i: whole[i] - exact[i])
    for i in order[:left]:
        whole[i] += 1
    return [_number(value / scale) for value in whole]


def _number(value: float) -> str:
    return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"


def _summed(names: Sequence[str], numbers: Sequence[str]) -> str:
    """The terms as a sum: inputs 112 - biases 12."""
    terms = [
        f"{_MINUS if number.startswith('-') else '+'} {name} {number.removeprefix('-')}"
        for name, number in zip(names, numbers, strict=True)
    ]
    first = f"{names[0]} {numbers[0].replace('-', _MINUS)}"
    return " ".join([first, *terms[1:]])


def _listed(kind: str, amounts: dict[str, float], conserved: str) -> bool:
    if kind == "constants":
        return conserved == "score"
    return kind != "cut" or abs(amounts[kind]) > 1e-6 * abs(amounts["start"])


_SIDES = {"positive": "for it", "negative": "against it"}


__all__ = ["BooksView", "books_view", "rounded"]
