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


def test_the_median_rank_counts_what_says_nothing_as_behind_all() -> None:
    """Two modes that are alike are both first, of which one is no better than what is drawn."""
    names = ["abpc", "morf", "complexity"]
    noise = [0.3, -0.3, 0.2, -0.2, 0.25, -0.25]
    drawn = [JournalEntry(i, "random", values={"abpc": v, "morf": v}) for i, v in enumerate(DRAWN)]
    good = [
        JournalEntry(i, "lrp", values={"abpc": v + 0.05, "morf": v - 0.05, "complexity": 1.0})
        for i, v in enumerate(DRAWN)
    ]
    idle = [
        JournalEntry(i, "shap", values={"abpc": v + n, "morf": v + n, "complexity": 1.0})
        for i, (v, n) in enumerate(zip(DRAWN, noise, strict=True))
    ]
    found = summarise([*drawn, *good, *idle], ["lrp", "shap", "random"], find_metrics(names))
    lrp, shap, random = found
    assert shap.beats_random == {"abpc": False, "morf": False, "complexity": None}
    assert [place.place for place in shap.ranks.values() if place] == [1, 1, 1]
    assert (lrp.median_rank, shap.median_rank, random.median_rank) == (1, 3, None)
    (alone, _) = summarise([*drawn, *idle], ["shap", "random"], find_metrics(names))
    assert alone.median_rank == 2


def test_each_reason_is_told_with_its_count() -> None:
    why = ["no slope", "too  long", "no slope", "no slope"]
    made = [JournalEntry(i, "lrp", errors={"abpc": text}) for i, text in enumerate(why)]
    made += [JournalEntry(i, "lrp", errors={"": "no answer"}) for i in (4, 5)]
    (mode,) = summarise(made, ["lrp"], find_metrics(["abpc"]))
    assert mode.errors == {"abpc": {"no slope": 3, "too long": 1}, "": {"no answer": 2}}
    told = Evaluation("m.onnx", tuple(find_metrics(["abpc"])), (mode,), 6, 6)
    assert lines(told)[1:] == [
        "lrp, abpc: not in 4 of 6 rows: no slope (3 row(s)); too long (1 row(s))",
        "lrp: not in 2 of 6 rows: no answer",
    ]
    assert told.record()["modes"][0]["errors"] == [
        {"metric": "abpc", "error": "no slope", "rows": 3},
        {"metric": "abpc", "error": "too long", "rows": 1},
        {"metric": None, "error": "no answer", "rows": 2},
    ]


def test_seconds_are_the_median_of_all_rows() -> None:
    made = [JournalEntry(i, "lrp", seconds, {"abpc": 1.0}) for i, seconds in enumerate([3, 1, 2])]
    (mode,) = summarise(made, ["lrp"], find_metrics(["abpc"]))
    assert mode.seconds == 2
