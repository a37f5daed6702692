"""How much relevance reached the inputs, and what to do where that is next to nothing or noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import NumericalError
from backtrace_onnx.graph.graph import Node
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.propagation.ledger import CLOSED, Entry, Ledger
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.structures.functions import PiecewiseConstant

Array = npt.NDArray[Any]
LITTLE = 0.01  # part of the start: a map of less shows what is left by chance
GROWN = 10.0  # times the start: what more there is cancels, and is rounding at last
FLAT = frozenset({"backtrace_onnx::Bins", "Ceil", "Floor", "Round", "Sign"})
MOST = 3  # nodes that are named
STEADY = "contrastive"  # the mode in which biases absorb nothing and nothing grows


def check_finite(
    ledger: Ledger, mode: str, relevance: Mapping[str, Sequence[Array]] | None = None
) -> None:
    """Raise NumericalError, naming the first node in walk order that made NaN or infinity.

    Args:
        relevance: that of the inputs by name, an array per channel; one is named where no node's
            books hold such values.
    """
    finite = np.isfinite(ledger.stacked()[1:]).all()
    for entry in () if finite else ledger.values():
        made = np.stack([entry.data, entry.constants, entry.unassigned])
        bad = ~np.isfinite(made).all(axis=(0, 1))
        if bad.any():
            where = f"node {entry.node!r} ({entry.operator})"
            raise NumericalError(entry.node, mode, int(bad.argmax()), where, _steadier(mode))
    for name, channels in (relevance or {}).items():
        if not all(np.isfinite(r).all() for r in channels):
            bad = ~np.isfinite(ledger.total().inputs).all(axis=0)
            where = f"input {name!r}"
            raise NumericalError(name, mode, int(bad.argmax()), where, _steadier(mode))


def _steadier(mode: str) -> str:
    """The modes to take where relevance overflows; "" where there is none."""
    others = [other for other in (STEADY, "default") if other != mode]
    return "" if mode == STEADY else f"use mode {' or '.join(others)}, where nothing grows"


def closed_notes(ledger: Ledger, ends: Sequence[Node]) -> tuple[Note, ...]:
    """A warning where every way to the inputs ends at these nodes, in whatever mode."""
    if not ends or not np.any(ledger.total().start):
        return ()
    named = [f"{node.name!r} ({node.operator})" for node in ends[:MOST]]
    more = f" and {len(ends) - MOST} more" if len(ends) > MOST else ""
    word = "nodes" if len(ends) > 1 else "node"
    return (
        Note(
            "none of the relevance reached the inputs, so that nothing is to be seen: the output "
            f"depends on them through {word} {', '.join(named)}{more} only, which tells places, "
            "truths or sizes and hands relevance on in no mode; explain a tensor that is made of "
            "numbers (output=)",
            warning=True,
        ),
    )


def reach_notes(
    ledger: Ledger, inputs: Mapping[str, Array], mode: str, *, slopes: bool = False
) -> tuple[Note, ...]:
    """A warning for each sample whose map is empty of meaning, and a note where it only cancels;
    one where all samples' are alike.

    A map is empty where little reached the inputs by size, whatever the sign: what speaks for the
    answer and what speaks against it may add up to nothing in the ledger, and be told all the same.

    Args:
        inputs: the arrays that were fed, by name.
        slopes: whether slopes travelled. What reaches the inputs is less with every layer then, by
            biases and stabilisers, and compares them all the same: that is no doubt.
    """
    count = ledger.total().start.shape[1]
    asked = np.flatnonzero(~_plain(ledger))

    def told(doubt: Callable[[int], str | None]) -> list[str | None]:
        found: list[str | None] = [None] * count
        for sample in asked:
            found[sample] = doubt(int(sample))
        return found

    if slopes:
        faint = told(lambda sample: _faint(ledger, sample))
        if any(faint):
            return _alike(faint, warning=False, first=True)
    doubts = told(lambda sample: _doubt(ledger, sample, inputs, mode))
    cancelled = told(lambda i: None if doubts[i] else _cancelled(ledger, i))
    return (*_alike(doubts, warning=True), *_alike(cancelled, warning=False))


def _plain(ledger: Ledger) -> Array:
    """bool[samples]: of which samples there is nothing to say; most are, in a large batch."""
    sizes = ledger.sizes
    start, reached = sizes.start.sum(0), sizes.inputs.sum(0)
    whole = np.maximum(start, sizes.shared.sum(0))
    plain = (reached >= LITTLE * start) & (sizes.entered.sum(0) <= GROWN * whole) & (start > 0)
    if len(sizes.start) > 1:
        return np.asarray(plain & (sizes.inputs[0] >= LITTLE * sizes.start[0]))
    total = np.abs(ledger.total().inputs[0])
    return np.asarray(plain & (total >= LITTLE * np.minimum(start, reached)))


def _alike(texts: Sequence[str | None], *, warning: bool, first: bool = False) -> tuple[Note, ...]:
    """A note for each sample that has a text; one where all samples' are alike."""
    if texts and texts[0] and len(set(texts)) == 1:
        return (Note(texts[0], None, warning, first),)
    told = ((sample, text) for sample, text in enumerate(texts) if text)
    return tuple(Note(text, sample, warning, first) for sample, text in told)


