"""What stories share: the command line as a user runs it, claims that are checked, pictures."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REASONS = (
    "sensitive-share",
    "sensitive-proxies",
    "forbidden-top-features",
    "group-gap",
    "relevance-outside-mask",
    "share-drift",
    "rank-drift",
    "reason-drift",
    "sample-drift",
    "sample-top-features",
    "layer-drift",
)
"""Checks of what answers rest on; all others ask whether inputs, answers and explanations hold."""
Report = dict[str, Any]


@dataclass
class Story:
    """Models that are audited in a folder, and what is claimed of them.

    Attributes:
        broken: claims that do not hold.
    """

    folder: Path
    broken: list[str] = field(default_factory=list)

    def run(self, command: str, *words: str | Path, name: str) -> Report:
        """Run `backtrace-onnx audit` or `compare` in the folder; its report, also as name.html."""
        files = ("--json", f"{name}.json", "--html", f"{name}.html")
        line = ["-m", "backtrace_onnx", command, *map(str, words)]
        print(f"\n$ backtrace-onnx {' '.join(line[2:])}", flush=True)
        done = subprocess.run([sys.executable, *line, *files], cwd=self.folder)
        assert done.returncode in (0, 1), f"exit code {done.returncode}"
        report: Report = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        assert report["exit_code"] == done.returncode
        return report

    def claim(self, what: str, holds: bool) -> None:
        """Print a claim, and keep it where it does not hold."""
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {what}", flush=True)
        if not holds:
            self.broken.append(what)


def failed(report: Report) -> set[str]:
    """The checks that failed."""
    return {check["id"] for check in report["checks"] if check["status"] == "failed"}


def check_of(report: Report, name: str) -> dict[str, Any]:
    """What became of a check."""
    found: dict[str, Any] = next(check for check in report["checks"] if check["id"] == name)
    return found


def beside(first: Report, second: Report, names: Sequence[str]) -> str:
    """Checks of two reports side by side, as Markdown."""
    lines = ["| check | the first | the second |", "|---|---|---|"]
    for name in names:
        cells = [_cell(check_of(report, name)) for report in (first, second)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(check: dict[str, Any]) -> str:
    """What became of a check, with its bound."""
    if check["value"] is None:
        return str(check["status"])
    sure = ", confirmed" if check["confirmed"] and check["status"] == "failed" else ""
    bound = f"{check['better']} {check['threshold']:.2g}"
    return f"{check['status']}: {check['value']:.2g} ({bound}){sure}"


def tell(story: Callable[[Story], Sequence[str]], title: str) -> int:
    """Tell a story in a folder of its own, and draw those of its pages that it names.

    Returns the exit code: 1 where a claim does not hold.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--pictures", action="store_true", help="draw pages (needs Chromium)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        told = Story(Path(name))
        pages = story(told)
        if asked.pictures:
            sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
            from page_pictures import shoot

            shoot([told.folder / f"{page}.html" for page in pages])
    print(f"\n{len(told.broken)} claim(s) do not hold" if told.broken else "\nAll claims hold")
    return int(bool(told.broken))
