"""Estimates of patching against runs with tensors replaced, on an exported GPT-2."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import backtrace_onnx as bt
from backtrace_onnx.exporters import from_transformers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
Array = npt.NDArray[Any]
WORDS, TOKENS = 24, 6
METRIC = {3: 1.0, 5: -1.0}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers whose weights are large enough for them to bend."""
    torch.manual_seed(0)
    sizes = {"n_layer": 3, "n_embd": 16, "n_head": 2, "vocab_size": WORDS, "n_positions": 16}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, initializer_range=0.3)
    config._attn_implementation = "eager"
    made: Path = tmp_path_factory.mktemp("gpt") / "m.onnx"
    from_transformers(transformers.GPT2LMHeadModel(config).eval(), None, made)
    return made


def _tensors(path: Path) -> dict[str, list[str]]:
    """The residual stream behind every layer, and what every MLP adds to it."""
    found: dict[str, list[str]] = {"residual stream": [], "MLP output": []}
    for node in onnx.load(path).graph.node:
        told = {p.key: p.value for p in node.metadata_props}
        scopes = ast.literal_eval(told.get("pkg.torch.onnx.name_scopes", "[]"))
        inside = len(scopes) > 1 and re.fullmatch(r"transformer\.h\.\d+", scopes[-2])
        if node.op_type == "Add" and inside:
            found["residual stream"].append(node.output[0])
            found["MLP output"].append(node.input[1])
    return {group: own[1::2] for group, own in found.items()}  # the second sum of a layer


def _feeds(ids: Array) -> dict[str, Array]:
    return {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)}


def _really(explainer: bt.Explainer, clean: Any, corrupt: Any, name: str) -> Array:
    """What clean values do to the metric at each position, a run each."""
    theirs, own = (bt.tensor_values(explainer, x, [name])[name] for x in (clean, corrupt))
    rows, places = np.repeat(own, TOKENS + 1, 0), np.arange(TOKENS)
    rows[places, places] = theirs[0]
    feeds = {key: np.repeat(x, TOKENS + 1, 0) for key, x in corrupt.items()}
    y = bt.patch(explainer, feeds, {name: rows})["logits"][:, -1]
    moved: Array = y[:, 3] - y[:, 5]
    return moved[:-1] - moved[-1]


def test_the_mean_on_the_line_is_near_what_patching_does(path: Path) -> None:
    explainer, groups, rng = bt.Explainer(path), _tensors(path), np.random.default_rng(0)
    assert [len(own) for own in groups.values()] == [3, 3]
    names = [name for own in groups.values() for name in own]
    real: dict[str, list[Array]] = {name: [] for name in names}
    found: dict[str, dict[str, list[Array]]] = {
        at: {name: [] for name in names} for at in ("corrupt", "both", "line")
    }
    for _ in range(5):
        ids = rng.integers(1, WORDS, TOKENS)
        other = ids.copy()
        other[2] = (ids[2] + 7) % WORDS
        clean, corrupt = _feeds(ids), _feeds(other)
        for name in names:
            real[name].append(_really(explainer, clean, corrupt, name))
        for at, own in found.items():
            made = bt.patching(explainer, clean, corrupt, METRIC, tensors=names, at=at)
            for name, total in made.totals("position").items():
                own[name].append(total[0])
    for own in groups.values():
        want = np.concatenate([x for name in own for x in real[name]])
        told = {at: np.concatenate([x for n in own for x in f[n]]) for at, f in found.items()}
        pearson = {at: float(np.corrcoef(x, want)[0, 1]) for at, x in told.items()}
        assert pearson["line"] > 0.95 and pearson["line"] > pearson["corrupt"], pearson
