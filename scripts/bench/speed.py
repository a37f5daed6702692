"""Time of an explanation relative to one plain onnxruntime run of the same model and batch.

Runs are interleaved and medians compared, so that a busy machine slows both sides alike.
`python scripts/bench/speed.py [--cpu] [--mode MODE]... [network ...]` prints a Markdown table, of
the modes default and contrastive where none is named. With --cpu processor time is compared, of all
threads, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime as ort
from networks import NETWORKS

import backtrace_onnx as bt

ROUNDS = 15


def session(model: str | bytes) -> ort.InferenceSession:
    """A session with onnxruntime's defaults, but for spinning threads.

    Several sessions take turns here; one whose threads spin after its run slows the next.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def medians(
    runs: dict[str, Callable[[], object]], rounds: int = ROUNDS, *, cpu: bool = False
) -> dict[str, float]:
    """Median seconds of every run, the runs taking turns."""
    clock = time.process_time if cpu else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            begun = clock()
            run()
            if turn > 1:
                times[name].append(clock() - begun)
    return {name: statistics.median(t) for name, t in times.items()}


def measure(name: str, modes: list[str], *, cpu: bool) -> dict[str, float]:
    """Medians of the plain run and of both engines in every mode asked for."""
    model, feeds, task = NETWORKS[name]()
    plain = session(model.SerializeToString())
    explainer = bt.Explainer(model)
    runs: dict[str, Callable[[], object]] = {"plain": lambda: plain.run(None, feeds)}
    for mode in modes:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "explained.onnx"))
            explainer.compile(path, mode=mode, task=task)
            compiled = session(path)
        runs[f"compiled {mode}"] = partial(compiled.run, None, feeds)
        runs[f"eager {mode}"] = partial(explainer.explain, feeds, mode=mode, task=task)
    return medians(runs, cpu=cpu)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--mode", action="append", dest="modes")
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    asked = parser.parse_args()
    for i, name in enumerate(asked.networks):
        found = measure(name, asked.modes or ["default", "contrastive"], cpu=asked.cpu)
        plain = found.pop("plain")
        if not i:
            print(" | ".join(["| network", "plain run", *found]) + " |")
            print("|---" * (len(found) + 2) + "|")
        ratios = " | ".join(f"{t / plain:.2f}x" for t in found.values())
        print(f"| {name} | {plain * 1e3:.1f} ms | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