def jump_notes(ledger: Ledger, plan: Plan) -> tuple[Note, ...]:
    """A note where the sample and what it is compared with are on other steps of a function of
    steps: there is no slope between these."""
    start, named = np.abs(ledger.total().start), []
    for name, entry in ledger.items():
        stepped = isinstance(plan.structures.get(name), PiecewiseConstant)
        if stepped and np.any(np.abs(entry.unassigned) > CLOSED * start):
            named.append(f"{name!r} ({entry.operator})")
    if not named:
        return ()
    more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
    return (
        Note(
            f"{', '.join(named[:MOST])}{more}: between the steps of this function there is no "
            "slope, and what it makes of the difference to the baseline is unassigned"
        ),
    )


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


def _faint(ledger: Ledger, sample: int) -> str | None:
    """That amounts are small where slopes travelled, and how to read them, if they are."""
    share = reached(ledger, sample)
    if not share or share >= LITTLE or _grows(ledger, sample):
        return None
    return (
        f"only {_percent(share)} of the relevance reached the inputs: biases and constants took it "
        "layer by layer; compare entries with each other, not with the score, or use mode "
        "integrated_gradients, which adds up to it"
    )


def _cancelled(ledger: Ledger, sample: int) -> str | None:
    """That the inputs' relevance adds up to next to nothing though it is there, if it does."""
    if len(ledger.sizes.start) > 1:
        return None  # each channel has one sign
    start, size = (float(x[0, sample]) for x in (ledger.sizes.start, ledger.sizes.inputs))
    whole = float(ledger.total().inputs[0, sample])
    if not start > 0 or size < LITTLE * start or abs(whole) >= LITTLE * min(start, size):
        return None
    plus, minus = (size + whole) / 2, (size - whole) / 2
    return (
        f"relevance cancels in the inputs: {plus:+.3g} and {-minus:+.3g} add up to next to nothing "
        f"in the ledger, and are {size / start:.0%} of the start by size, which the map shows"
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
    if node.operator in FLAT:
        return f"{where}, which is flat: no slope leads on; use mode default or contrastive"
    return f"{where}, where contributions cancel; use mode default, which adds their sizes"


def _lost(entry: Entry, sample: int) -> float:
    return float(np.abs(entry.unassigned[:, sample]).sum())


def _use(mode: str, why: str) -> str:
    """The mode to take instead, if there is one."""
    return "" if mode == STEADY else f"; use mode {STEADY}, {why}"


def _percent(share: float) -> str:
    return f"{share:.1g}" if share < 1e-6 else f"{100 * share:.2g}%"
