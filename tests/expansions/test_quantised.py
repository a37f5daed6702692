"""Quantised operators and models: within rounding, and explained like the float ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto

from backtrace_onnx import Explainer, Explanation
from tests.cases import session
from tests.expansions.checks import MODES, Array, assert_alike, explained, numbers
from tests.graphs import FLOAT, model, node

MODELS = Path(__file__).parents[2] / "models"
STEP = 0.04
RANDOM = np.random.default_rng(0)


def bytes_(*shape: int, signed: bool = False) -> Array:
    low, high, kind = (-127, 128, np.int8) if signed else (0, 256, np.uint8)
    return np.random.default_rng(shape).integers(low, high, shape).astype(kind)


X, IMAGE, ROWS = numbers(2, 3, 6, 6), numbers(2, 6, 6, 3), numbers(2, 5, 8)
WEIGHTS: dict[str, Any] = {
    "s": np.float32(0.05),
    "z": np.uint8(120),
    "s2": np.float32(STEP),
    "z2": np.uint8(110),
    "s3": np.float32(0.01),
    "z3": np.uint8(3),
    "c": bytes_(3, 1, 1),
    "which": np.random.default_rng(1).random((2, 3, 6, 6)) > 0.5,
    "kernel": bytes_(4, 3, 3, 3, signed=True),
    "scales": (0.001 + 0.01 * np.random.default_rng(2).random(4)).astype(np.float32),
    "zeros": np.zeros(4, np.int8),
    "bias": np.random.default_rng(3).integers(-999, 999, 4).astype(np.int32),
    "real_bias": numbers(4),
    "w": bytes_(8, 4, signed=True),
    "wt": bytes_(4, 8, signed=True),
    "s_one": np.array([0.01], np.float32),
    "z_one": np.array([2], np.int8),
    "qkv": bytes_(8, 24, signed=True),
    "qkv_bias": numbers(24),
    "qkv_scales": (0.01 * np.random.default_rng(4).random(24)).astype(np.float32),
    "qkv_zeros": np.zeros(24, np.int8),
    "ends": np.array([3, 5], np.int32),
    "lstm_w": bytes_(1, 3, 16, signed=True),
    "lstm_r": bytes_(1, 4, 16, signed=True),
    "lstm_b": numbers(1, 32),
    "lstm_s": np.array([0.01], np.float32),
    "lstm_z": np.array([0], np.int8),
}
IN, OUT, FINE = ["s", "z"], ["s2", "z2"], ["s3", "z3"]


def built(nodes: Sequence[NodeProto], feeds: Mapping[str, Array]) -> onnx.ModelProto:
    used = {name for made in nodes for name in made.input}
    proto = model(
        nodes,
        {name: (FLOAT, list(x.shape)) for name, x in feeds.items()},
        {"y": (FLOAT, None)},
        {name: w for name, w in WEIGHTS.items() if name in used},
        domains={"com.microsoft": 1},
    )
    shape = session(proto).run(None, dict(feeds))[0].shape
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", FLOAT, shape))
    return proto


def check(nodes: Sequence[NodeProto], feeds: Mapping[str, Array], step: float) -> Explanation:
    """Prediction within one step of onnxruntime's, books closed in both modes."""
    proto = built(nodes, feeds)
    want = session(proto).run(None, dict(feeds))[0]
    for mode in MODES:
        start = np.abs(numbers(*want.shape))
        given = start if mode == "default" else (start, start[::-1].copy())
        made = explained(proto, dict(feeds), mode, start=given)
        assert np.abs(made.outputs["y"] - want).max() <= 1.01 * step
    return explained(proto, dict(feeds), start=np.abs(numbers(*want.shape)))


def stored(name: str = "x") -> NodeProto:
    return node("QuantizeLinear", [name, *IN], [f"{name}q"], f"store {name}")


def read(scale: Sequence[str] = OUT) -> NodeProto:
    return node("DequantizeLinear", ["yq", *scale], ["y"], "read")


@pytest.mark.parametrize(
    ("op_type", "scale", "attributes"),
    [
        ("QLinearSigmoid", FINE, {}),
        ("QLinearSoftmax", FINE, {"opset": 13, "axis": -1}),
        ("QLinearSoftmax", FINE, {"opset": 12, "axis": 1}),
        ("QLinearLeakyRelu", OUT, {"alpha": 0.2}),
        ("QLinearAveragePool", OUT, {"kernel_shape": [2, 2]}),
        (
            "QLinearAveragePool",
            OUT,
            {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "channels_last": 1},
        ),
        ("QLinearGlobalAveragePool", OUT, {}),
        ("QLinearGlobalAveragePool", OUT, {"channels_last": 1}),
    ],
)
def test_functions_of_one_tensor(
    op_type: str, scale: list[str], attributes: dict[str, Any]
) -> None:
    done = node(op_type, ["xq", *IN, *scale], ["yq"], "n", domain="com.microsoft", **attributes)
    check([stored(), done, read(scale)], {"x": X}, STEP)


