"""Whole small models, written node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from backtrace_onnx import Explainer, Explanation

Array = npt.NDArray[Any]
Dims = Sequence[int | str | None] | None
FLOAT, DOUBLE, HALF = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16
INT64, STRING, BOOL = TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL
node = helper.make_node


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Mapping[str, tuple[int, Dims]],
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    opset: int = 18,
    ir: int = 10,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model of these nodes; `domains` are imported beside ai.onnx."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )
    opsets = {"": opset, **(domains or {})}
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=ir,
        functions=list(functions),
    )


def normal(*shape: int, seed: int = 0, dtype: npt.DTypeLike = np.float32) -> Array:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def mlp(**options: Any) -> onnx.ModelProto:
    """x[N, 4] -> Gemm fc1 -> h -> Relu act -> a -> Gemm fc2 -> y[N, 3]."""
    return model(
        [
            node("Gemm", ["x", "w", "b"], ["h"], "fc1"),
            node("Relu", ["h"], ["a"], "act"),
            node("Gemm", ["a", "v"], ["y"], "fc2"),
        ],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": normal(4, 5), "b": normal(5, seed=1), "v": normal(5, 3, seed=2)},
        **options,
    )


def unary(
    op_type: str, x: tuple[int, Dims], y: tuple[int, Dims], **options: Any
) -> onnx.ModelProto:
    """x -> one node named op -> y."""
    return model([node(op_type, ["x"], ["y"], "op")], {"x": x}, {"y": y}, **options)


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    """The MLP after a change."""
    proto = mlp()
    change(proto)
    return proto


def check_closed(explanation: Explanation, tolerance: float = 1e-4) -> None:
    """Ledger of the whole and of every node closed, per channel and sample."""
    total = explanation.ledger.total()
    scale = np.abs(total.start).max() + np.abs(total.inputs).max()
    assert total.relative_residual <= tolerance
    for entry in explanation.ledger.values():
        assert np.abs(entry.residual).max() <= tolerance * max(scale, 1.0), entry


def check_samples(
    proto: onnx.ModelProto, x: Array, tolerance: float = 1e-6, **options: Any
) -> None:
    """Every sample of a batch gets what it gets alone, relevance and books."""
    explainer = Explainer(proto)
    together = explainer.explain(x, **options)
    name = next(iter(together.inputs))
    check_closed(together)
    for k in range(len(x)):
        alone = explainer.explain(x[k : k + 1], **options)
        found, wanted = together.relevance[name][k], alone.relevance[name][0]
        assert np.abs(found - wanted).max() <= tolerance * max(np.abs(wanted).max(), 1.0)
        for row in alone.ledger:
            for kind in ("incoming", "data", "constants", "unassigned"):
                batch = getattr(together.ledger[row], kind)[:, k]
                single = getattr(alone.ledger[row], kind)[:, 0]
                assert np.abs(batch - single).max() <= 1e-5 * max(np.abs(single).max(), 1.0)
