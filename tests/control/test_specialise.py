"""Writing models out as they run: how often they run for it, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, InputError, ModelError, RequestError, UnsupportedError
from backtrace_onnx.control import specialise
from backtrace_onnx.control.probe import Probe
from backtrace_onnx.control.specialise import Recent, Specialiser
from backtrace_onnx.control.straightening import straightened
from backtrace_onnx.model.loading import load
from tests.control.made import H0, X, body, looped, unrolled
from tests.graphs import BOOL, FLOAT, INT64, Dims, mlp, model, node, normal

FEEDS = {"x": X, "h0": H0}


def nested(depth: int) -> onnx.ModelProto:
    """A loop in a loop in a loop, each of which runs n times; the innermost doubles the state."""
    state: tuple[int, Dims] = (FLOAT, [None, 5])
    inner = [node("Add", ["h0", "h0"], ["double"], "double")]
    last = "double"
    for level in range(depth):
        made = body(
            [*inner, node("Identity", [f"go{level}"], [f"going{level}"])],
            {f"i{level}": (INT64, []), f"go{level}": (BOOL, []), f"h{level}": state},
            [(f"going{level}", (BOOL, [])), (last, state)],
        )
        source, last = f"h{level + 1}", f"made{level}"
        inner = [node("Loop", ["n", "", source], [last], f"loop{level}", body=made)]
    return model(
        [*inner, node("Identity", [last], ["y"])],
        {f"h{depth}": (FLOAT, ["N", 5]), "n": (INT64, [])},
        {"y": (FLOAT, ["N", 5])},
    )


class Counter:
    """Stands in for a function and counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.count = function, 0

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        return self.function(*args)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_run_for_every_depth(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Counter(Probe.answers)
    monkeypatch.setattr(Probe, "answers", lambda self, feeds: runs(self, feeds))
    x = normal(2, 5)
    found = Explainer(nested(depth)).explain({f"h{depth}": x, "n": np.array(2)})
    assert np.allclose(found.outputs["y"], x * 2.0 ** (2**depth))
    assert 1 <= runs.count <= depth


def test_the_same_decisions_write_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Counter(straightened)
    monkeypatch.setattr(specialise, "straightened", written)
    specialiser = Specialiser(load(looped()))
    _, first = specialiser.specialised({**FEEDS, "n": np.array(3)})
    _, again = specialiser.specialised({"x": X * 2, "h0": H0, "n": np.array(3)})
    assert first is again and written.count == 2
    _, other = specialiser.specialised({**FEEDS, "n": np.array(2)})
    assert other is not first and written.count == 3


def test_models_without_control_flow_are_left_alone() -> None:
    loaded = load(mlp())
    specialiser = Specialiser(loaded)
    assert specialiser.model is loaded and not specialiser.questions


def test_only_recent_ones_are_kept() -> None:
    recent: Recent[int] = Recent(2)
    made: list[str] = []

    def make(key: str) -> int:
        made.append(key)
        return len(made)

    for key in "abacab":
        recent.get(key, partial(make, key))
    assert "".join(made) == "abcb"


def test_inputs_it_cannot_run_on_are_named() -> None:
    proto = looped()
    with pytest.raises(InputError, match=r"cannot run on the inputs .*x float32\[2, 4, 3\]"):
        Explainer(proto).explain({"x": X, "h0": normal(3, 5), "n": np.array(3)})


def test_a_model_that_does_not_load_is_refused_at_once() -> None:
    proto = looped()
    proto.graph.node[0].attribute[0].g.node[2].op_type = "MatMulOfNothing"
    with pytest.raises(UnsupportedError, match=r"MatMulOfNothing \(node loop/rec\)"):
        Explainer(proto)
    proto.graph.node[0].attribute[0].g.node[2].op_type = "Det"
    with pytest.raises(ModelError, match="onnxruntime does not load it"):
        Explainer(proto)


def test_the_compiled_engine_compiles_what_ran() -> None:
    explainer = Explainer(looped(), engine="onnxruntime")
    for trips in (1, 2):
        found = explainer.explain({**FEEDS, "n": np.array(trips)})
        wanted = Explainer(unrolled(trips)).explain(FEEDS)
        assert np.allclose(found.relevance["x"], wanted.relevance["x"], atol=1e-6)


def test_what_a_body_computes_can_be_explained_and_kept() -> None:
    explainer = Explainer(looped())
    feeds = {**FEEDS, "n": np.array(2)}
    found = explainer.explain(feeds, output="loop/1/s", keep=["loop/0/h_out"])
    assert found.relevance["loop/0/h_out"].shape == H0.shape
    with pytest.raises(RequestError, match="loop/2/s"):
        explainer.explain(feeds, output="loop/2/s")
