"""Models with control flow, and the same without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from backtrace_onnx import Explainer
from tests.cases import channels
from tests.checks import MODES, assert_close
from tests.graphs import BOOL, FLOAT, INT64, Dims, check_closed, model, node, normal

Array = npt.NDArray[Any]
WEIGHTS = {"w": normal(3, 5), "r": normal(5, 5, seed=1), "b": normal(5, seed=3)}
HEAD = {"v": normal(5, 2, seed=2), "axes": np.array([0])}
X, H0 = normal(2, 4, 3, seed=5), normal(2, 5, seed=7)


def body(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Sequence[tuple[str, tuple[int, Dims]]],
    weights: Mapping[str, npt.ArrayLike] | None = None,
) -> onnx.GraphProto:
    """The body of a control-flow node; outputs may repeat."""
    return helper.make_graph(
        list(nodes),
        "body",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )


def cell(x: str, h: str, out: str, tag: str = "") -> list[onnx.NodeProto]:
    """out = tanh(x w + b + h r), a plain recurrent cell."""
    return [
        node("Gemm", [x, "w", "b"], [f"a{tag}"], f"in{tag}"),
        node("MatMul", [h, "r"], [f"c{tag}"], f"rec{tag}"),
        node("Add", [f"a{tag}", f"c{tag}"], [f"s{tag}"], f"sum{tag}"),
        node("Tanh", [f"s{tag}"], [out], f"act{tag}"),
    ]


STATE: tuple[int, Dims] = (FLOAT, [None, 5])
INPUTS: dict[str, tuple[int, Dims]] = {"x": (FLOAT, ["N", 4, 3]), "h0": (FLOAT, ["N", 5])}


def loop_body() -> onnx.GraphProto:
    """One step over the captured x; the new state also goes into a row."""
    return body(
        [
            node("Gather", ["x", "i"], ["xi"], "at", axis=1),
            *cell("xi", "h", "h_out"),
            node("Identity", ["go"], ["go_out"]),
        ],
        {"i": (INT64, []), "go": (BOOL, []), "h": STATE},
        [("go_out", (BOOL, [])), ("h_out", STATE), ("h_out", STATE)],
    )


def looped(
    trips: int | None = None,
    inner: onnx.GraphProto | None = None,
    weights: Mapping[str, npt.ArrayLike] | None = None,
) -> onnx.ModelProto:
    """x[N, 4, 3], h0[N, 5] -> Loop -> head; the trip count is an input unless it is given."""
    loop = node("Loop", ["n", "", "h0"], ["h_last", "rows"], "loop", body=inner or loop_body())
    counted: dict[str, npt.ArrayLike] = {} if trips is None else {"n": np.int64(trips)}
    return model(
        [loop, *tail()],
        {**INPUTS, **({"n": (INT64, [])} if trips is None else {})},
        {"y": (FLOAT, ["N", 2])},
        {**(WEIGHTS if weights is None else weights), **HEAD, **counted},
    )


def tail(last: str = "h_last") -> list[onnx.NodeProto]:
    """y = (last state + mean of the rows) v."""
    return [
        node("ReduceMean", ["rows", "axes"], ["mean"], "mean", keepdims=0),
        node("Add", ["mean", last], ["both"], "both"),
        node("Gemm", ["both", "v"], ["y"], "head"),
    ]


def unrolled(
    trips: int, places: Sequence[int] | None = None, rows: Sequence[int] | None = None
) -> onnx.ModelProto:
    """The same, step by step: step k reads x at places[k]; `rows` are the steps that leave one."""
    nodes, h = [], "h0"
    places = range(trips) if places is None else places
    for step, place in enumerate(places):
        nodes += [node("Gather", ["x", f"i{place}"], [f"xi{step}"], axis=1)]
        nodes += cell(f"xi{step}", h, f"h{step + 1}", str(step))
        h = f"h{step + 1}"
    left = [f"h{step + 1}" for step in (range(trips) if rows is None else rows)]
    nodes += [node("Unsqueeze", [h, "axes"], [f"row_{h}"]) for h in left]
    nodes += [node("Concat", [f"row_{h}" for h in left], ["rows"], axis=0)]
    nodes += tail(f"h{len(places)}")
    numbers = {f"i{i}": np.int64(i) for i in range(4)}
    return model(nodes, INPUTS, {"y": (FLOAT, ["N", 2])}, {**WEIGHTS, **HEAD, **numbers})


def check_alike(
    proto: onnx.ModelProto,
    plain: onnx.ModelProto,
    feeds: Mapping[str, Any],
    tolerance: float = 1e-6,
    *,
    engines: Sequence[Any] = ("numba",),
    **options: Any,
) -> Explainer:
    """Both models answer the same, and are explained the same in every mode."""
    got, want = Explainer(proto), Explainer(plain)
    fed = {name: x for name, x in feeds.items() if name in want.graph.inputs}
    for mode in MODES:
        wanted = want.explain(fed, mode=mode, **options)
        chosen: Sequence[Any] = engines if mode == "contrastive" else ("numba",)
        for engine in chosen:
            got.engine = engine
            found = got.explain(feeds, mode=mode, **options)
            limit = (
                tolerance
                if mode != "epsilon(absolute=1e-6)" and engine == "numba"
                else 10 * tolerance
            )
            for name in fed:
                assert_close(channels(found, name), channels(wanted, name), limit, f"{mode} {name}")
            check_closed(found)
            for name, y in wanted.outputs.items():
                np.testing.assert_allclose(found.outputs[name], y, 1e-5, 1e-6)
    return got


def ran(path: Path, feeds: Mapping[str, Any]) -> dict[str, Array]:
    """Outputs of a compiled model."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))
