"""Peak memory and processor time of explaining long texts, beside a plain run of the same tokens.

Every figure is of a process of its own, which ends itself where it takes more than `LIMIT` bytes or
leaves less than `SPARE` to others. The model is that of `scripts/examples/capital_of_france.py`;
tokens are random, and what follows the last one is explained.

`python scripts/bench/long_texts.py [tokens ...] [mode ...]` prints a Markdown table; without
arguments 2048 and 8192 tokens in modes default, gradient and attnlrp.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np

MODEL = Path(__file__).parents[2] / "models/fetched/smollm2.onnx"
LIMIT, SPARE = 20 << 30, 2 << 30
VOCABULARY = 49152
PLAIN = "a plain run"


def run(tokens: int, mode: str) -> None:
    """One run, whose processor seconds and peak megabytes are printed."""
    Thread(target=_guard, daemon=True).start()
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (1, tokens))
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if mode == PLAIN:
        import onnxruntime as ort

        session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
        begun = time.process_time()
        session.run(None, feeds)
    else:
        import backtrace_onnx as bt

        explainer = bt.Explainer(MODEL)
        short = {name: x[:, :8] for name, x in feeds.items()}
        explainer.explain(short, task="generation", mode=mode)  # kernels are compiled meanwhile
        begun = time.process_time()
        made = explainer.explain(feeds, task="generation", mode=mode)
        print(f"{made.ledger.total().relative_residual:.0e}")
    print(time.process_time() - begun)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _guard() -> None:
    """End this process before it hurts others."""
    while True:
        own = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        rows = Path("/proc/meminfo").read_text().splitlines()
        left = next(int(row.split()[1]) for row in rows if row.startswith("MemAvailable")) * 1024
        if own > LIMIT or left < SPARE:
            print(f"ended at {own >> 20} MB, {left >> 20} MB left to others", file=sys.stderr)
            os._exit(1)
        time.sleep(0.05)


def _measured(tokens: int, mode: str) -> list[str]:
    command = [sys.executable, __file__, "--child", str(tokens), mode]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    """Print the table, or play the child."""
    if sys.argv[1:2] == ["--child"]:
        run(int(sys.argv[2]), sys.argv[3])
        return
    lengths = [int(x) for x in sys.argv[1:] if x.isdigit()] or [2048, 8192]
    modes = [x for x in sys.argv[1:] if not x.isdigit()] or ["default", "gradient", "attnlrp"]
    print("| tokens | mode | peak memory | processor time, in plain runs | ledger's residual |")
    print("|---|---|---|---|---|")
    for tokens in lengths:
        plain, peak = map(float, _measured(tokens, PLAIN))
        print(f"| {tokens} | {PLAIN} | {peak / 1024:.1f} GB | 1 ({plain:.0f} s) | |", flush=True)
        for mode in modes:
            residual, taken, most = _measured(tokens, mode)
            row = f"{float(most) / 1024:.1f} GB | {float(taken) / plain:.1f} | {residual}"
            print(f"| {tokens} | {mode} | {row} |", flush=True)


if __name__ == "__main__":
    main()
