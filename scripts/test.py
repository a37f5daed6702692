"""Runs the tests: makes `.venv`, installs the package there and runs pytest.

Test files are shared among as many processes as there are cores, four at most (a test with
TensorFlow takes 2 GB). This is the quick suite. With --frameworks, torch, TensorFlow, scikit-learn
and transformers are installed too (2.7 GB), and the tests of the exporters are not skipped. With
--versions oldest or newest, the ends of the ranges in pyproject.toml are installed instead of the
versions that were tested together. Further arguments go to pytest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from environment import FOLDERS, ROOT, ensure

WORKERS = min(4, os.cpu_count() or 1)
WHOLE = "dev,all,oracles,engines"
SPREAD = ("-n", str(WORKERS), "--dist", "loadfile")


def main() -> int:
    """Run pytest; its exit status."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--frameworks", action="store_true")
    parser.add_argument("--versions", choices=sorted(FOLDERS), default="tested")
    chosen, rest = parser.parse_known_args()
    python = ensure(f"[{WHOLE}]" if chosen.frameworks else "[dev]", chosen.versions) / "python"
    return subprocess.run([str(python), "-m", "pytest", *SPREAD, *rest], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
