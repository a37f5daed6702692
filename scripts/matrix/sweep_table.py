"""The table of docs/sweep.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import Any

from cases import Case
from checking import MODES

DOCUMENT = Path(__file__).parents[2] / "docs" / "sweep.md"
OUTCOMES = ("explained", "refused", "wrong", "not exported")
EXPORTERS = (
    "onnx",
    "onnxruntime",
    "torch",
    "transformers",
    "tf2onnx",
    "tensorflow-cpu",
    "scikit-learn",
    "skl2onnx",
    "onnxmltools",
)
HEAD = """# The sweep

{total} exports of small networks and estimators, made by `python scripts/matrix/sweep.py`: every
family by every exporter that takes it, with random weights or fitted on random rows; nothing is
downloaded. Each file is explained in {modes} by the eager engine and by onnxruntime, and compiled
in default, for the task that is named only where nothing else tells.

{versions}

*Explained*: all of it, the ledger closes to 1e-3 of the relevance that moved, both engines and
the compiled file agree to 1e-3 of the largest relevance, in every mode that takes the model.
*Refused*: with a reason, given below. *Wrong*: a fault of ours, given below. *Not exported*: the
exporter or its verification refused it, or onnxruntime does not load what it wrote.

Files that compute in float16, whose step is 1e-3, or by QLinear operators, whose step is 4e-3, may
differ by 1e-2: onnxruntime's CPU computes halves in float32 and rounds between nodes or not, and
rounds to one step or the next, depending on what else the graph holds. Where relevance grew in
epsilon(absolute=1e-6) beyond what an explanation bears, which it says itself, both engines amplify
their rounding and are not compared in that mode.
"""
Record = dict[str, Any]


def write_table(records: Mapping[str, Record], listed: Sequence[Case]) -> int:
    """Write the document, in the order of the list; 1 where something is wrong."""
    done = [records[case.name] for case in listed if case.name in records]
    known = [r for r in done if r["outcome"] in OUTCOMES]
    versions = fill("With " + ", ".join(f"{name} {version(name)}" for name in EXPORTERS) + ".", 100)
    head = HEAD.format(total=len(known), versions=versions, modes=", ".join(MODES))
    lines = [head, *_summary(known), *_left_out(records, listed)]
    for outcome in OUTCOMES[1:]:
        told = [(r, r["reason"]) for r in known if r["outcome"] == outcome]
        lines += _reasons(outcome.capitalize(), told)
    explained = [r for r in known if r["outcome"] == "explained"]
    told = [(r, r["compiled"]) for r in explained if r["compiled"] != "agrees"]
    lines += [*_reasons("Explained, not compiled", told), *_modes(explained)]
    lines += _explained(explained)
    DOCUMENT.write_text("\n".join(lines) + "\n")
    print({o: sum(r["outcome"] == o for r in known) for o in OUTCOMES})
    return int(any(r["outcome"] == "wrong" for r in known))


def _left_out(records: Mapping[str, Record], listed: Sequence[Case]) -> Iterable[str]:
    """What is in no column of the table, and why."""
    slow, missing = [], []
    for case in listed:
        outcome = records.get(case.name, {}).get("outcome")
        if outcome not in OUTCOMES:
            where = slow if outcome == "not finished" else missing
            where.append(f"{case.network} ({case.exporter})")
    if slow:
        yield f"\nNot finished within the time for one, counted nowhere: {', '.join(slow)}."
    if missing:
        yield f"\n**Of {len(listed)} exports {len(missing)} did not run**: {', '.join(missing)}."
    if not slow + missing:
        yield f"\nAll {len(listed)} exports of the list ran."


def _summary(records: Sequence[Record]) -> Iterable[str]:
    yield "| family | exporter | explained | refused | wrong | not exported |"
    yield "|---|---|---|---|---|---|"
    counts: dict[tuple[str, str], Counter[str]] = {}
    for r in records:
        counts.setdefault((r["family"], r["exporter"]), Counter())[r["outcome"]] += 1
    for (family, exporter), found in counts.items():
        yield f"| {family} | {exporter} | {' | '.join(str(found[o] or '') for o in OUTCOMES)} |"
    whole = Counter(r["outcome"] for r in records)
    yield f"| **all** | | {' | '.join(f'**{whole[o]}**' for o in OUTCOMES)} |"


def _reasons(title: str, told: Sequence[tuple[Record, str]]) -> Iterable[str]:
    """Each reason once, behind all that it was given for."""
    if not told:
        return
    yield f"\n## {title}\n"
    by_reason: dict[str, list[Record]] = {}
    for r, reason in told:
        by_reason.setdefault(_short(reason), []).append(r)
    for reason, rows in by_reason.items():
        names = ", ".join(f"{r['network']} ({r['exporter']})" for r in rows)
        yield f"- {names}: {reason}"


def _modes(records: Sequence[Record]) -> Iterable[str]:
    """How many each mode explained, and why it refused the others."""
    yield f"\n## Modes\n\nOf {len(records)} explained exports:\n"
    yield "| mode | explained | refused, and why |"
    yield "|---|---|---|"
    for mode in MODES:
        head, why = f"{mode}: ", Counter[str]()
        for note in (n for r in records for n in r["notes"] if n.startswith(head)):
            why[_short(re.sub(r" \(node [^)]*\)", "", note.removeprefix(head)))] += 1
        told = "; ".join(f"{count}: {reason}" for reason, count in why.most_common())
        yield f"| {mode} | {sum(mode in r['reached'] for r in records)} | {told} |"


def _explained(records: Sequence[Record]) -> Iterable[str]:
    """Every explained export on a line: what of the start reached the inputs, how far it closes."""
    yield "\n## Explained\n"
    yield f"Inputs: share of |start| that arrives there, in {', '.join(MODES)}.\n"
    yield "| family | network | exporter | residual | engines | compiled | inputs |"
    yield "|---|---|---|---|---|---|---|"
    for r in records:
        reached = ", ".join(f"{r['reached'][m]:.2g}" if m in r["reached"] else "-" for m in MODES)
        cells = (
            r["family"],
            r["network"],
            r["exporter"],
            f"{r['residual']:.0e}",
            f"{r['engines']:.0e}",
            "yes" if r["compiled"] == "agrees" else "no",
            reached,
        )
        yield f"| {' | '.join(cells)} |"


def _short(reason: str, limit: int = 220) -> str:
    text = reason.replace("|", "/").replace("<", "&lt;")
    return text if len(text) <= limit else f"{text[:limit].rsplit(' ', 1)[0]} ..."
