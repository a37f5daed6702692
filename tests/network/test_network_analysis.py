"""Numbers of a network's parts, against plain NumPy over explanations of single rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, RequestError, network_analysis
from backtrace_onnx.activation_patching import tensor_values
from backtrace_onnx.network.numbers import PartNumbers, equal_from
from tests.graphs import FLOAT, mlp, model, node, normal
from tests.results.test_modules import residual_net

ROWS = normal(11, 4, seed=7)


def saturating() -> onnx.ModelProto:
    """x[N, 4] -> Relu, Tanh, Sigmoid, Clip and a softmax in a row, some of them at their ends."""
    return model(
        [
            node("Gemm", ["x", "w", "b"], ["h"], "fc"),
            node("Relu", ["h"], ["r"], "relu"),
            node("MatMul", ["r", "v"], ["m"], "mix"),
            node("Tanh", ["m"], ["t"], "tanh"),
            node("MatMul", ["t", "u"], ["n"], "more"),
            node("Sigmoid", ["n"], ["s"], "sigmoid"),
            node("MatMul", ["s", "u"], ["c"], "again"),
            node("Clip", ["c", "low", "high"], ["k"], "clip"),
            node("MatMul", ["k", "o"], ["y"], "head"),
            node("Softmax", ["y"], ["p"], "softmax"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"p": (FLOAT, ["N", 3])},
        {
            "w": normal(4, 6),
            "b": np.array([0, 0, -100, 0, 1, -100], np.float32),
            "v": 2 * normal(6, 5, seed=1),
            "u": 4 * normal(5, 5, seed=2),
            "o": 5 * normal(5, 3, seed=3),
            "low": np.array(-1, np.float32),
            "high": np.array(1, np.float32),
        },
    )


def single(net: onnx.ModelProto, mode: str, **options: Any) -> list[Any]:
    explainer = Explainer(net)
    return [explainer.explain(row[None], mode=mode, keep="all", **options) for row in ROWS]


MODES = ["epsilon(absolute=1e-6)", "default", "contrastive", "integrated_gradients(steps=4)"]


@pytest.mark.parametrize("mode", MODES)
def test_books_and_signs_are_those_of_single_rows(mode: str) -> None:
    net = residual_net()
    found = network_analysis(net, ROWS, mode=mode)
    rows = single(net, mode)
    begun = [row.ledger.total().start for row in rows]
    starts = [np.abs(s).sum() * (-1 if s[0] - s[1:].sum() < 0 else 1) for s in begun]

    def mean(value: Any) -> float:
        """Of a function (explanation) over rows, channels as a difference, parts of the start."""
        parts = [value(row).reshape(-1) for row in rows]
        return float(
            np.mean([(p[0] - p[1:].sum()) / s for p, s in zip(parts, starts, strict=True)])
        )

    assert found.rows == len(ROWS) and found.mode == mode
    assert found.inputs == pytest.approx(mean(lambda r: r.ledger.total().inputs), rel=1e-5)
    assert found.constants == pytest.approx(mean(lambda r: r.ledger.total().constants), rel=1e-5)
    nodes = {part.name: part for part in found.of("node")}
    assert list(nodes) == list(rows[0].ledger)
    outputs = {n.name: n.outputs[0] for n in Explainer(net).graph.nodes}
    for name, part in nodes.items():
        for told, kind in (
            (part.received, "incoming"),
            (part.absorbed, "constants"),
            (part.unassigned, "unassigned"),
        ):
            wanted = mean(lambda row, k=kind, n=name: getattr(row.ledger[n], k))
            assert told == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        r = [row.relevance[outputs[name]].astype(float) for row in rows]
        positive = np.mean([np.maximum(x / s, 0).sum() for x, s in zip(r, starts, strict=True)])
        assert part.positive == pytest.approx(positive, rel=1e-5)
        shares = [np.abs(x[x != 0]) / np.abs(x).sum() for x in r if np.any(x)]
        entropy = np.mean([-(p * np.log(p)).sum() for p in shares]) / np.log(r[0].size)
        assert part.entropy == pytest.approx(entropy, rel=1e-5, abs=1e-9)
        effective = np.mean([1 / (p**2).sum() for p in shares]) / r[0].size
        assert part.effective == pytest.approx(effective, rel=1e-5)
    for part in found.of("module"):
        own = mean(lambda row, p=part.name: row.modules()[p].incoming)
        assert part.received == pytest.approx(own, rel=1e-4)
    assert {part.name for part in found.of("module")} == rows[0].modules().keys() - {""}
    (x,) = found.of("input")
    relevance = [row.relevance["x"] for row in rows]
    minus = np.mean([np.maximum(-r / s, 0).sum() for r, s in zip(relevance, starts, strict=True)])
    assert x.received is None and x.negative == pytest.approx(minus, rel=1e-4)


def test_what_starts_below_zero_arrives_as_well() -> None:
    """A difference to a baseline: all of it is handed back, whatever its sign."""
    found = network_analysis(residual_net(), ROWS, mode="deeplift", baseline="zeros")
    rows = single(residual_net(), "deeplift")
    assert len({bool(row.ledger.total().start[0, 0] < 0) for row in rows}) == 2
    assert found.inputs == pytest.approx(1, rel=1e-5)
    assert next(part.received for part in found.of("node")) == pytest.approx(1)


def test_the_same_to_the_last_bit_in_every_batch(tmp_path: Path) -> None:
    onnx.save(residual_net(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", ROWS)
    made = [
        network_analysis(
            tmp_path / "m.onnx", tmp_path / "x.npy", mode="epsilon(absolute=1e-6)", batch=batch
        )
        for batch in (1, 4, len(ROWS))
    ]
    assert made[0] == made[1] == made[2]
    assert network_analysis(tmp_path / "m.onnx", ROWS, mode="epsilon(absolute=1e-6)") == made[0]


def test_values_at_the_ends_of_their_range() -> None:
    net = saturating()
    found = {part.name: part.saturation for part in network_analysis(net, ROWS).of("node")}
    values = tensor_values(Explainer(net), ROWS, ("r", "t", "s", "k", "p"))
    r, t, s, k, p = (values[name] for name in "rtskp")
    ends = {
        "relu": r == 0,
        "tanh": np.abs(t) > 0.99,
        "sigmoid": (s < 0.01) | (s > 0.99),
        "clip": np.abs(k) == 1,
    }
    for name, at_end in ends.items():
        own = found[name]
        assert own is not None
        assert own.saturated == pytest.approx(at_end.mean())
        assert own.dead == pytest.approx(at_end.all(0).mean())
    assert found["relu"] is not None and found["relu"].dead == pytest.approx(2 / 6)
    watched = network_analysis(net, ROWS, start="probability", mode="epsilon(absolute=1e-6)").of(
        "node"
    )
    softmax = {part.name: part.saturation for part in watched}["softmax"]
    assert softmax is not None and softmax.dead is None
    assert softmax.saturated == pytest.approx((p.max(1) > 0.99).mean())


def test_where_maps_of_two_classes_become_equal() -> None:
    """Behind a layer of one unit nothing is left of which class was asked for."""
    narrow = model(
        [
            node("MatMul", ["x", "w"], ["h"], "wide"),
            node("MatMul", ["h", "v"], ["one"], "narrow"),
            node("MatMul", ["one", "u"], ["y"], "head"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 5), "v": normal(5, 1, seed=1), "u": np.abs(normal(1, 3, seed=2))},
    )
    x = np.abs(ROWS)
    found = network_analysis(narrow, x, mode="default")
    alike = {part.name: part.classes_alike for part in found.of("layer")}
    assert alike["head"] == pytest.approx(0) and alike["narrow"] == pytest.approx(1)
    assert found.equal_from == "narrow" and "from narrow on" in found.title
    apart = network_analysis(mlp(), ROWS, mode="epsilon(absolute=1e-6)")
    assert apart.equal_from == "" and "the same" not in apart.title
    explainer = Explainer(mlp())
    y = explainer.explain(ROWS).outputs["y"]
    first, second = (
        explainer.explain(ROWS, mode="epsilon(absolute=1e-6)", target=t)
        for t in y.argsort(1).T[:0:-1]
    )
    a, b = first.relevance["x"].astype(float), second.relevance["x"].astype(float)
    known = (np.abs(a).sum(1) > 0) & (np.abs(b).sum(1) > 0)
    cosine = (a * b).sum(1)[known] / np.sqrt((a * a).sum(1) * (b * b).sum(1))[known]
    assert apart.of("input")[0].classes_alike == pytest.approx(cosine.mean(), rel=1e-5)
    alone = network_analysis(mlp(), ROWS, classes=False)
    assert alone.equal_from is None and alone.of("input")[0].classes_alike is None
    assert (
        network_analysis(mlp(), ROWS, task="regression", mode="epsilon(absolute=1e-6)").equal_from
        is None
    )


def test_a_single_number_that_decides_between_two_classes() -> None:
    net = model(
        [node("MatMul", ["x", "w"], ["y"], "fc"), node("Sigmoid", ["y"], ["p"], "head")],
        {"x": (FLOAT, ["N", 4])},
        {"p": (FLOAT, ["N", 1])},
        {"w": normal(4, 1)},
    )
    found = network_analysis(
        net, ROWS, mode="epsilon(absolute=1e-6)", task="classification", class_labels=("a", "b")
    )
    assert found.of("input")[0].classes_alike == pytest.approx(-1)


def test_the_layer_is_the_last_one_behind_which_all_are_equal() -> None:
    def part(kind: Any, name: str, alike: float | None) -> PartNumbers:
        return PartNumbers(kind, name, "", 1, classes_alike=alike)

    layers = [part("layer", "a", 1.0), part("layer", "b", 0.5), part("layer", "c", 1.0)]
    assert equal_from([*layers, part("input", "x", 1.0)]) == "c"
    assert equal_from([*layers, part("input", "x", 0.9)]) == ""
    assert equal_from([part("layer", "a", None)]) is None


def test_a_model_of_fixed_samples_counts_every_row_once(tmp_path: Path) -> None:
    fixed, free = mlp(), mlp()
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(fixed, tmp_path / "fixed.onnx")
    np.save(tmp_path / "x.npy", ROWS)
    made = network_analysis(
        tmp_path / "fixed.onnx", tmp_path / "x.npy", mode="epsilon(absolute=1e-6)"
    )
    wanted = network_analysis(free, ROWS, mode="epsilon(absolute=1e-6)")
    assert made.rows == len(ROWS)
    for one, other in zip(made.parts, wanted.parts, strict=True):
        assert one.positive == pytest.approx(other.positive, rel=1e-6)
        assert one.saturation == other.saturation


def test_what_is_refused_and_what_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="tells of the inputs only"):
        network_analysis(mlp(), ROWS, mode="gradcam")
    onnx.save(mlp(), tmp_path / "m.onnx")
    (tmp_path / "x.csv").write_text("a,b,c,d\n")
    with pytest.raises(RequestError, match="there is no row"):
        network_analysis(tmp_path / "m.onnx", tmp_path / "x.csv")
    made = network_analysis(tmp_path / "m.onnx", ROWS, mode="lrp")
    told = json.loads(json.dumps(made.record()))
    assert told["parts"][0]["name"] == made.parts[0].name and told["rows"] == len(ROWS)
    made.plot(tmp_path / "flow.png")
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
