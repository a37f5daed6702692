"""How much relevance reached the inputs, and what to do where that is next to nothing or noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import NumericalError
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import Entry, Ledger

Array = npt.NDArray[Any]
LITTLE = 0.01  # part of the start: a map of less shows what is left by chance
GROWN = 10.0  # times the start: what more there is cancels, and is rounding at last
STEADY = "contrastive"  # the mode in which biases absorb nothing and nothing grows


def check_finite(ledger: Ledger, mode: str) -> None:
    """Raise NumericalError, naming the first node in walk order that made NaN or infinity."""
    for entry in ledger.values():
        made = np.stack([entry.data, entry.constants, entry.unassigned])
        bad = ~np.isfinite(made).all(axis=(0, 1))
        if bad.any():
            others = [other for other in (STEADY, "default") if other != mode]
            remedy = f"use mode {' or '.join(others)}, where nothing grows"
            remedy = "" if mode == STEADY else remedy
            where = f"{entry.node!r} ({entry.operator})"
            raise NumericalError(entry.node, mode, int(bad.argmax()), where, remedy)


def reach_notes(ledger: Ledger, inputs: Mapping[str, Array], mode: str) -> tuple[Note, ...]:
    """A warning for each sample whose map is empty of meaning; one where all samples' are alike.

    Args:
        inputs: the arrays that were fed, by name.
    """
    count = ledger.total().start.shape[1]
    texts = [_doubt(ledger, sample, inputs, mode) for sample in range(count)]
    if texts and texts[0] and len(set(texts)) == 1:
        return (Note(texts[0], warning=True),)
    return tuple(Note(text, sample, warning=True) for sample, text in enumerate(texts) if text)


def flat_notes(ledger: Ledger, relevance: Iterable[Array]) -> tuple[Note, ...]:
    """A warning where a mode that does not conserve, or compares, has nothing to show.

    How much reaches the inputs says nothing there: slopes may be small or large.

    Args:
        relevance: that of every input.
    """
    if not np.any(ledger.total().start) or any(np.any(r) for r in relevance):
        return ()
    return (
        Note(
            "the score does not change with any input here: all slopes are 0; take mode default or "
            "contrastive, which tell what it is made of",
            warning=True,
        ),
    )


def reached(ledger: Ledger, sample: int) -> float | None:
    """|Relevance| at the inputs in parts of the start's, all channels; None for a start of 0."""
    start = float(ledger.sizes.start[:, sample].sum())
    return float(ledger.sizes.inputs[:, sample].sum()) / start if start > 0 else None


def _grows(ledger: Ledger, sample: int) -> bool:
    """Whether sums behind sums blew relevance up.

    A score may be near 0 beside what adds up to it: what its own sum hands on is exact, however
    large, and growth counts from there; and so is what the inputs' own scale and shift make of it.
    """
    sizes = ledger.sizes
    whole = max(float(sizes.start[:, sample].sum()), float(sizes.shared[:, sample].sum()))
    return float(sizes.entered[:, sample].sum()) > GROWN * whole


def _doubt(ledger: Ledger, sample: int, inputs: Mapping[str, Array], mode: str) -> str | None:
    share = reached(ledger, sample)
    if share is None:
        return None
    if _grows(ledger, sample):
        grown = f"relevance grew to {share:.2g} times its start on its way to the inputs"
        cause = "divisions by sums near 0 blew it up, and most of it cancels"
        return f"{grown}: {cause}{_use(mode, 'where nothing grows')}"
    what = "the relevance"
    if share >= LITTLE and len(ledger.sizes.start) > 1:
        share = _ratio(ledger.sizes.inputs[0, sample], ledger.sizes.start[0, sample])
        what = "what speaks for the target"
    if share >= LITTLE:
        return None
    part = f"only {_percent(share)}" if share else "none"
    means = (
        "what is ranked and drawn here says next to nothing" if share else "nothing is to be seen"
    )
    return (
        f"{part} of {what} reached the inputs, so that {means}{_why(ledger, sample, inputs, mode)}"
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.inf


def _why(ledger: Ledger, sample: int, inputs: Mapping[str, Array], mode: str) -> str:
    """Who took it, and what to do."""
    total = ledger.total()
    taken = {
        kind: float(np.abs(getattr(total, kind)[:, sample]).sum())
        for kind in ("constants", "unassigned")
    }
    numbers = [x for x in inputs.values() if x.dtype.kind in "fiu"]
    if numbers and not any(map(np.any, numbers)):
        return ": the inputs hold zeros only, which no mode gives relevance"
    if taken["constants"] >= taken["unassigned"]:
        return ": biases and constants absorbed it" + _use(mode, "where biases absorb nothing")
    node = max(ledger.values(), key=lambda entry: _lost(entry, sample))
    where = f": most got lost at node {node.node!r} ({node.operator})"
    if mode == "default":
        return f"{where}, which gave nothing on in this mode and gives nothing in any other"
    return f"{where}, where contributions cancel; use mode default, which adds their sizes"


def _lost(entry: Entry, sample: int) -> float:
    return float(np.abs(entry.unassigned[:, sample]).sum())


def _use(mode: str, why: str) -> str:
    """The mode to take instead, if there is one."""
    return "" if mode == STEADY else f"; use mode {STEADY}, {why}"


def _percent(share: float) -> str:
    return f"{share:.1g}" if share < 1e-6 else f"{100 * share:.2g}%"
