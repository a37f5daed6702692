"""Fills the tables of docs/benchmark.md, and README's "which mode", from the results.

Usage: python scripts/benchmark/report.py [--check]. A table lies between `<!-- NAME -->` and
`<!-- end -->`. With --check nothing is written, and the exit code is 1 where a table is not what
the results say.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILES = (ROOT / "docs" / "benchmark.md", ROOT / "README.md")


class Column(NamedTuple):
    """A metric as tables show it.

    Attributes:
        best: 1 where more is better, -1 where less is; 0 where neither is.
        faithful: whether it says how faithful an explanation is.
    """

    key: str
    title: str
    best: int
    faithful: bool = False


CORRELATION = Column("correlation", "correlation ↑", 1, True)
COLUMNS = {
    "tabular": (
        CORRELATION,
        Column("abpc", "ABPC ↑", 1, True),
        Column("complexity", "complexity ↓", 0),
        Column("mprt", "MPRT ↓", 0),
        Column("rise", "rise ↑", 0),
    ),
    "images": (
        CORRELATION,
        Column("flipping", "pixel flipping ↓", -1, True),
        Column("abpc", "ABPC ↑", 1, True),
        Column("localisation", "localisation ↑", 0),
        Column("sensitivity", "max sensitivity ↓", 0),
    ),
    "text": (
        Column("morf", "MoRF ↓", -1, True),
        Column("lerf", "LeRF ↑", 1, True),
        Column("auc", "ΔAUC ↑", 1, True),
    ),
}
GIVEN = ("deeplift, each row", "deeplift", "integrated_gradients", "expected_gradients", "auto")
"""Modes that have a background in the tabular benchmark."""

LINES = (
    ("tabular", "adult", "a table, and rows to compare with (`--background`)", True),
    ("tabular", "adult", "a table alone", False),
    ("images", "digits", "pictures, a small convolutional network", False),
    ("images", "photos", "photos, a deep convolutional network", False),
    ("text", "reviews", "texts, a transformer", False),
)
"""README's lines: benchmark, data set, what somebody has, whether there is a background."""

Methods = Mapping[str, Mapping[str, Any]]


def read() -> dict[str, dict[str, Any]]:
    """All results by benchmark."""
    files = sorted((HERE / "results").glob("*.json"))
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


def leaders(methods: Methods, column: Column) -> set[str]:
    """The first of a column, and all whose mean lies within its interval."""
    known = {name: cell[column.key] for name, cell in methods.items() if column.key in cell}
    first = max(known.values(), key=lambda numbers: column.best * numbers[0])
    edge = first[1] if column.best > 0 else first[2]
    return {n for n, v in known.items() if column.best * v[0] >= column.best * edge}


def measured(found: Mapping[str, Any]) -> Methods:
    """The methods of a data set without those that failed."""
    return {name: cell for name, cell in found["methods"].items() if "failed" not in cell}


def table(benchmark: str, found: Mapping[str, Any]) -> str:
    """A data set's methods, the better ones first, those that lead a column in bold."""
    methods, columns = measured(found), COLUMNS[benchmark]
    leading = {c.key: leaders(methods, c) if c.faithful else set() for c in columns}
    ranks = rank(methods, columns)
    order = sorted(methods, key=lambda name: ranks[name])
    head = ["method", "n", *(c.title for c in columns), "CPU ms", "compiled"]
    lines = [head, ["---"] * len(head)]
    for name in order:
        cell = methods[name]
        row = [f"`{name}`" if cell["family"] == "ours" else name, str(cell["samples"])]
        for c in columns:
            shown = _number(cell[c.key]) if c.key in cell else ""
            row.append(f"**{shown}**" if name in leading[c.key] else shown)
        row += [_time(cell.get("cpu_ms")), _time(cell.get("compiled_cpu_ms"))]
        lines.append(row)
    shown = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    lost = [f"{n} ({c['failed']})" for n, c in found["methods"].items() if "failed" in c]
    return f"{shown}\n\nFailed: {', '.join(lost)}." if lost else shown


def rank(methods: Methods, columns: tuple[Column, ...]) -> dict[str, tuple[float, float]]:
    """The median place of every method over the columns of faithfulness, and the mean one; ties
    share theirs."""
    places: dict[str, list[float]] = {name: [] for name in methods}
    faithful = [c for c in columns if c.faithful]
    for c in faithful:
        values = {name: c.best * cell[c.key][0] for name, cell in methods.items()}
        for name, value in values.items():
            above = sum(other > value for other in values.values())
            same = sum(other == value for other in values.values())
            places[name].append(above + (same + 1) / 2)
    return {name: (median(found), fmean(found)) for name, found in places.items()}


