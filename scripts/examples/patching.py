"""How well one explanation estimates what patching does: SmolLM2, residual stream and MLP outputs.

Every layer's residual stream and MLP output is patched at every position, for pairs of prompts of
one length: the corrupt run gets the clean run's values there (`bt.patch`). What that does to the
metric, a difference of two logits, is set against its estimates (`bt.patching`): Pearson's
correlation over all pairs, layers and positions.

    python scripts/examples/capital_of_france.py       # exports models/fetched/smollm2.onnx
    python scripts/examples/patching.py
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from fetching import FETCHED

import backtrace_onnx as bt

Array = npt.NDArray[Any]
MODES = ("gradient", "attnlrp", "cp-lrp")
STEPS = 5  # points on the line between two runs
EVERY = 3  # layers: every third one is patched
BEGIN = "<|endoftext|>"
CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Russia": "Moscow"}
NAMES = (("Mary", "John"), ("Anna", "Mark"))
GAVE = "When {} and {} went to the store, {} gave a drink to"


def pairs() -> Iterator[tuple[str, str, str, str]]:
    """Clean and corrupt prompt, and the token that follows each."""
    for clean, corrupt in zip(CAPITALS, [*CAPITALS][1:] + [*CAPITALS][:1], strict=True):
        prompts = (f"{BEGIN}The capital of {land} is" for land in (clean, corrupt))
        yield (*prompts, f" {CAPITALS[clean]}", f" {CAPITALS[corrupt]}")
    for one, other in NAMES:
        said = (BEGIN + GAVE.format(one, other, giver) for giver in (other, one))
        yield (*said, f" {one}", f" {other}")


def layers(path: Path) -> dict[str, list[str]]:
    """Tensors behind every layer, and what every MLP makes, by the modules that the file names."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    found: dict[str, dict[int, str]] = {"residual stream": {}, "MLP output": {}}
    kinds = (("residual stream", "Add", ""), ("MLP output", "MatMul", r"\.mlp\.down_proj"))
    for node in nodes:
        told = {p.key: p.value for p in node.metadata_props}
        scopes = ast.literal_eval(told.get("pkg.torch.onnx.name_scopes", "[]"))
        for group, op_type, tail in kinds:
            at = re.search(rf"layers\.(\d+){tail}$", scopes[-2] if len(scopes) > 1 else "")
            if at and node.op_type == op_type:
                found[group][int(at[1])] = node.output[0]
    return {group: [own[i] for i in sorted(own)[::EVERY]] for group, own in found.items()}


class Pair:
    """Two prompts, their runs, and the two tokens whose logits are compared."""

    def __init__(
        self, explainer: bt.Explainer, tokenizer: bt.Tokenizer, told: Sequence[str]
    ) -> None:
        self.clean, self.corrupt = (tokenizer.feeds(text, explainer) for text in told[:2])
        first, second = (
            int(np.ravel(tokenizer.targets(self.clean, token))[-1]) for token in told[2:]
        )
        self.metric = {first: 1.0, second: -1.0}
        self.tokens = self.clean["input_ids"].shape[1]
        self.explainer = explainer

    def value(self, y: Array) -> Array:
        """The metric at the last position, [samples]."""
        made: Array = sum(weight * y[:, -1, token] for token, weight in self.metric.items())
        return made

    def read(self, names: Sequence[str]) -> None:
        """Run both."""
        read = [bt.tensor_values(self.explainer, x, names) for x in (self.clean, self.corrupt)]
        self.theirs, self.own = read

    def real(self, name: str, before: Array) -> Array:
        """What patching each position does, [positions]."""
        rows = np.repeat(self.own[name], self.tokens, 0)
        places = np.arange(self.tokens)
        rows[places, places] = self.theirs[name][0]
        feeds = {key: np.repeat(x, self.tokens, 0) for key, x in self.corrupt.items()}
        patched: Array = self.value(bt.patch(self.explainer, feeds, {name: rows})["logits"])
        return patched - before

    def estimates(self, mode: str, at: Any, groups: dict[str, list[str]]) -> dict[str, Array]:
        """The same, estimated: [layers, positions] by group."""
        names = [name for own in groups.values() for name in own]
        asked: dict[str, Any] = {"mode": mode, "tensors": names, "at": at}
        asked |= {"steps": STEPS} if at == "line" else {}
        made = bt.patching(self.explainer, self.clean, self.corrupt, self.metric, **asked)
        totals = made.totals("position")
        return {group: np.stack([totals[n][0] for n in own]) for group, own in groups.items()}


def main() -> None:
    """Print a table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FETCHED / "smollm2.onnx"
    explainer = bt.Explainer(path)
    tokenizer = bt.Tokenizer(path.with_name("smollm2.tokenizer.json"))
    groups = layers(path)
    names = [name for own in groups.values() for name in own]
    every = [Pair(explainer, tokenizer, told) for told in pairs()]
    before = []
    for pair in every:
        pair.read(names)
        before.append(pair.value(bt.patch(explainer, pair.corrupt, {})["logits"]))
    real = {group: [np.zeros((len(own), p.tokens)) for p in every] for group, own in groups.items()}
    for group, own in groups.items():
        for layer, name in enumerate(own):
            for i, pair in enumerate(every):
                real[group][i][layer] = pair.real(name, before[i])
            print(f"patched {group} {layer}", file=sys.stderr, flush=True)
    print(f"{len(every)} pairs of prompts, {len(groups['MLP output'])} layers", flush=True)
    print("| mode | slopes of | residual stream | MLP output |\n|---|---|---|---|")
    for mode in MODES:
        for at in ("corrupt", "clean", "both", *(("line",) if mode == "gradient" else ())):
            found = [pair.estimates(mode, at, groups) for pair in every]
            row = []
            for group in groups:
                theirs = np.concatenate([x.ravel() for x in real[group]])
                ours = np.concatenate([x[group].ravel() for x in found])
                row.append(f"{np.corrcoef(ours, theirs)[0, 1]:.3f}")
            print(f"| {mode} | {at} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
