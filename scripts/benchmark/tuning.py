"""Tries modes out on the samples that the tables do not use.

Usage: python scripts/benchmark/tuning.py digits|photos|reviews COUNT MODE [MODE ...]. A mode may
end in "@blur" or "@zeros", its baseline. Pictures are judged by replacing with a blur and with
their mean: what wins by one only has been fitted to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import images
import ours
import text
import torch
from shared import THREADS, Array, in_parts, interval, say

import backtrace_onnx as bt
from backtrace_onnx import metrics


def try_pictures(name: str, count: int, modes: Sequence[str]) -> None:
    """ABPC and correlation of each mode on digits or photos."""
    pictures = images.load(name, tuning=True)
    pictures.x = pictures.x[:count]
    measured = images.Measured(pictures)
    explainer = bt.Explainer(pictures.path)
    for mode in modes:
        called, _, baseline = mode.partition("@")
        how = {"baseline": baseline} if baseline else {}
        explain = ours.mode(explainer, called, images.INPUT, **how)
        relevance = in_parts(explain, pictures.x, measured.targets, pictures.batch)
        found = []
        for replace in ("blur", "mean"):
            asked = {"units": measured.units, "replace": replace, "target": measured.targets}
            areas = metrics.abpc(
                measured.probabilities, pictures.x, relevance, steps=images.STEPS, **asked
            )
            moves = metrics.faithfulness_correlation(
                measured.logits, pictures.x, relevance, runs=pictures.sets, **asked
            )
            found += [replace, "ABPC", interval(areas), "correlation", interval(moves)]
        say(f"{mode}: {' '.join(map(str, found))}")


def try_reviews(count: int, modes: Sequence[str]) -> None:
    """MoRF, LeRF and the area between them of each mode."""
    texts, _ = text.sentences(tuning=True)
    measured = text.Measured(texts[:: len(texts) // count][:count])
    explainer = bt.Explainer(text.MODEL)
    for mode in modes:

        def explain(ids: Array, targets: Array, mode: str = mode) -> Array:
            found = explainer.explain(text.feeds(ids), mode=mode, target=targets)
            return ours.signed(found, text.INPUT)

        say(f"{mode}: {measured(explain)}")


def main() -> None:
    torch.set_num_threads(THREADS)
    name, count, *modes = sys.argv[1:]
    if name == "reviews":
        try_reviews(int(count), modes)
    else:
        try_pictures(name, int(count), modes)


if __name__ == "__main__":
    main()