@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
def test_sums_and_products(op_type: str) -> None:
    for other, operand in (("w", "wq"), (None, "c")):
        nodes = [stored(), *([stored("v")] if other else [])]
        second = "vq" if other else operand
        nodes.append(
            node(*(op_type, ["xq", *IN, second, *IN, *OUT], ["yq"], "n"), domain="com.microsoft")
        )
        feeds = {"x": X, **({"v": numbers(1, 3, 6, 6)} if other else {})}
        check([*nodes, read()], feeds, STEP)


def test_concat_and_where() -> None:
    concat = node(
        *("QLinearConcat", [*OUT, "xq", *IN, "vq", *IN], ["yq"], "n"),
        axis=1,
        domain="com.microsoft",
    )
    where = node(
        *("QLinearWhere", ["which", "xq", *IN, "vq", *IN, *OUT], ["yq"], "n"),
        domain="com.microsoft",
    )
    feeds = {"x": X, "v": numbers(2, 3, 6, 6, seed=1)}
    for done in (concat, where):
        made = check([stored(), stored("v"), done, read()], feeds, STEP)
        assert made.relevance["x"].any() and made.relevance["v"].any()


PER_CHANNEL = ["scales", "zeros"]


@pytest.mark.parametrize(
    ("done", "x"),
    [
        (
            node(
                *("QLinearConv", ["xq", *IN, "kernel", *PER_CHANNEL, *OUT, "bias"], ["yq"], "n"),
                pads=[1, 1, 1, 1],
                strides=[2, 2],
            ),
            X,
        ),
        (
            node(
                *("QLinearConv", ["xq", *IN, "kernel", *PER_CHANNEL, *OUT, "bias"], ["yq"], "n"),
                channels_last=1,
                domain="com.microsoft",
            ),
            IMAGE,
        ),
        (node("QLinearMatMul", ["xq", *IN, "w", *PER_CHANNEL, *OUT], ["yq"], "n"), ROWS),
        (
            node(
                *("QGemm", ["xq", *IN, "w", *PER_CHANNEL, "bias", *OUT], ["yq"], "n"),
                domain="com.microsoft",
            ),
            ROWS[0],
        ),
    ],
)
def test_products_with_weights(done: NodeProto, x: Array) -> None:
    made = check([stored(), done, read()], {"x": x}, STEP)
    if len(done.input) > 8:
        assert made.ledger.total().constants.sum() > 0


MEASURED = node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"], "measure")


@pytest.mark.parametrize(
    ("nodes", "x"),
    [
        (
            [
                MEASURED,
                node(
                    *(
                        "MatMulIntegerToFloat",
                        ["xq", "w", "xs", "scales", "xz", "zeros", "real_bias"],
                        ["y"],
                        "n",
                    ),
                    domain="com.microsoft",
                ),
            ],
            ROWS,
        ),
        (
            [
                node(
                    *("DynamicQuantizeMatMul", ["x", "w", *PER_CHANNEL, "real_bias"], ["y"], "n"),
                    domain="com.microsoft",
                )
            ],
            ROWS,
        ),
        (
            [
                stored(),
                node(
                    *("QGemm", ["xq", *IN, "wt", "s_one", "z_one", "bias"], ["y"], "n"),
                    transB=1,
                    domain="com.microsoft",
                ),
            ],
            ROWS[0],
        ),
        (
            [
                stored(),
                node(
                    *(
                        "QAttention",
                        ["xq", "qkv", "qkv_bias", "s", "s3", "ends", "z", "qkv_zero"],
                        ["y"],
                        "n",
                    ),
                    num_heads=2,
                    domain="com.microsoft",
                ),
            ],
            ROWS,
        ),
        (
            [
                stored(),
                node(
                    *(
                        "QAttention",
                        ["xq", "qkv", "qkv_bias", "s", "qkv_scales", "", "z", "qkv_zeros"],
                        ["y"],
                        "n",
                    ),
                    num_heads=2,
                    unidirectional=1,
                    domain="com.microsoft",
                ),
            ],
            ROWS,
        ),
        (
            [
                node("QuantizeLinear", ["x", *IN], ["xq"], "store", domain="com.microsoft"),
                node("DequantizeLinear", ["xq", *IN], ["y"], "read", domain="com.microsoft"),
            ],
            ROWS,
        ),
    ],
)
def test_products_that_become_floats(nodes: Sequence[NodeProto], x: Array) -> None:
    WEIGHTS.setdefault("qkv_zero", np.int8(0))
    check(nodes, {"x": x}, 1e-5)


