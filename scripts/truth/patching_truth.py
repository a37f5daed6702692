"""Language models against activation patching: small causal transformers that are written down.

Their weights are drawn. The truth is what really replacing a tensor does: in the file a Where
behind every patched tensor takes another run's values at one position, and onnxruntime runs that.
Patched are the residual stream behind every layer and what every MLP makes, at every position, for
prompts that differ by one token; the metric is the difference of two logits at the end. Its
estimates are `bt.patching`'s. Measured is Pearson's correlation over all pairs, layers and
positions of a model, in the mean over models, as scripts/examples/patching.py does for SmolLM2.

`known.py` prints the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import backtrace_onnx as bt

WORDS, WIDTH, TOKENS, LAYERS = 30, 16, 7, 3
MODELS, PAIRS = 8, 6
STEPS = 5  # points on the line between two runs
ASKED = [
    *(("gradient", at) for at in ("corrupt", "clean", "both", "line")),
    *(("attnlrp", at) for at in ("corrupt", "both")),
]
GROUPS = {
    "residual stream": [f"r{layer}" for layer in range(LAYERS)],
    "MLP output": [f"m{layer}" for layer in range(LAYERS)],
}
PATCHED = [name for names in GROUPS.values() for name in names]
node = helper.make_node


def layer(k: int, x: str) -> list[onnx.NodeProto]:
    """r = h + MLP(norm(h)) with h = x + attention(norm(x)), causal, of one head."""
    return [
        node("LayerNormalization", [x, "one"], [f"n{k}"]),
        *(node("MatMul", [f"n{k}", f"w{c}{k}"], [f"{c}{k}"]) for c in "qkv"),
        node("Transpose", [f"k{k}"], [f"t{k}"], perm=[0, 2, 1]),
        node("MatMul", [f"q{k}", f"t{k}"], [f"s{k}"]),
        node("Add", [f"s{k}", "causal"], [f"c{k}"]),
        node("Softmax", [f"c{k}"], [f"a{k}"], axis=-1),
        node("MatMul", [f"a{k}", f"v{k}"], [f"o{k}"]),
        node("Add", [x, f"o{k}"], [f"h{k}"]),
        node("LayerNormalization", [f"h{k}", "one"], [f"l{k}"]),
        node("MatMul", [f"l{k}", f"wu{k}"], [f"u{k}"]),
        node("Gelu", [f"u{k}"], [f"g{k}"]),
        node("MatMul", [f"g{k}", f"wd{k}"], [f"m{k}"]),
        node("Add", [f"h{k}", f"m{k}"], [f"r{k}"]),
    ]


def transformer(seed: int) -> onnx.ModelProto:
    """ids[n, TOKENS] -> logits[n, TOKENS, WORDS]."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    weights = {
        "words": drawn(WORDS, WIDTH) * np.float32(WORDS**0.5),
        "places": drawn(TOKENS, WIDTH) * np.float32(TOKENS**0.5),
        "one": np.ones(WIDTH, np.float32),
        "causal": np.triu(np.full((TOKENS, TOKENS), -1e9, np.float32), 1),
        "head": drawn(WIDTH, WORDS),
    }
    for k in range(LAYERS):
        weights |= {f"w{c}{k}": drawn(WIDTH, WIDTH) for c in "qkv"}
        weights |= {f"wu{k}": drawn(WIDTH, 4 * WIDTH), f"wd{k}": drawn(4 * WIDTH, WIDTH)}
    nodes = [node("Gather", ["words", "ids"], ["e"]), node("Add", ["e", "places"], ["x"])]
    for k in range(LAYERS):
        nodes += layer(k, f"r{k - 1}" if k else "x")
    nodes += [
        node("LayerNormalization", [f"r{LAYERS - 1}", "one"], ["z"]),
        node("MatMul", ["z", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", TOKENS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", TOKENS, WORDS])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def replaceable(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a Where behind every patched tensor, and these tensors as outputs."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    nodes = list(made.graph.node)
    del made.graph.node[:]
    for one in nodes:
        name = one.output[0]
        made.graph.node.append(one)
        if name in PATCHED:
            made.graph.node[-1].output[0] = f"{name}_own"
            where = [f"{name}_where", f"{name}_new", f"{name}_own"]
            made.graph.node.append(node("Where", where, [name]))
    for name in PATCHED:
        value = (TensorProto.FLOAT, ["n", TOKENS, WIDTH])
        where = (TensorProto.BOOL, ["n", TOKENS, 1])
        made.graph.input.append(helper.make_tensor_value_info(f"{name}_new", *value))
        made.graph.input.append(helper.make_tensor_value_info(f"{name}_where", *where))
        made.graph.output.append(helper.make_tensor_value_info(name, *value))
    return made


class Patched:
    """A model of which tensors can be replaced."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.session = ort.InferenceSession(replaceable(proto).SerializeToString())

    def run(self, ids: np.ndarray, name: str = "", value: Any = 0) -> dict[str, np.ndarray]:
        """Outputs by name; the tensor of that name has these values, in row k at position k."""
        feeds: dict[str, Any] = {"ids": ids}
        for other in PATCHED:
            feeds[f"{other}_where"] = np.zeros((len(ids), TOKENS, 1), bool)
            feeds[f"{other}_new"] = np.zeros((len(ids), TOKENS, WIDTH), np.float32)
        if name:
            feeds[f"{name}_where"][:] = np.eye(TOKENS, dtype=bool)[..., None]
            feeds[f"{name}_new"][:] = value
        return dict(zip(["logits", *PATCHED], self.session.run(None, feeds), strict=True))


def pairs(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clean and corrupt prompts, which differ in the second token."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        clean = rng.integers(WORDS, size=(1, TOKENS))
        corrupt = clean.copy()
        corrupt[0, 1] = (clean[0, 1] + rng.integers(1, WORDS)) % WORDS
        made.append((clean, corrupt))
    return made


def measured(
    seed: int, count: int = PAIRS
) -> tuple[dict[str, np.ndarray], dict[tuple[str, str], Any]]:
    """Of a model: what patching does, by group, and its estimates, by mode and side."""
    proto = transformer(seed)
    patched, explainer = Patched(proto), bt.Explainer(proto)
    real: dict[str, list[np.ndarray]] = {group: [] for group in GROUPS}
    guesses: dict[tuple[str, str], Any] = {asked: {g: [] for g in GROUPS} for asked in ASKED}
    for clean, corrupt in pairs(seed, count):
        runs = [patched.run(ids) for ids in (clean, corrupt)]
        ends = [run["logits"][0, -1] for run in runs]
        first, second = (ends[0] - ends[1]).argmax(), (ends[1] - ends[0]).argmax()
        before = ends[1][first] - ends[1][second]
        metric = {(TOKENS - 1, int(first)): 1.0, (TOKENS - 1, int(second)): -1.0}
        for group, names in GROUPS.items():
            for name in names:
                y = patched.run(corrupt.repeat(TOKENS, 0), name, runs[0][name])["logits"][:, -1]
                real[group].append(y[:, first] - y[:, second] - before)
        for mode, at in ASKED:
            how: dict[str, Any] = {"mode": mode, "at": at, "task": None}
            how |= {"steps": STEPS} if at == "line" else {}
            made = bt.patching(explainer, clean, corrupt, metric, tensors=PATCHED, **how)
            totals = made.totals("position")
            for group, names in GROUPS.items():
                guesses[mode, at][group] += [totals[name][0] for name in names]
    return {g: np.stack(rows) for g, rows in real.items()}, guesses


def correlations(models: int = MODELS, count: int = PAIRS) -> dict[tuple[str, str], list[float]]:
    """By mode and side: Pearson's correlation for each group, in the mean over models."""
    made = [measured(seed, count) for seed in range(models)]

    def mean(asked: tuple[str, str], group: str) -> float:
        both = [(np.ravel(found[asked][group]), real[group].ravel()) for real, found in made]
        return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in both]))

    return {asked: [mean(asked, group) for group in GROUPS] for asked in ASKED}
