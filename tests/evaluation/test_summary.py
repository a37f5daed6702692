"""What is made of measured rows: whether a mode beats relevance that is drawn."""

import pytest

from backtrace_onnx.evaluation.catalogue import METRICS, find_metrics
from backtrace_onnx.evaluation.evaluation import Evaluation
from backtrace_onnx.evaluation.journal import JournalEntry
from backtrace_onnx.evaluation.outputs import lines
from backtrace_onnx.evaluation.summary import ModeSummary, summarise

pytest.importorskip("scipy")

DRAWN = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7]


def entries(mode: str, name: str, values: list[float | None]) -> list[JournalEntry]:
    return [JournalEntry(row, mode, values={name: v}) for row, v in enumerate(values)]


def summary(name: str, own: list[float | None], drawn: list[float]) -> ModeSummary:
    found = [*entries("lrp", name, own), *entries("random", name, [*drawn])]
    first, last = summarise(found, ["lrp", "random"], find_metrics([name]))
    assert last.beats_random == {}
    return first


@pytest.mark.parametrize("name", ["abpc", "morf", "rank-inside"])
def test_a_mode_is_compared_with_what_is_drawn_row_by_row(name: str) -> None:
    """A little better in every row is better, though the intervals of both means overlap."""
    sign = 1 if METRICS[name].better == "larger" else -1
    better = summary(name, [v + 0.01 * sign for v in DRAWN], DRAWN)
    assert better.beats_random == {name: True}
    assert summary(name, [v - 0.01 * sign for v in DRAWN], DRAWN).beats_random == {name: False}
    assert summary(name, [*DRAWN[1:], DRAWN[0]], DRAWN).beats_random == {name: False}


def test_what_was_not_measured_is_not_compared() -> None:
    assert summary("abpc", [0.5, None], [0.1, 0.2]).beats_random == {"abpc": None}
    assert summary("complexity", [0.5] * 6, DRAWN).beats_random == {"complexity": None}
    (alone,) = summarise(entries("lrp", "abpc", [0.5, 0.6]), ["lrp"], find_metrics(["abpc"]))
    assert alone.beats_random == {"abpc": None}


def test_what_says_nothing_is_marked() -> None:
    metrics = tuple(find_metrics(["abpc"]))
    worse = summary("abpc", [v - 0.01 for v in DRAWN], DRAWN)
    told = Evaluation("m.onnx", metrics, (worse,), 6, 6)
    assert any(line.startswith("! no better than") for line in lines(told))
    assert told.record()["modes"][0]["metrics"]["abpc"]["beats_random"] is False
    better = summary("abpc", [v + 0.01 for v in DRAWN], DRAWN)
    assert not any("!" in line for line in lines(Evaluation("m.onnx", metrics, (better,), 6, 6)))
