"""The networks that are measured: classic graphs of the onnx package and some built here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from attention import bert, llama
from onnx import TensorProto, helper, numpy_helper
from recurrent import lstm

Feeds = dict[str, npt.NDArray[Any]]


class Network(NamedTuple):
    """A model, what it is run on, and what is explained."""

    model: onnx.ModelProto
    feeds: Feeds
    task: str = "classification"


_LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
CLASSICS = sorted(path.stem.removeprefix("light_") for path in _LIGHT.glob("*.onnx"))


def light(name: str) -> Network:
    """A graph shipped in the onnx package, its fake weights made random (He)."""
    model = onnx.load(_LIGHT / f"light_{name}.onnx")
    rng = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(n) for n in shapes[node.input[0]])
        weight = _random_weight(rng, shape)
        model.graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    _positive_variances(model)
    weights = {t.name for t in model.graph.initializer}
    fed = next(i for i in model.graph.input if i.name not in weights)
    shape = [d.dim_value or 1 for d in fed.type.tensor_type.shape.dim]
    return Network(model, {fed.name: rng.standard_normal(shape).astype(np.float32)})


def _random_weight(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    scale = np.sqrt(2 / fan_in) if len(shape) > 1 else 0.1
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def _positive_variances(model: onnx.ModelProto) -> None:
    """BatchNormalization gets scale 1 + noise and a positive variance."""
    tensors = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for i in (1, 4):
                array = numpy_helper.to_array(tensors[node.input[i]])
                tensors[node.input[i]].CopyFrom(
                    numpy_helper.from_array((1 + np.abs(array)).astype(np.float32), node.input[i])
                )


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, npt.NDArray[np.float32]],
    shape: list[int | str],
    last: str,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [_value("x", shape)],
        [_value(last, ["batch", 1000 if len(shape) == 4 else 10])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


_BLOCKS = (  # of MobileNetV2: expansion, channels, repeats, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet() -> Network:
    """Inverted residuals with depthwise convolutions (MobileNetV2, Sandler et al. 2018)."""
    rng = np.random.default_rng(1)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, npt.NDArray[np.float32]] = {}

    def conv(x: str, inside: int, outside: int, kernel: int, stride: int, group: int = 1) -> str:
        name = f"conv{len(nodes)}"
        weights[f"{name}.w"] = _random_weight(rng, (outside, inside // group, kernel, kernel))
        weights[f"{name}.b"] = _random_weight(rng, (outside,))
        nodes.append(
            helper.make_node(
                "Conv", [x, f"{name}.w", f"{name}.b"], [name], name=name, group=group,
                strides=[stride] * 2, pads=[kernel // 2] * 4,
            )
        )  # fmt: skip
        return name

    def relu(x: str) -> str:
        nodes.append(helper.make_node("Relu", [x], [f"{x}.relu"], name=f"{x}.relu"))
        return f"{x}.relu"

    x, width = relu(conv("x", 3, 32, 3, 2)), 32
    for grow, out, repeats, first in _BLOCKS:
        for i in range(repeats):
            inner = width * grow
            y = relu(conv(x, width, inner, 1, 1)) if grow > 1 else x
            y = relu(conv(y, inner, inner, 3, first if i == 0 else 1, group=inner))
            y = conv(y, inner, out, 1, 1)
            if i:
                nodes.append(helper.make_node("Add", [x, y], [f"{y}.sum"], name=f"{y}.sum"))
                y = f"{y}.sum"
            x, width = y, out
    x = relu(conv(x, width, 1280, 1, 1))
    weights["fc.w"] = _random_weight(rng, (1000, 1280))
    weights["fc.b"] = _random_weight(rng, (1000,))
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "fc.w", "fc.b"], ["y"], name="fc", transB=1),
    ]
    feeds = {"x": rng.standard_normal((1, 3, 224, 224)).astype(np.float32)}
    return Network(_model(nodes, weights, ["batch", 3, 224, 224], "y"), feeds)


def mlp() -> Network:
    """256-512-512-10 with ReLU, a batch of 4096."""
    rng = np.random.default_rng(2)
    sizes = (256, 512, 512, 10)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, npt.NDArray[np.float32]] = {}
    x = "x"
    for i, (inside, outside) in enumerate(pairwise(sizes)):
        weights[f"w{i}"] = _random_weight(rng, (outside, inside))
        weights[f"b{i}"] = _random_weight(rng, (outside,))
        nodes.append(
            helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"h{i}"], name=f"fc{i}", transB=1)
        )
        x = f"h{i}"
        if i < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [x], [f"a{i}"], name=f"relu{i}"))
            x = f"a{i}"
    feeds = {"x": rng.standard_normal((4096, 256)).astype(np.float32)}
    return Network(_model(nodes, weights, ["batch", 256], x), feeds)


NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet50": lambda: light("resnet50"),
    "vgg19": lambda: light("vgg19"),
    "mobilenet": mobilenet,
    "mlp4096": mlp,
    "bert": lambda: Network(*bert()),
    "bert written out": lambda: Network(*bert(native=False)),
    "smollm2": lambda: Network(*llama(), "generation"),
    "lstm500": lambda: Network(*lstm(1)),
    "lstm500 batch 8": lambda: Network(*lstm(8)),
    "smollm2 written out": lambda: Network(*llama(native=False), "generation"),
}
