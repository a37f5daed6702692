"""`python -m backtrace_onnx` is the command line."""

from __future__ import annotations

import sys

from backtrace_onnx.cli import main

if __name__ == "__main__":
    sys.exit(main())
