"""Tries modes out on the samples that the tables do not use.

Usage: python scripts/benchmark/tuning.py german|adult|digits|photos|reviews COUNT MODE [MODE ...].
A mode may end in "@blur" or "@zeros", its baseline; of tables in "@mean", or "@25": each of so many
rows. Pictures are judged by replacing with a blur and with their mean: what wins by one only has
been fitted to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import images
import numpy as np
import ours
import tabular
import text
import torch
from credit_data import BACKGROUND, TITLES, network, read_table
from shared import SEED, THREADS, Array, in_parts, interval, say

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
            own = pictures.photo[: len(pictures.x)]
            found += [replace, "ABPC", interval(areas, own), "correlation", interval(moves, own)]
        say(f"{mode}: {' '.join(map(str, found))}")


def try_table(name: str, count: int, modes: Sequence[str]) -> None:
    """Correlation and ABPC of each mode on German Credit or Adult census."""
    table = read_table(name)
    _, path, _ = network(table)
    codes = table.codes[list(table.held_out(tuning=True))[:count]]
    around = np.random.default_rng(SEED).choice(table.train, BACKGROUND, replace=False)
    rows = table.encode(table.codes[around])
    measured = tabular.Measured(path, table, rows, codes)
    explainer = bt.Explainer(path)
    for mode in modes:
        called, _, baseline = mode.partition("@")
        each = {"baseline": list(rows[: int(baseline)])} if baseline.isdigit() else {}
        how = {"background": rows} if baseline == "mean" else each
        relevance = ours.mode(explainer, called, tabular.INPUT, **how)(
            table.encode(codes), measured.targets
        )
        by_column = table.in_columns(relevance)
        found = measured(by_column, by_column)
        say(f"{mode}: correlation {found['correlation']} ABPC {found['abpc']}")


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
    if name in TITLES:
        try_table(name, int(count), modes)
    elif name == "reviews":
        try_reviews(int(count), modes)
    else:
        try_pictures(name, int(count), modes)


if __name__ == "__main__":
    main()