def clear_rank(methods: Methods, columns: tuple[Column, ...]) -> dict[str, float]:
    """The median, over the columns of faithfulness, of one more than there are methods whose
    interval is better and does not overlap."""
    ranks: dict[str, list[int]] = {name: [] for name in methods}
    for c in (c for c in columns if c.faithful):
        ends = {n: sorted(c.best * edge for edge in cell[c.key][1:]) for n, cell in methods.items()}
        for name, (_, high) in ends.items():
            ranks[name].append(1 + sum(low > high for low, _ in ends.values()))
    return {name: median(found) for name, found in ranks.items()}


def best(names: list[str], methods: Methods, columns: tuple[Column, ...], auto: str = "") -> str:
    """Of some methods the one of the best clear rank; of several the one that mode `auto` is, else
    the one of the best place."""
    clear, places = clear_rank(methods, columns), rank(methods, columns)
    faithful = [c.key for c in columns if c.faithful]

    def order(name: str) -> tuple[float, bool, tuple[float, float]]:
        own, picked = methods[name], methods.get(auto, {})
        return clear[name], any(own[k] != picked.get(k) for k in faithful), places[name]

    return min(names, key=order)


def _number(numbers: list[float]) -> str:
    mean, low, high = (f"{n:.3f}" if abs(n) < 10 else f"{n:.1f}" for n in numbers)
    return f"{mean} [{low}, {high}]"


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.2g}" if milliseconds < 10 else f"{milliseconds:.0f}"


def which_mode(results: Mapping[str, Any]) -> str:
    """README's five lines: what somebody has, what to take, what was measured beside it."""
    lines = [
        "| you have | take | ABPC, or ΔAUC | the best peer | CPU ms for one |",
        "| --- | --- | --- | --- | --- |",
    ]
    for benchmark, data, what, given in LINES:
        if data not in results.get(benchmark, {}):
            continue
        methods, columns = measured(results[benchmark][data]), COLUMNS[benchmark]
        key = "auc" if benchmark == "text" else "abpc"
        free = benchmark != "tabular"
        ours = [
            name
            for name, cell in methods.items()
            if cell["family"] == "ours"
            and not name.startswith("auto")
            and (free or given == (name in GIVEN))
        ]
        peers = [name for name, cell in methods.items() if cell["family"] == "peer"]
        if not ours or not peers:
            continue
        auto = "auto" if free or given else "auto, no background"
        own, other = best(ours, methods, columns, auto), best(peers, methods, columns)
        a, b = methods[own], methods[other]
        lines.append(
            f"| {what} | `{own}` | {a[key][0]:.2f} | {other}: {b[key][0]:.2f} | "
            f"{_time(a['cpu_ms'])} against {_time(b['cpu_ms'])} |"
        )
    return "\n".join(lines)


def summary(results: Mapping[str, Any]) -> str:
    """For every column of faithfulness: who is first, our best, auto, and whether they lead."""
    lines = [
        "| data | column | first | our best | `auto` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for benchmark, columns in COLUMNS.items():
        for found in results.get(benchmark, {}).values():
            methods = measured(found)
            if not any(cell["family"] == "ours" for cell in methods.values()):
                continue
            for c in (c for c in columns if c.faithful):
                lines.append(_summed(found["about"]["title"], methods, c))
    return "\n".join(lines)


def _summed(title: str, methods: Methods, column: Column) -> str:
    def better(names: list[str]) -> str:
        return max(names, key=lambda name: column.best * methods[name][column.key][0])

    ours = [n for n, cell in methods.items() if cell["family"] == "ours" and n[:4] != "auto"]
    first, own = better(list(methods)), better(ours)
    leading = leaders(methods, column)
    shown = []
    for name in (own, "auto"):
        if name not in methods:
            shown.append("not measured")
            continue
        mark = "leads" if name in leading else "behind"
        shown.append(f"`{name}` {methods[name][column.key][0]:.3f}, {mark}")
    quoted = f"`{first}`" if first in ours else first
    top = f"{quoted} {_number(methods[first][column.key])}"
    return f"| {title} | {column.title} | {top} | {shown[0]} | {shown[1].replace('`auto` ', '')} |"


def blocks() -> dict[str, str]:
    """Every table by its name."""
    results = read()
    made = {"which mode": which_mode(results), "summary": summary(results)}
    for benchmark, data in results.items():
        for name, found in data.items():
            made[f"{benchmark} {name}"] = table(benchmark, found)
    return made


def filled(text: str, made: Mapping[str, str]) -> str:
    """A page with its tables as the results say."""

    def put(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n{made[name]}\n<!-- end -->" if name in made else found[0]

    return re.sub(r"<!-- (?P<name>[a-z ]+) -->\n.*?<!-- end -->", put, text, flags=re.DOTALL)


def main() -> int:
    made, stale = blocks(), 0
    for file in FILES:
        text = file.read_text("utf-8")
        new = filled(text, made)
        stale += new != text
        if new != text and "--check" not in sys.argv:
            file.write_text(new, "utf-8")
    return int("--check" in sys.argv and stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
