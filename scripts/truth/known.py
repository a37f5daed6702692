"""Modes against models of which the right relevance is known: `python scripts/truth/known.py`.

Models are written down, so that the truth is exact. Prints the tables of docs/metrics.md.

- heads: linear classifiers, plain and behind a softmax, a sigmoid, or with an offset: what each
  entry adds to the explained score is w x. Targets are drawn: many scores are negative.
- additive: a sum of bends of single entries, tanh(a x) w, without biases: each adds its own term.
- shapes: a bar or a cross on a background that is smooth noise; a filter for each, a ReLU and a
  maximum over places. Relevance must lie on the planted shape.
- shortcut: the same picture with a bright corner that decides alone in half of them; relevance must
  lie there in these, and not in the others.

Trees against Shapley's formula are in tree_truth.py (it takes scikit-learn and skl2onnx), language
models against activation patching in patching_truth.py.
"""

from __future__ import annotations

import numpy as np
import onnx
import patching_truth
import tree_truth
from onnx import TensorProto, helper, numpy_helper

import backtrace_onnx as bt
from backtrace_onnx import metrics

MODES = (
    *("default", "contrastive", "epsilon(absolute=1e-6)", "lrp", "attnlrp", "cnn", "deeplift"),
    *("integrated_gradients", "gradient_x_input", "gradient"),
)
SIDE, SHAPE = 24, 5
node = helper.make_node


