"""The benchmark's own parts: intervals, cells, who leads a column, and tables that are current."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[1] / "scripts" / "benchmark"


@pytest.fixture(scope="module")
def part() -> Iterator[Any]:
    """A module of the scripts, by name."""
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARK))
    try:
        yield import_module
    finally:
        sys.path[:] = before


def test_interval_covers_the_mean_of_what_is_known(part: Any) -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    mean, low, high = part("shared").interval(np.append(values, np.nan))
    assert mean == pytest.approx(values.mean(), abs=1e-4)
    error = values.std() / 20
    assert low == pytest.approx(mean - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.3 * error)


def test_groups_are_drawn_whole(part: Any) -> None:
    values, groups = np.repeat([0.0, 1.0], 50), np.repeat([0, 1], 50)
    _, low, high = part("shared").interval(values, groups)
    assert (low, high) == (0.0, 1.0)  # two groups: a draw may hold one of them only


def test_cells_go_on_where_they_were(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = part("shared")
    monkeypatch.setattr(shared, "RESULTS", tmp_path)
    method = shared.Method("lrp", "ours", lambda x, targets: x)
    cells = shared.Cells("some")
    cells.describe("rows", title="Rows")
    assert not cells.has("rows", "lrp")
    cells.put("rows", method, {"abpc": [1.0, 0.5, 1.5]})
    again = shared.Cells("some")
    assert again.has("rows", "lrp") and not again.has("others", "lrp")
    read = json.loads((tmp_path / "some.json").read_text("utf-8"))
    assert read["rows"]["methods"]["lrp"] == {"family": "ours", "abpc": [1.0, 0.5, 1.5]}
    assert [file.name for file in tmp_path.iterdir()] == ["some.json"]


def test_a_twin_explains_bit_for_bit_alike(part: Any) -> None:
    shared = part("shared")
    double = shared.Method("double", "ours", lambda x, targets: 2 * x)
    close = shared.Method("close", "ours", lambda x, targets: 2.0001 * x)
    auto = shared.Method("auto", "ours", lambda x, targets: x + x)
    samples = [(np.arange(3.0), np.array([0]))]
    assert shared.twin(auto, [close, double], samples) == "double"
    assert shared.twin(auto, [close], samples) is None


def test_leaders_lie_within_the_interval_of_the_first(part: Any) -> None:
    report = part("report")
    methods = {
        "a": {"family": "ours", "m": [5.0, 4.0, 6.0]},
        "b": {"family": "peer", "m": [4.1, 2.0, 6.0]},
        "c": {"family": "peer", "m": [3.9, 3.0, 9.0]},
    }
    assert report.leaders(methods, report.Column("m", "m", 1)) == {"a", "b"}
    assert report.leaders(methods, report.Column("m", "m", -1)) == {"a", "b", "c"}
    ranks = report.rank(methods, (report.Column("m", "m", -1, True),))
    assert ranks == {"a": (3, 3), "b": (2, 2), "c": (1, 1)}


def test_advice_is_what_auto_does_where_nothing_is_clearly_better(part: Any) -> None:
    report = part("report")
    columns = (report.Column("m", "m", 1, True), report.Column("other", "other", 0))
    methods = {
        "a": {"m": [5.0, 4.0, 6.0]},
        "b": {"m": [4.1, 2.0, 6.0]},
        "auto": {"m": [4.1, 2.0, 6.0]},
        "c": {"m": [2.0, 1.0, 3.0]},
    }
    assert report.clear_rank(methods, columns) == {"a": 1, "b": 1, "auto": 1, "c": 2}
    assert report.best(["c", "a", "b"], methods, columns, "auto") == "b"
    assert report.best(["c", "a", "b"], methods, columns) == "a"
    assert report.best(["c"], methods, columns, "auto") == "c"
    turned = (report.Column("m", "m", -1, True),)
    assert report.best(["c", "a"], methods, turned, "auto") == "c"


def test_a_method_that_raises_is_told_and_tried_again(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, report = part("shared"), part("report")
    monkeypatch.setattr(shared, "RESULTS", tmp_path)
    cells = shared.Cells("tabular")
    cells.describe("rows", title="Rows")
    good, bad = (shared.Method(name, "peer", lambda x, t: x) for name in ("good", "bad"))
    numbers = {"samples": 3, **{c.key: [0.5, 0.4, 0.6] for c in report.COLUMNS["tabular"]}}

    def fails() -> Any:
        raise ValueError("no\nsuch thing")

    cells.fill("rows", good, lambda: numbers)
    assert cells.fill("rows", bad, fails)["failed"] == "ValueError: no"
    assert cells.told() == 1
    shown = report.table("tabular", cells.read["rows"])
    assert "| good | 3 |" in shown and shown.endswith("Failed: bad (ValueError: no).")
    cells.fill("rows", good, fails)  # it is there: nothing is asked
    cells.fill("rows", bad, lambda: numbers)
    assert cells.told() == 0


def test_a_family_whose_library_is_missing_ends_and_is_told(part: Any) -> None:
    shared = part("shared")

    def family() -> Any:
        yield shared.Method("first", "peer", lambda x, t: x)
        import no_such_library  # noqa: F401

    *_, lost, last = shared.chained(family(), [shared.Method("last", "floor", lambda x, t: x)])
    assert lost.name == "what needs no_such_library" and last.name == "last"
    with pytest.raises(ImportError):
        lost.explain(np.zeros(1), np.zeros(1))


def test_tables_are_what_the_results_say(part: Any) -> None:
    report = part("report")
    made = report.blocks()
    text = "".join(file.read_text("utf-8") for file in report.FILES)
    assert all(f"<!-- {name} -->\n" in text for name in made)
    for file in report.FILES:
        page = file.read_text("utf-8")
        assert report.filled(page, made) == page, f"{file.name}: run scripts/benchmark/report.py"
        assert report.filled(page.replace(" | ", " ! "), made) != page.replace(" | ", " ! ")
