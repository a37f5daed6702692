"""Numbers that the published implementation itself produced, matched through the public API."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cases import Array, Case, Link, chain, channels, fixed, link, one
from tests.checks import assert_close

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
FILES = sorted(GOLDEN.glob("*.npz"))
COUNT = 43
ACTIVATIONS = {
    "None": (),
    "linear": (link("Identity"),),
    "relu": (link("Relu"),),
    "tanh": (link("Tanh"),),
    "sigmoid": (link("Sigmoid"),),
    "softmax": (link("Softmax"),),
}
Numbers = Mapping[str, Array]


def test_all_files_are_there() -> None:
    if not GOLDEN.is_dir() and os.environ.get("CI") != "true":
        pytest.skip(f"the golden numbers are not at {GOLDEN}")
    assert len(FILES) == COUNT


def test_every_file_is_matched_by_a_case() -> None:
    assert [path.stem for path in FILES if _build(path.stem) is None] == []


def _linear(z: Numbers, name: str) -> Case:
    activation = ACTIVATIONS[next((a for a in ACTIVATIONS if f"_{a}_" in name), "None")]
    bias = fixed(z.get("b", np.zeros(len(z["W"]))))
    return chain(z["x"][None], link("Gemm", fixed(z["W"]), bias, transB=1), *activation)


def _matmul_add(z: Numbers, name: str) -> Case:
    activation = ACTIVATIONS[next((a for a in ACTIVATIONS if f"_{a}_" in name), "None")]
    links = link("MatMul", fixed(z["W"].T)), link("Add", fixed(z["b"]))
    return chain(z["x"][None], *links, *activation)


def _head(z: Numbers, name: str) -> Case:
    return one("MatMul", z["x"][None], fixed(z["W"].T))


def _conv(z: Numbers, name: str) -> Case:
    rank = z["x"].ndim - 1
    return one(
        "Conv",
        z["x"][None].astype(np.float32),
        fixed(z["W"], np.float32),
        fixed(z["b"], np.float32),
        strides=[int(z["stride"])] * rank,
        pads=[int(z["padding"])] * 2 * rank,
        dilations=[int(z.get("dilation", 1))] * rank,
        group=int(z.get("groups", 1)),
    )


def _pool(z: Numbers, name: str) -> Case:
    rank = z["x"].ndim - 1
    return one(
        "MaxPool" if name.startswith("max") else "AveragePool",
        z["x"][None].astype(np.float32),
        kernel_shape=[int(z["kernel"])] * rank,
        strides=[int(z["stride"])] * rank,
        pads=[int(z.get("padding", 0))] * 2 * rank,
    )


def _global_pool(z: Numbers, name: str) -> Case:
    op_type = "GlobalMaxPool" if name.startswith("gmax") else "GlobalAveragePool"
    return one(op_type, z["x"][None].astype(np.float32))


def _sum(z: Numbers, name: str) -> Case:
    operands = [z[key][None] for key in ("x0", "x1", "x2") if key in z]
    return one("Add" if len(operands) == 2 else "Sum", *operands)


def _concat(z: Numbers, name: str) -> Case:
    return one("Concat", z["x0"][None], z["x1"][None], axis=-1)


def _reshape(z: Numbers, name: str) -> Case:
    x = np.ones((1, *z["x_shape"]))
    return one("Reshape", x, fixed([1, z["R"].size]))


def _zero_pad(z: Numbers, name: str) -> Case:
    (top, bottom), (left, right) = z["padding"]
    x = np.ones((1, *z["x_shape"]))
    return one("Pad", x, fixed([0, top, left, 0, 0, bottom, right, 0]))


Builder = Callable[[Numbers, str], Case]
BUILDERS: dict[str, Builder] = {
    "fc": _linear,
    "lm": _head,
    "conv1d": _conv,
    "conv2d": _conv,
    "maxpool1d": _pool,
    "maxpool2d": _pool,
    "avgpool1d": _pool,
    "avgpool2d": _pool,
    "gavgpool2d": _global_pool,
    "gmaxpool2d": _global_pool,
    "add": _sum,
    "concat": _concat,
    "reshape": _reshape,
    "zeropad2d": _zero_pad,
}
WHOLE = ("e2e_mlp_default_scaler0", "e2e_mlp_contrast_scaler0", "e2e_cnn_default_scaler0")
START = ("start_weights_default", "start_weights_contrast", "start_weights_encdec")


def _build(stem: str) -> object:
    return BUILDERS.get(stem.split("_")[0]) or (stem in WHOLE + START) or None


ONE = [path for path in FILES if path.stem.split("_")[0] in BUILDERS]


def _load(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("path", ONE, ids=lambda path: path.stem)
def test_one_operator(path: Path) -> None:
    z = _load(path)
    _match(BUILDERS[path.stem.split("_")[0]](z, path.stem), z, path.stem)


@pytest.mark.parametrize(
    "path", [p for p in ONE if p.stem.startswith("fc_")], ids=lambda path: path.stem
)
def test_matmul_and_add(path: Path) -> None:
    z = _load(path)
    _match(_matmul_add(z, path.stem), z, path.stem)


def _match(case: Case, z: Numbers, name: str) -> None:
    kinds = ("Rpos", "Rneg") if "Rpos" in z else ("R",)
    y = case.y
    start = [z[kind].copy() for kind in kinds]
    if name.startswith("conv") and len(kinds) == 2:
        start = [np.where(start[0] == start[1], 0, r) for r in start]
    mode = "contrastive" if len(kinds) == 2 else "default"
    got = case.explain(mode, [r.reshape(y.shape).astype(y.dtype) for r in start])
    for feed in case.feeds:
        key = feed if feed in z else "x"
        want = [z[f"{kind}_{key}"][None] for kind in kinds]
        assert_close(channels(got, feed), want, _tolerance(name, y.dtype), name)


def _tolerance(name: str, dtype: np.dtype[Any]) -> float:
    if "maxpool" in name:
        return 1e-6
    return 1e-12 if dtype == np.float64 else 1e-5


# Whole models ---------------------------------------------------------------------------------


def _dense(z: Numbers, name: str) -> Link:
    return link(
        "Gemm", fixed(z[f"param__{name}.weight"]), fixed(z[f"param__{name}.bias"]), transB=1
    )


def _mlp(z: Numbers) -> tuple[Case, dict[str, str]]:
    case = chain(
        z["x"],
        *(_dense(z, "fc1"), link("Relu")),
        *(_dense(z, "fc2"), link("Tanh")),
        *(_dense(z, "fc3"), link("Softmax")),
    )
    return case, {"identity": "x0", "fc1__relu1": "t1", "fc2__tanh2": "t3", "fc3__softmax3": "y"}


def _cnn(z: Numbers) -> tuple[Case, dict[str, str]]:
    def conv(name: str, stride: int) -> Link:
        operands = fixed(z[f"param__{name}.weight"]), fixed(z[f"param__{name}.bias"])
        return link("Conv", *operands, strides=[stride] * 2, pads=[1] * 4)

    case = chain(
        z["x"],
        *(conv("conv1", 1), link("Relu"), link("MaxPool", kernel_shape=[2, 2], strides=[2, 2])),
        *(conv("conv2", 2), link("Relu"), link("GlobalAveragePool"), link("Flatten")),
        *(_dense(z, "fc"), link("Softmax")),
    )
    places = {"identity": "x0", "conv1__relu1": "t1", "pool1": "t2", "conv2__relu2": "t4"}
    return case, {**places, "gap": "t5", "flat": "t6", "fc__softmax1": "y"}


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in WHOLE], ids=lambda path: path.stem)
def test_whole_model(path: Path) -> None:
    z = _load(path)
    case, places = _cnn(z) if "cnn" in path.stem else _mlp(z)
    pair = "contrast" in path.stem
    got = case.explainer.explain(
        case.feeds, mode="contrastive" if pair else "default", keep=[*places.values()]
    )
    for layer, tensor in places.items():
        if f"out__{layer}" in z and tensor == "y":
            assert_close([got.outputs["y"]], [z[f"out__{layer}"]], 1e-5, layer)
        kinds = ("relpos", "relneg") if pair else ("rel",)
        want = [z[f"{kind}__{layer}"][None] for kind in kinds]
        assert_close([100 * r for r in channels(got, tensor)], want, 1e-5, layer)


# Starts ---------------------------------------------------------------------------------------

TASKS = {
    "binary-classification": "classification",
    "multi-class-classification": "classification",
    "multi-class_classification": "classification",
    "bbox-regression": "bbox",
    "binary-segmentation": "segmentation",
}


@pytest.mark.parametrize("path", [p for p in FILES if p.stem in START[:2]], ids=lambda p: p.stem)
def test_starts(path: Path) -> None:
    z = _load(path)
    kinds = ("startpos", "startneg") if "contrast" in path.stem else ("start",)
    met = 0
    for key in (key for key in z if key.startswith(f"{kinds[0]}_")):
        _, output, rest = key.split("_", 2)
        task, scaler = rest.rsplit("_scaler", 1)
        case = one("Identity", z[f"out_{output}"])
        got = case.explainer.explain(
            case.feeds,
            mode="contrastive" if len(kinds) == 2 else "default",
            task=TASKS[task],
            scaler=float(scaler) or None,
        )
        want = [z[key.replace(kinds[0], kind, 1)][None] for kind in kinds]
        assert_close(channels(got, "x0"), want, 1e-12, key)
        met += len(kinds)
    assert met == sum(key.startswith("start") for key in z)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == START[2]], ids=lambda p: p.stem)
def test_start_of_generation(path: Path) -> None:
    """Several positions start with 1/T each."""
    z = _load(path)
    case = one("Identity", z["logits"][None])
    target = [[position, int(token)] for position, token in enumerate(z["indices"])]
    got = case.explainer.explain(case.feeds, task="generation", target=target).relevance["x0"]
    assert_close([got[0]], [z["start"]], 1e-12)
