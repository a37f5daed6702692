"""Runs the tests: makes `.venv`, installs the package there and runs pytest.

Test files are shared among as many processes as there are cores, four at most (a test with
TensorFlow takes 2 GB). Further arguments go to pytest. With --frameworks, torch, TensorFlow,
scikit-learn and transformers are installed too (2.7 GB), and the tests of the exporters are not
skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys

from environment import ROOT, ensure

WORKERS = min(4, os.cpu_count() or 1)
SPREAD = ("-n", str(WORKERS), "--dist", "loadfile")


def main() -> int:
    """Run pytest; its exit status."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--frameworks"]
    extras = "[dev]" if len(arguments) == len(sys.argv) - 1 else "[dev,all]"
    python = ensure(extras) / "python"
    return subprocess.run([str(python), "-m", "pytest", *SPREAD, *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
