"""Puts scripts/models and scripts/examples, whose parts are used here, on the path of modules."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("models", "examples")]