def network(
    nodes: list[onnx.NodeProto], shape: list, outputs: int, weights: dict[str, np.ndarray]
) -> onnx.ModelProto:
    """A model x[N, *shape] -> y[N, outputs]."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def head(kind: str, w: np.ndarray, b: np.ndarray) -> onnx.ModelProto:
    """A linear head: "plain", "softmax", "sigmoid" or "offset"."""
    bias = b if kind == "offset" else 0 * b
    last = {
        "softmax": node("Softmax", ["z"], ["y"], axis=1),
        "sigmoid": node("Sigmoid", ["z"], ["y"]),
    }
    nodes = [node("Gemm", ["x", "w", "b"], ["z"]), last.get(kind, node("Identity", ["z"], ["y"]))]
    return network(nodes, [len(w)], w.shape[1], {"w": w, "b": bias})


def additive(a: np.ndarray, w: np.ndarray) -> onnx.ModelProto:
    """y = tanh(a x) w."""
    nodes = [
        node("Mul", ["x", "a"], ["m"]),
        node("Tanh", ["m"], ["t"]),
        node("MatMul", ["t", "w"], ["y"]),
    ]
    return network(nodes, [len(w)], w.shape[1], {"a": a, "w": w})


def filters() -> np.ndarray:
    """float32[2, 1, 5, 5]: a bar and a cross, each of mean 0."""
    bar, cross = np.zeros((2, SHAPE, SHAPE), np.float32)
    bar[:, 2] = 1
    cross[np.arange(5), np.arange(5)] = cross[np.arange(5), np.arange(5)[::-1]] = 1
    made = np.stack([bar, cross])[:, None]
    return made - made.mean((2, 3), keepdims=True)


def finder() -> onnx.ModelProto:
    """The best place of each shape: convolution, ReLU, maximum."""
    nodes = [
        node("Conv", ["x", "k", "b"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("GlobalMaxPool", ["r"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    weights = {"k": filters(), "b": np.full(2, -1, np.float32)}
    return network(nodes, [1, SIDE, SIDE], 2, weights)


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, the masks of the planted shapes, and which shape it is."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, 1, SIDE + 6, SIDE + 6)).astype(np.float32)
    walls = sum(noise[..., i : i + SIDE, j : j + SIDE] for i in range(7) for j in range(7)) / 7
    kinds, masks = rng.integers(2, size=count), np.zeros(walls.shape, bool)
    shapes = filters() > 0
    for x, mask, kind in zip(walls, masks, kinds, strict=True):
        i, j = rng.integers(0, SIDE - SHAPE, 2)
        mask[0, i : i + SHAPE, j : j + SHAPE] = shapes[kind, 0]
        x[mask] += 3
    return walls, masks, kinds


def agreement(found: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """In what part of entries the sign is right, and how far shares are off, in the mean."""
    f, r = (a.reshape(len(a), -1).astype(np.float64) for a in (found, right))
    shares = [a / np.maximum(np.abs(a).sum(1, keepdims=True), 1e-30) for a in (f, r)]
    return float((np.sign(f) == np.sign(r)).mean()), float(
        np.abs(shares[0] - shares[1]).sum(1).mean()
    )


def explained(proto: onnx.ModelProto, x: np.ndarray, mode: str, target: np.ndarray) -> np.ndarray:
    """Relevance of x; modes that compare do so with zeros."""
    more = {"baseline": "zeros"} if mode in ("deeplift", "integrated_gradients") else {}
    return bt.Explainer(proto).explain(x, mode=mode, target=target, **more).relevance["x"]


def heads(mode: str) -> tuple[float, float]:
    """Over all kinds of linear heads."""
    rng = np.random.default_rng(1)
    w, b, x = (rng.standard_normal(s).astype(np.float32) for s in ((12, 3), 3, (50, 12)))
    target = rng.integers(3, size=50)
    kinds = ("plain", "softmax", "sigmoid", "offset")
    found = [explained(head(kind, w, b), x, mode, target) for kind in kinds]
    scores = [agreement(r, x * w[:, target].T) for r in found]
    return float(np.mean([s[0] for s in scores])), float(np.max([s[1] for s in scores]))


def bends(mode: str) -> tuple[float, float]:
    """Of the additive model."""
    rng = np.random.default_rng(2)
    a, w, x = (rng.standard_normal(s).astype(np.float32) for s in (12, (12, 3), (50, 12)))
    target = rng.integers(3, size=50)
    found = explained(additive(a, w), x, mode, target)
    return agreement(found, np.tanh(a * x) * w[:, target].T)


def shapes(mode: str) -> tuple[float, float]:
    """Mass and rank inside the planted shape, where the model answers it."""
    x, masks, kinds = scenes(60)
    y = bt.BlackBox(finder())(x)
    right = y.argmax(1) == kinds
    r = explained(finder(), x[right], mode, kinds[right])
    inside = (metrics.mass_inside(r, masks[right]), metrics.rank_inside(r, masks[right]))
    return float(np.nanmean(inside[0])), float(np.nanmean(inside[1]))


def with_shortcut() -> onnx.ModelProto:
    """The finder, whose first class is also told by a bright corner of 2 x 2."""
    corner = np.zeros((1, 1, SIDE, SIDE), np.float32)
    corner[..., :2, :2] = 5
    nodes = [
        *list(finder().graph.node)[:-1],
        node("Flatten", ["p"], ["s"]),
        node("Mul", ["x", "corner"], ["m"]),
        node("ReduceSum", ["m", "axes"], ["c0"], keepdims=0),
        node("Relu", ["c0"], ["c1"]),
        node("MatMul", ["c1", "one"], ["c2"]),
        node("Add", ["s", "c2"], ["y"]),
    ]
    weights = {"k": filters(), "b": np.full(2, -1, np.float32), "corner": corner}
    weights |= {"axes": np.array([2, 3]), "one": np.array([[1, 0]], np.float32)}
    return network(nodes, [1, SIDE, SIDE], 2, weights)


def shortcut(mode: str) -> tuple[float, float]:
    """Mass in the corner where it decides, and where it is dark."""
    x, _, _ = scenes(40, seed=5)
    x[..., :2, :2] = 0
    lit = x.copy()
    lit[..., :2, :2] = 4
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:2, :2] = True
    zeros = np.zeros(len(x), np.int64)
    parts = [
        np.nan_to_num(metrics.mass_inside(explained(with_shortcut(), one, mode, zeros), mask))
        for one in (lit, x)
    ]
    return float(parts[0].mean()), float(parts[1].mean())


CASES = {
    "heads: sign": (heads, 0),
    "heads: shares off": (heads, 1),
    "additive: sign": (bends, 0),
    "additive: shares off": (bends, 1),
    "shape: mass": (shapes, 0),
    "shape: rank": (shapes, 1),
    "shortcut: mass": (shortcut, 0),
    "no shortcut: mass": (shortcut, 1),
}


def trees() -> dict[str, list[tuple[float, float]]]:
    """By mode: agreement with exact SHAP values, by visits and by a background."""
    made, right = tree_truth.found()
    return {mode: [agreement(r, exact) for exact in right.values()] for mode, r in made.items()}


def main() -> None:
    """Print the tables."""
    print(f"| mode | {' | '.join(CASES)} |")
    print("|" + "---|" * (1 + len(CASES)))
    for mode in MODES:
        found = {case: case(mode) for case in dict.fromkeys(case for case, _ in CASES.values())}
        cells = [f"{found[case][side]:.2f}" for case, side in CASES.values()]
        print(f"| {mode} | {' | '.join(cells)} |", flush=True)
    means = ("visits", "background")
    print("\n| mode | " + " | ".join(f"{m}: sign | {m}: shares off" for m in means) + " |")
    print("|" + "---|" * 5)
    for mode, sides in trees().items():
        print(f"| {mode} | {' | '.join(f'{x:.2f}' for side in sides for x in side)} |")
    print(f"\n| mode | slopes of | {' | '.join(patching_truth.GROUPS)} |\n|---|---|---|---|")
    for asked, correlations in patching_truth.correlations().items():
        print(f"| {' | '.join(asked)} | {' | '.join(f'{x:.3f}' for x in correlations)} |")


if __name__ == "__main__":
    main()
