"""Maps that are empty of meaning are said to be, and NaN is an error that names its node."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer, Explanation, Note, NumericalError
from backtrace_onnx.propagation.ledger import Ledger
from backtrace_onnx.results.reach import check_finite
from tests.graphs import FLOAT, model, node

Engine = Literal["numba", "onnxruntime"]
ENGINES: tuple[Engine, ...] = ("numba", "onnxruntime")


def chain(layers: int, gap: float) -> Any:
    """Layers in which x0 and x1 cancel but for `gap`: epsilon divides by it in every one."""
    weights = {f"w{i}": np.array([[1, 1], [gap - 1, gap - 1]], np.float32) for i in range(layers)}
    nodes = []
    for i in range(layers):
        nodes.append(node("MatMul", [f"e{i}", f"w{i}"], [f"h{i}"], name=f"mix{i}"))
        nodes.append(node("Exp", [f"h{i}"], [f"e{i + 1}"], name=f"exp{i}"))
    return model(nodes, {"e0": (FLOAT, ["N", 2])}, {f"e{layers}": (FLOAT, ["N", 2])}, weights)


def biased(weight: float, bias: float) -> Any:
    """y = weight * sum(x) + bias: the bias absorbs bias / (weight * sum + bias) in mode default."""
    weights = {"w": np.full((2, 2), weight, np.float32), "b": np.full(2, bias, np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], name="fc")]
    return model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)


PLAIN = pytest.mark.filterwarnings("ignore:.* encountered in scalar")  # of kernels without the JIT
ONES = np.ones((2, 2), np.float32)


@PLAIN
@pytest.mark.parametrize("engine", ENGINES)
def test_relevance_that_overflows_is_an_error_that_names_the_first_node(engine: Engine) -> None:
    explainer = Explainer(chain(30, 0), engine=engine)
    zero = explainer.explain(ONES, mode="epsilon(absolute=1e-6)")  # sums of exactly 0 send nothing
    assert not zero.relevance["e0"].any()
    explainer = Explainer(chain(30, 1e-6), engine=engine)
    with pytest.raises(NumericalError, match=r"'mix\d+' \(MatMul\), in mode epsilon") as caught:
        explainer.explain(ONES, mode="epsilon(absolute=1e-6)")
    assert caught.value.exit_code == 3 and caught.value.sample == 0
    # Float32 ends at 3e38, to which no layer multiplies at once, nor do ten suffice.
    assert 5 <= int(caught.value.node.removeprefix("mix")) <= 24
    assert "use mode contrastive" in str(caught.value)


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_the_mode_in_use_is_not_advised(mode: str) -> None:
    made = Explainer(chain(2, 1)).explain(ONES, mode=mode)
    spoilt = {name: replace(e, constants=e.constants * np.nan) for name, e in made.ledger.items()}
    with pytest.raises(NumericalError, match=re.escape(f"in mode {mode}, for sample 0")) as caught:
        check_finite(Ledger(spoilt, made.ledger.total()), mode)
    advice = str(caught.value).split("for sample 0; ")[1]
    assert mode not in advice and ("contrastive" in advice) == (mode != "contrastive")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["default", "lrp", "gradient"])
def test_overflow_is_the_error_and_no_warning_of_numpy(engine: Engine, mode: str) -> None:
    """Sums of 1e40 on the way: warnings are errors here, and would come first."""
    weights = {"s": np.eye(2, dtype=np.float32) * np.float32(1e-35)}
    weights["w"] = np.array([[1e20, 2e20], [3e20, 1e20]], np.float32)
    nodes = [node("MatMul", pair, [out], out) for *pair, out in ("xsa", "awb", "bwy")]
    proto = model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)
    with pytest.raises(NumericalError, match=r"at node '[by]' \(MatMul\)"):
        Explainer(proto, engine=engine).explain(ONES, mode=mode)


def test_an_input_is_named_where_no_node_is() -> None:
    made = Explainer(chain(1, 1)).explain(ONES)
    with pytest.raises(NumericalError, match="at input 'e0', in mode epsilon") as caught:
        check_finite(made.ledger, "epsilon(absolute=1e-6)", {"e0": [ONES, ONES * np.inf]})
    assert caught.value.node == "e0"


@PLAIN
@pytest.mark.parametrize("engine", ENGINES)
def test_the_sample_that_overflows_is_named(engine: Engine) -> None:
    start = np.array([[0, 0], [1, 0]], np.float32)
    with pytest.raises(NumericalError, match="for sample 1"):
        Explainer(chain(30, 1e-6), engine=engine).explain(
            ONES, mode="epsilon(absolute=1e-6)", start=start
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_relevance_that_grows_is_a_warning(engine: Engine) -> None:
    explainer = Explainer(chain(3, 1e-6), engine=engine)
    (note,) = explainer.explain(ONES, mode="epsilon(absolute=1e-6)", start=ONES).notes
    assert note.warning and note.sample is None
    assert note.text.startswith("relevance grew to ") and "use mode contrastive" in note.text
    assert not any(n.warning for n in explainer.explain(ONES, mode="contrastive").notes)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_biases_absorb_is_a_warning_under_one_percent(engine: Engine) -> None:
    explainer = Explainer(biased(1, 398), engine=engine)
    (note,) = explainer.explain(ONES).notes
    assert note.warning and note.text.startswith("only 0.5% of the relevance reached the inputs")
    assert "biases and constants absorbed it; use mode contrastive" in note.text
    assert not explainer.explain(ONES, mode="contrastive").notes
    assert not Explainer(biased(1, 197), engine=engine).explain(ONES).notes


def test_only_the_samples_concerned_are_named() -> None:
    inputs = np.array([[300, 300], [1, 1]], np.float32)
    (note,) = Explainer(biased(1, 1000)).explain(inputs).notes
    assert note.sample == 1 and str(note).startswith("sample 1: only 0.2%")


def cancelling(layers: int) -> onnx.ModelProto:
    """x -> (5 x0 - 4.99 x1, 0), and behind that layers that change nothing."""
    weights = {"w": np.array([[5, 0], [-4.99, 0]], np.float32), "one": np.eye(2, dtype=np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["y"] if layers == 1 else ["t0"])]
    for k in range(1, layers):
        nodes.append(node("Relu", [f"t{k - 1}"], [f"u{k}"]))
        nodes.append(node("MatMul", [f"u{k}", "one"], ["y" if k == layers - 1 else f"t{k}"]))
    return model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cancels_at_the_inputs_did_reach_them(engine: Engine) -> None:
    start = np.array([[1, 0], [1, 0]], np.float32)
    found = Explainer(cancelling(2), engine=engine).explain(
        ONES, mode="epsilon(absolute=1e-6)", start=start
    )
    assert found.ledger.sizes.inputs[0] == pytest.approx([999, 999], rel=1e-2)
    assert "grew to 1e+03 times" in found.notes[0].text


@pytest.mark.parametrize("engine", ENGINES)
def test_a_map_that_cancels_is_told_by_its_size(engine: Engine) -> None:
    """y = x0 / 2 - x1 / 2 + 1 at ones: +.5 and -.5, and the bias has all of the sum."""
    weights = {"w": np.array([[0.5], [-0.5]], np.float32), "b": np.ones(1, np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], name="fc")]
    proto = model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 1])}, weights)
    explainer = Explainer(proto, engine=engine)
    for mode in ("epsilon(absolute=1e-6)", "lrp(0)"):
        found = explainer.explain(ONES, mode=mode, task="regression")
        assert found.relevance["x"] == pytest.approx(np.array([[0.5, -0.5]] * 2), rel=1e-3)
        (note,) = [note for note in found.notes if "cancels" in note.text]
        assert not note.warning and "+0.5 and -0.5 add up to next to nothing" in note.text
        assert "100% of the start by size" in note.text
    uneven = explainer.explain(
        ONES * np.float32([1, 0.9]), mode="epsilon(absolute=1e-6)", task="regression"
    )
    assert not any("cancels" in note.text for note in uneven.notes)  # 5 % is left, and is told


@pytest.mark.parametrize("engine", ENGINES)
def test_a_linear_model_whose_score_is_near_0_is_no_explosion(engine: Engine) -> None:
    found = Explainer(cancelling(1), engine=engine).explain(ONES, mode="epsilon(absolute=1e-6)")
    assert found.relevance["x"] == pytest.approx(np.array([[5, -4.99]] * 2), rel=1e-3)
    assert not found.notes


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_of_one_score_near_0_are_no_explosion(engine: Engine) -> None:
    weights = {"w": np.array([[5], [-4.99]], np.float32), "one": np.float32(1)}
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("Sigmoid", ["z"], ["p"]),
        node("Sub", ["one", "p"], ["q"]),
        node("Concat", ["q", "p"], ["y"], axis=1),
    ]
    proto = model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)
    for target, sign in ((1, 1), (0, -1)):
        found = Explainer(proto, engine=engine).explain(
            ONES, mode="epsilon(absolute=1e-6)", target=target
        )
        assert found.relevance["x"][0] == pytest.approx([5 * sign, -4.99 * sign], rel=1e-3)
        assert not any(note.warning for note in found.notes)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_probability_of_a_score_near_0_blows_up(engine: Engine) -> None:
    weights = {"w": np.array([[5, 0], [-4.99, 1]], np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["z"]), node("Sigmoid", ["z"], ["y"])]
    proto = model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)
    asked: dict[str, Any] = {"mode": "epsilon(absolute=1e-6)", "target": 0}
    explainer = Explainer(proto, engine=engine)
    assert not any(note.warning for note in explainer.explain(ONES, **asked).notes)
    (note,) = explainer.explain(ONES, start="probability", **asked).notes
    assert note.warning and "times its start" in note.text


def test_a_sum_behind_a_function_that_is_no_head_blows_up() -> None:
    weights = {"w": np.eye(2, dtype=np.float32), "b": np.full(2, -1, np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["z"]), node("Cos", ["z"], ["y"])]
    proto = model(nodes, {"x": (FLOAT, ["N", 2])}, {"y": (FLOAT, ["N", 2])}, weights)
    found = Explainer(proto).explain(ONES, mode="epsilon(absolute=1e-6)", target=0)
    assert found.notes[0].warning and "times its start" in found.notes[0].text


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
def test_an_input_of_zeros_is_empty_in_every_mode(mode: str) -> None:
    (note,) = Explainer(biased(1, 1)).explain(np.zeros((1, 2), np.float32), mode=mode).notes
    assert "the inputs hold zeros only" in note.text and "use mode" not in note.text


@pytest.mark.parametrize("mode", ["contrastive", "epsilon(absolute=1e-6)"])
def test_a_mode_that_would_be_empty_too_is_not_recommended(mode: str) -> None:
    explainer = Explainer(chain(2, 0))
    start = (ONES, 0 * ONES) if mode == "contrastive" else ONES
    (note,) = explainer.explain(ONES, mode=mode, start=start).notes
    assert "none of the relevance" in note.text and "use mode default" in note.text
    assert "'mix1' (MatMul)" in note.text
    assert not explainer.explain(ONES).notes


def test_warnings_are_kept(tmp_path: Path) -> None:
    found = Explainer(biased(1, 1000)).explain(ONES)
    found.save(tmp_path / "e.npz")
    assert Explanation.load(tmp_path / "e.npz").notes == found.notes
    assert found.notes == (Note(found.notes[0].text, None, True),)


@pytest.mark.parametrize("engine", ENGINES)
def test_where_slopes_travel_little_is_how_it_is_read_not_a_doubt(engine: Engine) -> None:
    """The bias keeps 398 of 400, as in mode default, and the two inputs are told apart."""
    (note,) = Explainer(biased(1, 398), engine=engine).explain(ONES, mode="lrp(0)").notes
    assert not note.warning and note.sample is None
    assert note.first and note.text.startswith("only 0.5% of the relevance reached the inputs")
    assert "use mode integrated_gradients, which adds up to it" in note.text
