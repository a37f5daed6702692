"""Makes the virtual environment that the other scripts run in: `.venv` in the repository.

It needs Python 3.11 or newer and pip, nothing else; Debian's python3-venv is not required. Nothing
outside `.venv` is changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
MINIMUM = (3, 11)
PINS = ("torch==2.13.0",)
"""Versions named with all extras; the newest torch may be a build for a GPU of several GB."""


def ensure(extras: str = "") -> Path:
    """Install the package with `extras` into `.venv`, if that is not done yet; the bin folder."""
    if sys.version_info < MINIMUM:
        sys.exit(f"Python {'.'.join(map(str, MINIMUM))} or newer is needed; this is {sys.version}")
    stamp = VENV / f"installed{extras.replace('[', '-').replace(']', '')}"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(
            f"Installing backtrace-onnx{extras} into {VENV.name} ...", file=sys.stderr, flush=True
        )
        _create()
        pins = PINS if "all" in extras else ()
        _pip("install", "--quiet", "--editable", f"{ROOT}{extras}", *pins)
        stamp.write_text(wanted)
    return BIN


def _create() -> None:
    """An environment without pip in it: the calling Python's pip installs into it."""
    if not PYTHON.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]
    if subprocess.run([*command, *arguments]).returncode:
        sys.exit("pip could not install; its message is above")


if __name__ == "__main__":
    print(ensure(sys.argv[1] if len(sys.argv) > 1 else ""))
