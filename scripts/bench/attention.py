"""Transformers of well-known sizes with random weights, written directly as ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class Writer:
    """Collects nodes and weights; every call returns the name of what it made.

    Args:
        native: normalisations and activations as single operators, else written out in primitives
            as torch's exporters write them for older operator sets.
    """

    def __init__(self, seed: int, *, native: bool) -> None:
        self.rng, self.native = np.random.default_rng(seed), native
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def op(self, op_type: str, *inputs: str | Array, outputs: int = 1, **attributes: Any) -> Any:
        """One node; arrays become constants."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        label = f"{op_type}_{len(self.nodes)}"
        made = [label if i == 0 else f"{label}:{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, names, made, name=label, **attributes))
        return made if outputs > 1 else label

    def constant(self, array: Array) -> str:
        """An initializer of a name of its own."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def random(self, *shape: int) -> str:
        """A random matrix [inputs, outputs], scaled to keep variances."""
        scale = np.float32(1 / np.sqrt(shape[0]))
        return self.constant(self.rng.standard_normal(shape, np.float32) * scale)

    def linear(self, x: str, inside: int, outside: int, *, bias: bool = True) -> str:
        """MatMul, and Add of a bias."""
        y = self.op("MatMul", x, self.random(inside, outside))
        return self.op("Add", y, _small(self.rng, outside)) if bias else y

    def layer_norm(self, x: str, width: int) -> str:
        """LayerNormalization over the last axis."""
        scale, shift = 1 + _small(self.rng, width), _small(self.rng, width)
        if self.native:
            return self.op("LayerNormalization", x, scale, shift, epsilon=1e-12)
        centred = self.op("Sub", x, self.op("ReduceMean", x, _ints(-1)))
        variance = self.op("ReduceMean", self.op("Pow", centred, _scalar(2)), _ints(-1))
        spread = self.op("Sqrt", self.op("Add", variance, _scalar(1e-12)))
        return self.op("Add", self.op("Mul", self.op("Div", centred, spread), scale), shift)

    def rms_norm(self, x: str, width: int) -> str:
        """RMSNormalization over the last axis."""
        scale = 1 + _small(self.rng, width)
        if self.native:
            return self.op("RMSNormalization", x, scale, epsilon=1e-5)
        mean = self.op("ReduceMean", self.op("Pow", x, _scalar(2)), _ints(-1))
        spread = self.op("Sqrt", self.op("Add", mean, _scalar(1e-5)))
        return self.op("Mul", scale, self.op("Mul", x, self.op("Reciprocal", spread)))

    def gelu(self, x: str) -> str:
        """Gelu with the error function."""
        if self.native:
            return self.op("Gelu", x)
        erf = self.op("Erf", self.op("Div", x, _scalar(np.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, _scalar(1))), _scalar(0.5))

    def heads(self, x: str, count: int, size: int) -> str:
        """[batch, tokens, count * size] as [batch, count, tokens, size]."""
        split = self.op("Reshape", x, _ints(0, 0, count, size))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def attend(self, q: str, k: str, v: str, mask: str | Array, size: int) -> str:
        """softmax(q k^T / sqrt(size) + mask) v, as [batch, tokens, heads * size]."""
        turned = self.op("Transpose", k, perm=[0, 1, 3, 2])
        scores = self.op("Mul", self.op("MatMul", q, turned), _scalar(1 / np.sqrt(size)))
        weights = self.op("Softmax", self.op("Add", scores, mask), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", weights, v), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, _ints(0, 0, -1))

    def model(
        self, inputs: dict[str, Sequence[str | int]], last: str, shape: Sequence[str | int]
    ) -> onnx.ModelProto:
        """The model; its inputs are int64."""
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [last], ["logits"], name="logits")],
            "network",
            [helper.make_tensor_value_info(n, TensorProto.INT64, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(w, name) for name, w in self.weights.items()],
        )
        opset = helper.make_opsetid("", 23 if self.native else 18)
        return helper.make_model(graph, opset_imports=[opset], ir_version=11)


def _small(rng: np.random.Generator, width: int) -> Array:
    return (0.05 * rng.standard_normal(width)).astype(np.float32)


def _scalar(value: float) -> Array:
    return np.asarray(value, np.float32)


def _ints(*values: int) -> Array:
    return np.array(values, np.int64)


def bert(
    tokens: int = 128, *, native: bool = True, layers: int = 12, width: int = 768, heads: int = 12
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """An encoder of BERT-base's size with a two-class head (Devlin et al. 2018)."""
    w, vocabulary = Writer(3, native=native), 30522
    size = width // heads
    embedded = [
        w.op("Gather", w.random(rows, width), ids)
        for rows, ids in ((vocabulary, "input_ids"), (2, "token_type_ids"))
    ]
    x = w.op("Add", w.op("Add", *embedded), w.random(tokens, width))
    x = w.layer_norm(x, width)
    absent = w.op("Sub", _scalar(1), w.op("Cast", "attention_mask", to=TensorProto.FLOAT))
    lowest = _scalar(np.finfo(np.float32).min)
    mask = w.op("Mul", w.op("Unsqueeze", absent, _ints(1, 2)), lowest)
    for _ in range(layers):
        q, k, v = (w.heads(w.linear(x, width, width), heads, size) for _ in range(3))
        mixed = w.linear(w.attend(q, k, v, mask, size), width, width)
        x = w.layer_norm(w.op("Add", mixed, x), width)
        inner = w.gelu(w.linear(x, width, 4 * width))
        x = w.layer_norm(w.op("Add", w.linear(inner, 4 * width, width), x), width)
    first = w.op("Gather", x, np.asarray(0), axis=1)
    last = w.linear(w.op("Tanh", w.linear(first, width, width)), width, 2)
    names = ("input_ids", "attention_mask", "token_type_ids")
    feeds = {name: np.ones((1, tokens), np.int64) for name in names}
    feeds["input_ids"] = w.rng.integers(0, vocabulary, (1, tokens))
    feeds["token_type_ids"][:, : tokens // 2] = 0
    feeds["attention_mask"][:, -tokens // 8 :] = 0
    return w.model({name: ["batch", tokens] for name in names}, last, ["batch", 2]), feeds


def llama(
    tokens: int = 256, *, native: bool = True, layers: int = 30, width: int = 576
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A decoder of SmolLM2-135M's size (Llama; Touvron et al. 2023), its embedding tied."""
    w, vocabulary, heads, groups, inner = Writer(4, native=native), 49152, 9, 3, 1536
    size = width // heads
    table = w.constant(0.05 * w.rng.standard_normal((vocabulary, width), np.float32))
    x = w.op("Gather", table, "input_ids")
    angles = np.outer(np.arange(tokens), 1e5 ** (-np.arange(0, size, 2) / size))
    cos, sin = (np.tile(f(angles), 2).astype(np.float32) for f in (np.cos, np.sin))
    mask = np.triu(np.full((tokens, tokens), np.finfo(np.float32).min, np.float32), 1)
    cos, sin, mask = w.constant(cos), w.constant(sin), w.constant(mask)

    def rotated(t: str) -> str:
        low, high = w.op("Split", t, axis=-1, num_outputs=2, outputs=2)
        turned = w.op("Concat", w.op("Neg", high), low, axis=-1)
        return w.op("Add", w.op("Mul", t, cos), w.op("Mul", turned, sin))

    def repeated(t: str) -> str:
        shape = _ints(1, groups, heads // groups, tokens, size)
        wide = w.op("Expand", w.op("Unsqueeze", t, _ints(2)), shape)
        return w.op("Reshape", wide, _ints(0, heads, tokens, size))

    for _ in range(layers):
        h = w.rms_norm(x, width)
        q = rotated(w.heads(w.linear(h, width, width, bias=False), heads, size))
        k, v = (
            w.heads(w.linear(h, width, groups * size, bias=False), groups, size) for _ in range(2)
        )
        mixed = w.attend(q, repeated(rotated(k)), repeated(v), mask, size)
        x = w.op("Add", x, w.linear(mixed, width, width, bias=False))
        h = w.rms_norm(x, width)
        gate = w.linear(h, width, inner, bias=False)
        gate = w.op("Mul", gate, w.op("Sigmoid", gate))
        inner_x = w.op("Mul", gate, w.linear(h, width, inner, bias=False))
        x = w.op("Add", x, w.linear(inner_x, inner, width, bias=False))
    last = w.op("MatMul", w.rms_norm(x, width), w.op("Transpose", table, perm=[1, 0]))
    feeds = {"input_ids": w.rng.integers(0, vocabulary, (1, tokens))}
    return w.model({"input_ids": ["batch", tokens]}, last, ["batch", tokens, vocabulary]), feeds
