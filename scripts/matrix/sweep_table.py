"""The table of docs/sweep.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "sweep.md"
OUTCOMES = ("explained", "refused", "wrong", "not exported")
HEAD = """# The sweep

{total} exports of small networks and estimators, made by `python scripts/matrix/sweep.py`: every
family by every exporter that takes it, with random weights or fitted on random rows; nothing is
downloaded. Each file is explained in default, contrastive and epsilon by the eager engine and by
onnxruntime, and compiled, for the task that is named only where nothing else tells.

*Explained*: all of it, the ledger closes to 1e-3, both engines and the compiled file agree to 1e-3
of the largest relevance. *Refused*: with a reason, given below. *Wrong*: a fault of ours, given
below. *Not exported*: the exporter or its verification refused it, or onnxruntime does not load
what it wrote. Where relevance grew in epsilon beyond what an explanation bears, which it says
itself, both engines amplify their rounding and are not compared in that mode.
"""
Record = dict[str, Any]


def write_table(records: Sequence[Record]) -> int:
    """Write the document; 1 where something is wrong."""
    known = [r for r in records if r["outcome"] in OUTCOMES]
    lines = [HEAD.format(total=len(known)), *_summary(known), *_unfinished(records)]
    for outcome in OUTCOMES[1:]:
        lines += _reasons(outcome, [r for r in known if r["outcome"] == outcome])
    lines += _explained([r for r in known if r["outcome"] == "explained"])
    DOCUMENT.write_text("\n".join(lines) + "\n")
    print({o: sum(r["outcome"] == o for r in known) for o in OUTCOMES})
    return int(any(r["outcome"] == "wrong" for r in known))


def _unfinished(records: Sequence[Record]) -> Iterable[str]:
    """What is in no column of the table."""
    names = [f"{r['network']} ({r['exporter']})" for r in records if r["outcome"] not in OUTCOMES]
    if names:
        yield f"\nNot finished within the time for one, counted nowhere: {', '.join(names)}."


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


def _reasons(outcome: str, records: Sequence[Record]) -> Iterable[str]:
    if not records:
        return
    yield f"\n## {outcome.capitalize()}\n"
    by_reason: dict[str, list[Record]] = {}
    for r in records:
        by_reason.setdefault(_short(r["reason"]), []).append(r)
    for reason, rows in by_reason.items():
        names = ", ".join(f"{r['network']} ({r['exporter']})" for r in rows)
        yield f"- {names}: {reason}"


def _explained(records: Sequence[Record]) -> Iterable[str]:
    """Every explained export on a line: what of the start reached the inputs, how far it closes."""
    yield "\n## Explained\n"
    yield "Inputs: share of |start| that arrives there, in default, contrastive, epsilon.\n"
    yield "| family | network | exporter | residual | engines | compiled | inputs |"
    yield "|---|---|---|---|---|---|---|"
    for r in records:
        reached = ", ".join(f"{r['reached'].get(m, float('nan')):.2g}" for m in r["reached"])
        cells = (
            r["family"],
            r["network"],
            r["exporter"],
            f"{r['residual']:.0e}",
            f"{r['engines']:.0e}",
            "yes" if r.get("compiled") == "agrees" else "no",
            reached,
        )
        yield f"| {' | '.join(cells)} |"


def _short(reason: str, limit: int = 220) -> str:
    text = reason.replace("|", "/").replace("<", "&lt;")
    return text if len(text) <= limit else f"{text[:limit].rsplit(' ', 1)[0]} ..."
