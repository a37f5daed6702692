"""Time of the command line from a shell, cold (no cache of Numba's) and warm; medians.

`python scripts/bench/startup.py` prints a Markdown table.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPLAIN = ("explain", "models/mnist_cnn.onnx", "models/samples/digit_2.png")
ROUNDS = 5


def seconds(arguments: tuple[str, ...], cache: str) -> float:
    """One run of the command line with Numba's cache in that folder."""
    command = [sys.executable, "-m", "backtrace_onnx", *arguments]
    begun = time.perf_counter()
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begun


def cold(arguments: tuple[str, ...]) -> float:
    """Median with an empty cache each time."""
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            times.append(seconds(arguments, cache))
    return statistics.median(times)


def warm(arguments: tuple[str, ...]) -> float:
    """Median with a cache that an earlier run has filled."""
    with tempfile.TemporaryDirectory() as cache:
        seconds(arguments, cache)
        return statistics.median(seconds(arguments, cache) for _ in range(ROUNDS))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as out:
        pictures = (*EXPLAIN, "--out", str(Path(out, "pictures")))
        print("| command | cold | warm |\n|---|---|---|")
        for name, arguments in (
            ("`--help`", ("--help",)),
            ("`explain` of the MNIST model", EXPLAIN),
            ("the same with pictures", pictures),
        ):
            print(f"| {name} | {cold(arguments):.2f} s | {warm(arguments):.2f} s |", flush=True)


if __name__ == "__main__":
    main()
