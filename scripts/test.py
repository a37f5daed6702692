"""Runs the tests: makes `.venv`, installs the package there and runs pytest.

Further arguments go to pytest.
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure


def main() -> int:
    """Run pytest; its exit status."""
    python = ensure("[dev]") / "python"
    return subprocess.run([str(python), "-m", "pytest", *sys.argv[1:]], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
