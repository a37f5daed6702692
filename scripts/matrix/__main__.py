"""Explains small transformers of many kinds and writes the table of `docs/architectures.md`.

    python scripts/matrix [NAME ...]

Every network is built from its configuration with random weights, exported by torch's exporter and
explained in both modes. Needs `pip install .[torch] transformers`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from architectures import ARCHITECTURES
from exporting import export

import backtrace_onnx as bt

DOCUMENT = Path(__file__).parents[2] / "docs" / "architectures.md"
MODES = ("default", "contrastive")
REPEATS = 5
HEAD = """# Architectures

Small networks of the `transformers` library with random weights, exported by `torch.onnx.export`,
explained by `python scripts/matrix`. Times are of one explanation by the eager engine, relative to
a plain run of onnxruntime: of networks this small both measure overheads only
([scripts/bench](../scripts/bench/RESULTS.md) measures large ones). Residual: what is missing in the
ledger, relative to the start. Engines: largest difference between the eager and the compiled
explanation, relative to the largest relevance. Inputs: share of the start that arrives there; the
rest is in the ledger, with biases, constants and units without mass.

| network | nodes | default | contrastive | residual | engines | inputs | inputs, contrastive |
|---|---|---|---|---|---|---|---|"""


class Row(NamedTuple):
    """What was measured of one network."""

    name: str
    nodes: int
    ratios: dict[str, float]
    residual: float
    engines: float
    reached: dict[str, float]


def measure(name: str, folder: Path) -> Row:
    """Export, explain, time. Raises what goes wrong."""
    path = folder / "model.onnx"
    feeds = export(ARCHITECTURES[name](), path)
    session = ort.InferenceSession(path)
    taken = {i.name for i in session.get_inputs()}
    feeds = {k: v for k, v in feeds.items() if k in taken}
    plain = _seconds(lambda: session.run(None, feeds))
    explainer = bt.Explainer(path)
    compiled = bt.Explainer(path, engine="onnxruntime")
    ratios, residual, apart, reached = {}, 0.0, 0.0, {}
    for mode in MODES:
        explanation = explainer.explain(feeds, mode=mode)
        other = compiled.explain(feeds, mode=mode)
        total = explanation.ledger.total()
        scale = np.abs(total.start).max()
        residual = max(residual, float(np.abs(total.residual).max() / scale))
        reached[mode] = float(np.abs(total.inputs).sum() / np.abs(total.start).sum())
        apart = max(apart, *(_apart(explanation.relevance[n], other.relevance[n]) for n in feeds))
        ratios[mode] = _seconds(lambda m=mode: explainer.explain(feeds, mode=m)) / plain
    return Row(name, len(explainer.graph.nodes), ratios, residual, apart, reached)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / (np.abs(a).max() or 1.0))


def _seconds(run: Callable[[], Any]) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return median(times)


def main(names: list[str]) -> int:
    """Measure; print failures; write the table where all were asked for."""
    rows, failed = [], 0
    for name in names or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = measure(name, Path(folder))
            except Exception as error:  # the table goes on; the exit status tells
                failed += 1
                print(f"{name}: {type(error).__name__}: {str(error)[:600]}", flush=True)
                continue
        rows.append(row)
        print(_line(row), flush=True)
    if not names and not failed:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(_document(rows))
    return 1 if failed else 0


def _line(row: Row) -> str:
    cells = [row.name, str(row.nodes), *(f"{row.ratios[m]:.0f}x" for m in MODES)]
    cells += [
        f"{row.residual:.0e}",
        f"{row.engines:.0e}",
        *(f"{row.reached[m]:.0%}" for m in MODES),
    ]
    return f"| {' | '.join(cells)} |"


def _document(rows: list[Row]) -> str:
    return "\n".join([HEAD, *map(_line, rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
