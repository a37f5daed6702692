"""Runs the tests: makes `.venv`, installs the package there and runs pytest.

Further arguments go to pytest. With --frameworks, torch, TensorFlow, scikit-learn and transformers
are installed too (2.7 GB), and the tests of the exporters are not skipped.
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure


def main() -> int:
    """Run pytest; its exit status."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--frameworks"]
    extras = "[dev]" if len(arguments) == len(sys.argv) - 1 else "[dev,all]"
    python = ensure(extras) / "python"
    return subprocess.run([str(python), "-m", "pytest", *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
