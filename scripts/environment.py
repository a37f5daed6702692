"""Makes the virtual environments that the other scripts run in: `.venv` in the repository.

It needs Python 3.11 or newer and pip, nothing else; Debian's python3-venv is not required. Nothing
outside `.venv` is changed. What is installed are the versions of `scripts/constraints.txt`, which
were tested together; `.venv-oldest` and `.venv-newest` have the ends of the ranges that
`pyproject.toml` allows.

    python3 scripts/environment.py [EXTRAS] [tested|oldest|newest]      prints the bin folder
    python3 scripts/environment.py [EXTRAS] newest --same               whether these are the tested
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
FOLDERS = {"tested": ".venv", "oldest": ".venv-oldest", "newest": ".venv-newest"}
BIN = "Scripts" if os.name == "nt" else "bin"
PYTHON = "python.exe" if os.name == "nt" else "python"
MINIMUM = (3, 11)
NAME = "backtrace-onnx"


def ensure(extras: str = "", versions: str = "tested") -> Path:
    """Install the package with `extras` in these versions, if that is not done; the bin folder."""
    if sys.version_info < MINIMUM:
        sys.exit(f"Python {'.'.join(map(str, MINIMUM))} or newer is needed; this is {sys.version}")
    folder = ROOT / FOLDERS[versions]
    stamp = folder / f"installed{extras.replace('[', '-').replace(']', '')}"
    wanted = _identity(versions)
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(
            f"Installing backtrace-onnx{extras} into {folder.name} ...", file=sys.stderr, flush=True
        )
        _create(folder)
        target = ["--python", str(folder / BIN / PYTHON)]
        bounds = _bounds(folder, versions)
        # Bytecode is made of what is imported, when it is: of all there is it takes minutes.
        _pip(*target, "install", "--no-compile", "--editable", f"{ROOT}{extras}", *bounds)
        stamp.write_text(wanted)
    return folder / BIN


def oldest() -> Iterator[str]:
    """The lower bound of every requirement in pyproject.toml, as a constraint."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in group:
            if found := re.match(r"([\w.-]+)>=([^;,\s]+)(.*)", requirement):
                yield f"{found[1]}=={found[2]}{found[3]}"


def newest_is_tested(extras: str) -> bool:
    """Whether the newest versions are those of the tested set; nothing is installed."""
    found = (item["metadata"] for item in resolved(f"{ROOT}{extras}"))
    newest = {f"{item['name']}=={item['version']}" for item in found}
    pins = {_spelled(line.partition(";")[0]) for line in CONSTRAINTS.read_text().splitlines()}
    others = sorted(pin for pin in newest if _spelled(pin) not in pins)
    print("Newer than the tested ones:", ", ".join(others) or "none", file=sys.stderr)
    return not others


def resolved(*requirements: str) -> list[dict[str, Any]]:
    """What pip would install for these, in their newest versions that fit together: its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--report", str(report)]
        _pip("install", *options, *requirements)
        items: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [item for item in items if item["metadata"]["name"] != NAME]


def _spelled(pin: str) -> str:
    return re.sub(r"[-_.]+", "-", pin.strip().partition("+")[0]).lower()


def _identity(versions: str) -> str:
    files = (
        [ROOT / "pyproject.toml", CONSTRAINTS]
        if versions == "tested"
        else [ROOT / "pyproject.toml"]
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _bounds(folder: Path, versions: str) -> list[str]:
    """What pip is told about versions."""
    if versions == "newest":
        return ["--upgrade", "--upgrade-strategy", "eager"]
    file = CONSTRAINTS
    if versions == "oldest":
        file = folder / "constraints.txt"
        file.write_text("\n".join(oldest()) + "\n")
    return ["--constraint", str(file)]


def _create(folder: Path) -> None:
    """An environment without pip in it: the calling Python's pip installs into it."""
    if not (folder / BIN / PYTHON).is_file():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)


def _pip(*arguments: str) -> None:
    """Run pip; what it says is shown where it fails, and else its warnings are no news."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\npip could not install; its message is above")


if __name__ == "__main__":
    if sys.argv[-1] == "--same":
        sys.exit(not newest_is_tested(sys.argv[1]))
    print(ensure(*sys.argv[1:]))