def test_recurrent_with_the_weights_it_stands_for() -> None:
    done = node(
        *(
            "DynamicQuantizeLSTM",
            ["x", "lstm_w", "lstm_r", "lstm_b", "", "", "", "", *["lstm_s", "lstm_z"] * 2],
            ["y"],
            "n",
        ),
        hidden_size=4,
        domain="com.microsoft",
    )
    check([done], {"x": numbers(5, 2, 3)}, 0.02)


def chain(product: NodeProto, bias: str) -> list[NodeProto]:
    """What dynamic quantisation writes around an integer product."""
    return [
        MEASURED,
        product,
        node("Cast", ["yi"], ["yf"], "cast", to=1),
        node("Mul", ["xs", "scales"], ["both"], "scales"),
        node("Mul", ["yf", "both"], ["y0"], "scaled"),
        node("Add", ["y0", bias], ["y"], "bias"),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_an_integer_product_its_scale_and_its_bias_are_one(mode: str) -> None:
    integer = chain(node("MatMulInteger", ["xq", "w", "xz", "zeros"], ["yi"], "n"), "real_bias")
    real = [
        MEASURED,
        node(
            *(
                "MatMulIntegerToFloat",
                ["xq", "w", "xs", "scales", "xz", "zeros", "real_bias"],
                ["y"],
                "n",
            ),
            domain="com.microsoft",
        ),
    ]
    ours, theirs = (
        explained(built(nodes, {"x": ROWS}), {"x": ROWS}, mode) for nodes in (integer, real)
    )
    assert_alike(ours, theirs, 1e-6)
    check(integer, {"x": ROWS}, 1e-5)


def test_an_integer_convolution() -> None:
    product = node("ConvInteger", ["xq", "kernel", "xz"], ["yi"], "n", pads=[1, 1, 1, 1])
    laid = node("Reshape", ["real_bias", "shape"], ["laid"], "laid")
    WEIGHTS.setdefault("shape", np.array([1, 4, 1, 1]))
    nodes = chain(product, "laid")
    nodes[3] = node("Mul", ["xs", "s3"], ["both"], "scales")
    check([laid, *nodes], {"x": X}, 1e-5)


def test_integer_products_alone() -> None:
    for product, x in (
        (node("MatMulInteger", ["xq", "w", "xz", "z_one"], ["yi"], "n"), ROWS),
        (node("ConvInteger", ["xq", "kernel", "xz"], ["yi"], "n"), X),
    ):
        check([MEASURED, product, node("Cast", ["yi"], ["y"], "cast", to=1)], {"x": x}, 0.5)


# Whole models -----------------------------------------------------------------------------------


@cache
def digits() -> Array:
    sklearn = pytest.importorskip("sklearn.datasets", reason="the digits are scikit-learn's")
    small = sklearn.load_digits().images[:24] / 16
    large = np.kron(small, np.ones((3, 3)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None].astype(np.float32)


class Batches:
    """Digits for calibration, four by four."""

    def __init__(self) -> None:
        self._batches: Iterator[dict[str, Array]] = iter(
            [{"image": digits()[k : k + 4]} for k in range(0, 24, 4)]
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("kinds", [("QUInt8", "QInt8"), ("QInt8", "QInt8"), ("QUInt8", "QUInt8")])
def test_quantised_network(
    form: str, kinds: tuple[str, str], per_channel: bool, tmp_path: Path
) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    path, source = tmp_path / "q.onnx", MODELS / "mnist_cnn.onnx"
    logging.disable(logging.WARNING)
    quantization.quantize_static(
        source,
        path,
        Batches(),
        quant_format=getattr(quantization.QuantFormat, form),
        per_channel=per_channel,
        activation_type=getattr(quantization.QuantType, kinds[0]),
        weight_type=getattr(quantization.QuantType, kinds[1]),
    )
    logging.disable(logging.NOTSET)
    x = digits()[:3]
    want = session(onnx.load(path)).run(None, {"image": x})[0]
    for mode in MODES:
        real = Explainer(str(source)).explain(x, mode=mode)
        whole = Explainer(str(path)).explain(x, mode=mode, target=real.target)
        assert whole.ledger.total().relative_residual <= 1e-4
        np.testing.assert_allclose(
            whole.outputs[whole.output], want, atol=0.02 * np.abs(want).max()
        )
        for k in range(len(x)):
            a, b = (e.relevance["image"][k].ravel() for e in (whole, real))
            # contrastive turns by the sign of R+ - R-, which rounding changes where both are close
            assert np.corrcoef(a, b)[0, 1] > (0.98 if mode == "contrastive" else 0.995)
    engine = Explainer(str(path), engine="onnxruntime")
    compiled = engine.explain(x, mode="default", target=real.target)
    eager = Explainer(str(path)).explain(x, mode="default", target=real.target)
    assert_alike(compiled, eager, 1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
def test_rounding_keeps_no_bias_and_no_activation_apart(mode: str, activation: str) -> None:
    """MatMul, Add and a saturating activation with roundings between them are read as without."""
    wide = 6 * numbers(8, 4)  # saturates
    plain = [
        node("MatMul", ["x", "wide"], ["p"], "product"),
        node("Add", ["p", "real_bias"], ["t"], "bias"),
        node(activation, ["t"], ["y"], "act"),
    ]
    fine = ["fine", "middle"]
    rounded = [
        plain[0],
        node("QuantizeLinear", ["p", *fine], ["pq"], "store p"),
        node("DequantizeLinear", ["pq", *fine], ["pr"], "read p"),
        node("Add", ["pr", "real_bias"], ["t"], "bias"),
        node("QuantizeLinear", ["t", *fine], ["tq"], "store t"),
        node("DequantizeLinear", ["tq", *fine], ["tr"], "read t"),
        node(activation, ["tr"], ["y"], "act"),
    ]
    WEIGHTS.update(wide=wide, fine=np.float32(0.002), middle=np.uint16(32768))
    made = []
    for nodes in (plain, rounded):
        used = {name for n in nodes for name in n.input}
        proto = model(
            nodes,
            {"x": (FLOAT, ["N", 5, 8])},
            {"y": (FLOAT, ["N", 5, 4])},
            {name: WEIGHTS[name] for name in used & WEIGHTS.keys()},
            opset=21,
        )
        made.append(explained(proto, ROWS, mode, task="regression"))
    assert_alike(made[1], made[0], 5e-3)
    books = [e.ledger.total().constants.sum() for e in made]
    assert books[1] == pytest.approx(books[0], rel=5e-3)


class Rows:
    """Random rows for calibration."""

    def __init__(self) -> None:
        self._batches = iter([{"x": numbers(8, 16, seed=k)} for k in range(6)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_quantised_gelu_in_primitives_is_one(form: str, tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    nodes = [
        node("MatMul", ["x", "w1"], ["h0"], "first"),
        node("Add", ["h0", "b1"], ["h"], "first bias"),
        node("Div", ["h", "root"], ["g0"], "g0"),
        node("Erf", ["g0"], ["g1"], "g1"),
        node("Add", ["g1", "one"], ["g2"], "g2"),
        node("Mul", ["h", "g2"], ["g3"], "g3"),
        node("Mul", ["g3", "half"], ["g"], "g4"),
        node("MatMul", ["g", "w2"], ["y"], "second"),
    ]
    weights = {"w1": 0.4 * numbers(16, 32), "b1": 0.4 * numbers(32), "w2": 0.4 * numbers(32, 5)}
    scalars = {"root": 2**0.5, "one": 1, "half": 0.5}
    weights |= {name: np.float32(value) for name, value in scalars.items()}
    source, path = tmp_path / "real.onnx", tmp_path / "quantised.onnx"
    proto = model(nodes, {"x": (FLOAT, ["N", 16])}, {"y": (FLOAT, ["N", 5])}, weights)
    onnx.save(proto, source)
    logging.disable(logging.WARNING)
    kind = getattr(quantization.QuantFormat, form)
    quantization.quantize_static(source, path, Rows(), quant_format=kind)
    logging.disable(logging.NOTSET)
    x = numbers(4, 16)
    for mode in MODES:
        real = Explainer(str(source)).explain(x, mode=mode)
        whole = Explainer(str(path)).explain(x, mode=mode, target=real.target)
        for k in range(len(x)):
            a, b = (e.relevance["x"][k] for e in (whole, real))
            # the contrastive mode jumps where a unit's sign does
            assert np.corrcoef(a, b)[0, 1] > (0.99 if mode == "default" else 0.9)
        absorbed = [e.ledger.total().constants.sum() for e in (whole, real)]
        assert absorbed[0] == pytest.approx(absorbed[1], rel=0.15)  # read apart: several times it
