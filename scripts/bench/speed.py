"""Time of an explanation relative to one plain onnxruntime run of the same model and batch.

Runs are interleaved and medians compared, so that a busy machine slows both sides alike.
`python scripts/bench/speed.py [network ...]` prints a Markdown table.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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


def medians(runs: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of every run, the runs taking turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if turn > 1:
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(t) for name, t in times.items()}


def measure(name: str) -> dict[str, float]:
    """Medians of the plain run, both engines and the contrastive mode."""
    model, feeds, task = NETWORKS[name]()
    plain = session(model.SerializeToString())
    explainer = bt.Explainer(model)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "explained.onnx"))
        explainer.compile(path)
        compiled = session(path)
        explainer.compile(path, mode="contrastive")
        contrastive = session(path)
    return medians(
        {
            "plain": lambda: plain.run(None, feeds),
            "compiled": lambda: compiled.run(None, feeds),
            "eager": lambda: explainer.explain(feeds),
            "compiled contrastive": lambda: contrastive.run(None, feeds),
            "eager contrastive": lambda: explainer.explain(feeds, mode="contrastive"),
        }
    )


def main() -> None:
    names = sys.argv[1:] or list(NETWORKS)
    print("| network | plain run | compiled | eager | compiled contrastive | eager contrastive |")
    print("|---|---|---|---|---|---|")
    for name in names:
        found = measure(name)
        plain = found.pop("plain")
        print(
            f"| {name} | {plain * 1e3:.1f} ms | "
            + " | ".join(f"{t / plain:.2f}x" for t in found.values())
            + " |"
        )


if __name__ == "__main__":
    main()
