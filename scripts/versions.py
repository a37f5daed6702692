"""Writes `scripts/constraints.txt`: the versions that are installed and tested together.

    python3 scripts/versions.py

asks pip for the newest versions that pyproject.toml allows, all extras together, on this machine,
and then, for every other Python and platform, whether these have wheels there; where one has none,
the newest that has is written with a marker. It takes ten minutes. Run `.ci/run` before committing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from environment import CONSTRAINTS, ROOT, resolved

HELD = ("torch==2.13.0",)
"""Not the newest: for some platforms a newer torch is a build for a GPU, of several GB."""

PYTHONS = ("3.11", "3.13")
"""The first and the last; what has wheels for both has them for those between."""
PLATFORMS = {
    ("linux", "x86_64"): [f"manylinux_2_{n}_x86_64" for n in range(28, 4, -1)],
    ("linux", "aarch64"): [f"manylinux_2_{n}_aarch64" for n in range(28, 16, -1)],
    ("darwin", "arm64"): ["macosx_14_0_arm64"],
    ("darwin", "x86_64"): ["macosx_13_0_x86_64"],
    ("win32", "AMD64"): ["win_amd64"],
}
PLACES = [(system, machine, python) for system, machine in PLATFORMS for python in PYTHONS]
ONLY_THERE = {"nvidia-nccl-cu12": "linux", "tensorflow-cpu": "linux"}
"""What is required on one system only."""

Place = tuple[str, str, str]


def main() -> None:
    """Resolve here, look for wheels elsewhere, write the file."""
    pins, compiled = newest()
    pins["tensorflow"] = pins["tensorflow-cpu"]  # where it is required in its place
    asked = [(name, place) for name in sorted({*compiled, "tensorflow"}) for place in PLACES]
    asked = [(name, place) for name, place in asked if place[0] == ONLY_THERE.get(name, place[0])]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda pair: available(*pair), asked))
    others: dict[str, dict[Place, str]] = defaultdict(dict)
    for (name, place), found in zip(asked, answers, strict=True):
        if pins[name] not in found:
            others[name][place] = found[0] if found else ""
    lines = [line for name in sorted(pins) for line in written(name, pins[name], others[name])]
    CONSTRAINTS.write_text("\n".join([*header(), *lines, ""]), encoding="utf-8")


def newest() -> tuple[dict[str, str], set[str]]:
    """The newest versions that fit together on this machine, and which of them are compiled."""
    pins: dict[str, str] = {}
    compiled = set()
    for item in resolved(f"{ROOT}[dev,all,oracles,engines]", *HELD):
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        pins[name] = item["metadata"]["version"].partition("+")[0]
        if not item["download_info"]["url"].endswith("none-any.whl"):
            compiled.add(name)
    return pins, compiled


def available(name: str, place: Place) -> list[str]:
    """Versions with a wheel for a place, the newest first."""
    system, machine, python = place
    platforms = [f"--platform={tag}" for tag in PLATFORMS[system, machine]]
    options = ["--only-binary=:all:", f"--python-version={python}", *platforms]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions"]
    done = subprocess.run([*command, name, *options], capture_output=True, text=True)
    found = re.search(r"Available versions: (.*)", done.stdout)
    return found[1].split(", ") if found else []


def written(name: str, version: str, others: dict[Place, str]) -> list[str]:
    """The lines of one package: its version, and with markers what other places have instead."""
    if not others:
        return [f"{name}=={version}"]
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (system, machine, python), other in others.items():
        groups[system, machine, other].append(python)
    lines, rest = [], []
    for (system, machine, other), pythons in groups.items():
        places = [("sys_platform", system), ("platform_machine", machine)]
        for python in [""] if len(pythons) == len(PYTHONS) else pythons:
            terms = [*places, *([("python_version", python)] if python else [])]
            rest.append("(" + " or ".join(f"{key} != '{value}'" for key, value in terms) + ")")
            where = " and ".join(f"{key} == '{value}'" for key, value in terms)
            lines.append(f"{name}=={other}; {where}" if other else f"# no {name} where {where}")
    return [f"{name}=={version}; {' and '.join(rest)}", *lines]


def header() -> list[str]:
    """What the file is, and how it is made again."""
    return [
        "# Versions that were tested together, made by `python3 scripts/versions.py` with Python "
        f"{'.'.join(map(str, sys.version_info[:2]))} on {sys.platform}.",
        "# The package itself allows more (pyproject.toml); the scripts and CI install these.",
    ]


if __name__ == "__main__":
    main()
