"""Explains a real model on a real picture: why is this page said to lie on its side?

`python3 scripts/demo.py` makes `.venv`, installs the package there, explains
`models/orientation.onnx` and writes the pictures to `out/demo`. Arguments given go to
`backtrace-onnx explain` instead.
"""

from __future__ import annotations

import subprocess
import sys

from environment import ROOT, ensure


def main() -> int:
    """Run the demonstration; its exit status."""
    tool = ensure() / "backtrace-onnx"
    arguments = sys.argv[1:] or [
        "models/orientation.onnx",
        "models/samples/page_90.png",
        "--out",
        "out/demo",
    ]
    return subprocess.run([str(tool), "explain", *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
