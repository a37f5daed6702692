"""Two checkouts of this repository against each other: processor time of the same explanations.

    python scripts/bench/two_versions.py OLDER NEWER [--rounds 21]

Each folder's package runs in a process of its own, on one thread. The two take turns, so that what
else the machine does falls on both; a row tells their medians, and of the ratios of neighbours the
median and the middle half.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"
REPEATS = {"orientation": 1, "digits_unet": 4, "mnist_cnn": 10, "adult_mlp": 20}
SAMPLES = {"mnist_cnn": 8, "adult_mlp": 64}
MODES = ("default", "contrastive", "gradient", "lrp")


def answer(folder: str) -> None:
    """Explain what standard input asks for, with the package of a folder; tell the seconds."""
    sys.path.insert(0, folder)
    import numpy as np

    import backtrace_onnx as bt

    assert Path(bt.__file__).is_relative_to(Path(folder).resolve()), bt.__file__
    rng = np.random.default_rng(0)
    opened = {}
    for name in REPEATS:
        explainer = bt.Explainer(MODELS / f"{name}.onnx")
        shapes = {i: explainer.graph.type(i).shape for i in explainer.graph.inputs}
        feeds = {
            i: rng.random([n if isinstance(n, int) else SAMPLES.get(name, 1) for n in shape])
            for i, shape in shapes.items()
        }
        opened[name] = explainer, {i: x.astype(np.float32) for i, x in feeds.items()}
    for line in sys.stdin:
        name, mode = line.split()
        explainer, feeds = opened[name]
        begin = time.process_time()
        for _ in range(REPEATS[name]):
            explainer.explain(feeds, mode=mode)
        print(json.dumps((time.process_time() - begin) / REPEATS[name]), flush=True)


def compare(folders: list[str], rounds: int) -> None:
    """Print a row for each model and mode."""
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": alone}
    command = [sys.executable, str(Path(__file__).resolve()), "--answer"]
    workers = [subprocess.Popen([*command, str(Path(f).resolve())], **pipes) for f in folders]
    jobs = [(name, mode) for name in REPEATS for mode in MODES]
    seconds: dict[tuple[str, str], tuple[list[float], list[float]]] = {j: ([], []) for j in jobs}
    for number in range(rounds + 1):
        for job in jobs:
            for which in (0, 1) if number % 2 else (1, 0):
                asked, told = workers[which].stdin, workers[which].stdout
                assert asked is not None and told is not None
                print(*job, file=asked, flush=True)
                took = json.loads(told.readline())
                if number:  # the first one compiles
                    seconds[job][which].append(took)
    print(f"{'model':12} {'mode':12} {'older':>8} {'newer':>8}  ratio, middle half")
    for job in jobs:
        older, newer = seconds[job]
        ratios = sorted(after / before for before, after in zip(older, newer, strict=True))
        middle = [ratios[len(ratios) * part // 4] for part in (1, 2, 3)]
        times = " ".join(f"{statistics.median(x) * 1e3:5.1f} ms" for x in (older, newer))
        print(
            f"{job[0]:12} {job[1]:12} {times}  {middle[1]:.2f} [{middle[0]:.2f}, {middle[2]:.2f}]"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        answer(given.answer)
    elif len(given.folders) != 2:
        parser.error("name two folders: OLDER NEWER")
    else:
        compare(given.folders, given.rounds)
