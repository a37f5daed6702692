"""Audits: seconds to build each report of one of 10,000 census rows, and memory of a large one.

Rows are random, with the columns and categories of the census model. Every figure is of a process
of its own. `python scripts/bench/audit.py [rows of the large audit]` prints tables.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from dataset import ADULT, LARGE, write_census

ROWS = 10_000
SETTINGS = {"label": "loan", "groups": ["gender"], "sensitive": ["gender", "ethnicity"]}


def reports(folder: Path) -> dict[str, float]:
    """Seconds of the audit, and of building each report of it, the fastest of three."""
    from backtrace_onnx.audit import audit
    from backtrace_onnx.audit.outputs import model_card, tables
    from backtrace_onnx.audit.outputs.page import as_html
    from backtrace_onnx.audit.outputs.sarif import as_sarif

    started = time.perf_counter()
    report = audit(ADULT, str(folder / "rows.csv"), settings=SETTINGS)
    found = {"audit": time.perf_counter() - started}
    makers: dict[str, Any] = {
        "--json": tables.as_json,
        "--junit": tables.as_junit,
        "--markdown": tables.as_markdown,
        "--sarif": as_sarif,
        "--html": as_html,
        "--model-card": model_card.as_model_card,
        "--model-card .json": model_card.as_cyclonedx,
    }
    for name, make in makers.items():
        spent = []
        for _ in range(3):
            started = time.perf_counter()
            make(report)
            spent.append(time.perf_counter() - started)
        found[f"{name}, first"], found[name] = spent[0], min(spent)
    return found


def memory(folder: Path) -> dict[str, float]:
    """Peak memory in MB before the rows and in all, and seconds of the checks that take most."""
    from backtrace_onnx import Explainer
    from backtrace_onnx.audit import audit

    Explainer(ADULT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = [("begins", time.perf_counter())]
    audit(
        *(ADULT, str(folder / "rows.csv")),
        settings=SETTINGS,
        say=lambda text: told.append((text, time.perf_counter())),
    )
    told.append(("ends", time.perf_counter()))
    spent = {a[0]: b[1] - a[1] for a, b in pairwise(told)}
    most = dict(sorted(spent.items(), key=lambda one: -one[1])[:6])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"MB of the model": before, "MB": peak, "seconds": sum(spent.values()), **most}


def child(what: str, folder: str) -> dict[str, float]:
    command = [sys.executable, __file__, "child", what, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(large: int) -> None:
    for what, rows in (("reports", ROWS), ("memory", large)):
        with tempfile.TemporaryDirectory() as folder:
            write_census(Path(folder) / "rows.csv", rows)
            print(f"\n| {what}, {rows:,} rows | |\n|---|---|")
            for name, value in child(what, folder).items():
                print(f"| {name} | {value:.{0 if 'MB' in name else 3}f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        print(json.dumps({"reports": reports, "memory": memory}[sys.argv[2]](Path(sys.argv[3]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else LARGE)
