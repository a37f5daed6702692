"""Methods of several walks against what they are by definition, and against captum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from onnx import helper

import backtrace_onnx as bt
from backtrace_onnx import Explainer, Explanation, RequestError
from backtrace_onnx.engines import copies
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

Array = npt.NDArray[Any]
MODELS = Path(__file__).parents[2] / "models"
ENGINES = ["numba", "onnxruntime"]
W, B = normal(4, 3, seed=1), normal(3, seed=2)
X, ROWS = normal(3, 4, seed=5), normal(8, 4, seed=6)


def _linear() -> Any:
    nodes = [node("Gemm", ["x", "W", "B"], ["y"], "fc")]
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 3])}, {"W": W, "B": B})


C1, C2, F = normal(5, 3, 3, 3, seed=11), normal(6, 5, 3, 3, seed=12), normal(4, 6, seed=13)
B1, B2 = normal(5, seed=14), normal(6, seed=15)


def _convnet(batch: Any = "n") -> Any:
    nodes = [
        node("Conv", ["x", "C1", "B1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        node("Tanh", ["c1"], ["a1"], "act1"),
        node("MaxPool", ["a1"], ["p1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "C2", "B2"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["a2"], "act2"),
        node("GlobalAveragePool", ["a2"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "F"], ["y"], "fc", transB=1),
        node("Softmax", ["y"], ["p"], "soft", axis=1),
    ]
    weights = {"C1": C1, "B1": B1, "C2": C2, "B2": B2, "F": F}
    kinds = {"x": (FLOAT, [batch, 3, 12, 10])}, {"p": (FLOAT, [batch, 4])}
    return model(nodes, *kinds, weights)


def _torch_convnet() -> Any:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4, bias=False),
    )
    for layer, arrays in ((0, (C1, B1)), (3, (C2, B2)), (7, (F,))):
        for parameter, array in zip(net[layer].parameters(), arrays, strict=True):
            parameter.data = torch.from_numpy(array)
    return net


PICTURES = normal(2, 3, 12, 10, seed=21)


def _closes(made: Explanation) -> None:
    total = made.ledger.total()
    inputs = sum(r.reshape(len(r), -1).sum(1, dtype=np.float64) for r in made.relevance.values())
    np.testing.assert_allclose(total.inputs[0], inputs, rtol=1e-5, atol=1e-6)
    assert total.relative_residual < 1e-6
    assert not total.constants.any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("baseline", "x0"),
    [
        (None, np.zeros(4)),
        ("zeros", np.zeros(4)),
        (0.5, np.full(4, 0.5)),
        (ROWS[0], ROWS[0]),
        (ROWS[:3], ROWS[:3]),
        ({"x": ROWS[1:2]}, ROWS[1]),
        (["zeros", ROWS[0]], ROWS[0] / 2),
        ("mean", ROWS.mean(0)),
    ],
)
def test_integrated_gradients_of_what_is_linear(baseline: Any, x0: Array, engine: Any) -> None:
    background = ROWS if isinstance(baseline, str) and baseline == "mean" else None
    made = Explainer(_linear(), engine=engine).explain(
        X,
        mode="integrated_gradients(steps=2)",
        target=1,
        baseline=baseline,
        background=background,
    )
    np.testing.assert_allclose(made.relevance["x"], (X - x0) * W[:, 1], rtol=1e-4, atol=1e-5)
    total = made.ledger.total()
    np.testing.assert_allclose(total.start[0], ((X - x0) @ W)[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total.unassigned[0], 0, atol=1e-5)
    _closes(made)


@pytest.mark.parametrize("engine", ENGINES)
def test_other_means_of_slopes_of_what_is_linear(engine: Any) -> None:
    explainer = Explainer(_linear(), engine=engine)
    smooth = explainer.explain(X, mode="smoothgrad", target=2, samples=5, noise=0.3)
    np.testing.assert_allclose(smooth.relevance["x"], np.broadcast_to(W[:, 2], (3, 4)), rtol=1e-5)
    _closes_to_score(smooth, (X @ W + B)[:, 2])
    made = explainer.explain(
        X, mode="expected_gradients", target=2, background=ROWS, samples=2 * len(ROWS)
    )
    wanted = (X - ROWS.mean(0)) * W[:, 2]
    np.testing.assert_allclose(made.relevance["x"], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.ledger.total().start[0], wanted.sum(1), rtol=1e-4, atol=1e-5)
    _closes(made)


def _closes_to_score(made: Explanation, score: Array) -> None:
    np.testing.assert_allclose(made.ledger.total().start[0], score, rtol=1e-4)
    assert made.ledger.total().relative_residual < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_integrated_gradients_are_those_of_captum(engine: Any) -> None:
    attr = pytest.importorskip("captum.attr")
    torch = pytest.importorskip("torch")
    made = Explainer(_convnet(), engine=engine).explain(
        PICTURES, mode="integrated_gradients(steps=20)", target=2, baseline=0.1
    )
    wanted = attr.IntegratedGradients(_torch_convnet()).attribute(
        torch.from_numpy(PICTURES), torch.full((1, 3, 12, 10), 0.1), target=2, n_steps=20
    )
    np.testing.assert_allclose(made.relevance["x"], wanted.numpy(), rtol=1e-3, atol=1e-5)


def test_smoothgrad_is_that_of_captum_up_to_its_noise() -> None:
    attr = pytest.importorskip("captum.attr")
    torch = pytest.importorskip("torch")
    made = Explainer(_convnet()).explain(PICTURES[:1], mode="smoothgrad", samples=400, target=0)
    torch.manual_seed(0)
    wanted = attr.NoiseTunnel(attr.Saliency(_torch_convnet())).attribute(
        torch.from_numpy(PICTURES[:1]),
        nt_type="smoothgrad",
        nt_samples=400,
        stdevs=0.1 * float(np.ptp(PICTURES[0])),
        target=0,
        abs=False,
    )
    a, b = made.relevance["x"].ravel(), wanted.numpy().ravel()
    assert a @ b > 0.98 * np.linalg.norm(a) * np.linalg.norm(b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("tensor", "layer"), [(None, 4), ("c1", 0), ("p1", 2)])
def test_gradcam_is_that_of_captum(tensor: str | None, layer: int, engine: Any) -> None:
    attr = pytest.importorskip("captum.attr")
    torch = pytest.importorskip("torch")
    net = _torch_convnet()
    made = Explainer(_convnet(), engine=engine).explain(
        PICTURES, mode="gradcam", target=3, tensor=tensor
    )
    small = attr.LayerGradCam(net, net[layer]).attribute(
        torch.from_numpy(PICTURES), target=3, relu_attributions=True
    )
    wanted = attr.LayerAttribution.interpolate(small, (12, 10), "bilinear").detach().numpy()
    np.testing.assert_allclose(made.relevance["x"].sum(1), wanted[:, 0], rtol=1e-3, atol=1e-6)
    assert wanted.any()


@pytest.mark.parametrize(
    ("name", "row"),
    [("mnist_cnn", (1, 1, 28, 28)), ("adult_mlp", None)],
)
def test_relevance_of_trained_models_adds_up(name: str, row: Any) -> None:
    explainer = Explainer(MODELS / f"{name}.onnx")
    shape = row or (1, explainer.graph.type(explainer.graph.inputs[0]).shape[1])
    x = np.random.default_rng(3).random((2, *shape[1:]), np.float32)
    made = explainer.explain(x, mode="integrated_gradients")
    total = made.ledger.total()
    assert (np.abs(total.unassigned) <= 0.0101 * np.abs(total.start)).all()
    assert not any("unassigned" in note.text for note in made.notes)
    _closes(made)


@pytest.mark.parametrize("mode", ["integrated_gradients", "smoothgrad", "gradcam"])
@pytest.mark.parametrize("engine", ENGINES)
def test_samples_together_and_alone_and_a_batch_that_is_fixed(mode: str, engine: Any) -> None:
    explainer = Explainer(_convnet(), engine=engine)
    made = explainer.explain(PICTURES, mode=mode)
    again = explainer.explain(PICTURES, mode=mode)
    assert np.array_equal(made.relevance["x"], again.relevance["x"])
    fixed = Explainer(_convnet(2), engine=engine).explain(PICTURES, mode=mode)
    np.testing.assert_allclose(fixed.relevance["x"], made.relevance["x"], rtol=1e-3, atol=2e-6)
    for k in range(2):
        alone = explainer.explain(PICTURES[k : k + 1], mode=mode)
        np.testing.assert_allclose(
            made.relevance["x"][k], alone.relevance["x"][0], rtol=1e-3, atol=2e-6
        )


def _turning() -> Any:
    """Which entry is largest changes on the line from 0."""
    nodes = [node("Mul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])]
    weights = {"w": np.float32([3, 1]), "b": np.float32([0, 1])}
    return model(nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, weights)


def test_the_answer_at_the_input_is_explained_on_all_of_the_line() -> None:
    x = np.float32([[1, 1], [0.1, 1]])
    made = Explainer(_turning()).explain(x, mode="integrated_gradients")
    assert made.target is not None and list(made.target) == [0, 1]
    np.testing.assert_allclose(made.relevance["x"], [[3, 0], [0, 1]], atol=1e-6)


def test_a_segmentation_keeps_the_mask_of_the_input() -> None:
    x = np.float32([[1, 1], [0.1, -1]])
    made = Explainer(_turning()).explain(x, mode="integrated_gradients", task="segmentation")
    np.testing.assert_allclose(made.relevance["x"], [[3, 1], [0, 0]], atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_starts_of_all_kinds(engine: Any) -> None:
    explainer = Explainer(_convnet(), engine=engine)
    one, other = (
        explainer.explain(PICTURES, mode="integrated_gradients", target=t, steps=16) for t in (1, 2)
    )
    rather = explainer.explain(
        PICTURES, mode="integrated_gradients", start=bt.Contrast(1, 2), steps=16
    )
    wanted = one.relevance["x"] - other.relevance["x"]
    np.testing.assert_allclose(rather.relevance["x"], wanted, rtol=1e-3, atol=1e-5)
    start = np.zeros((2, 4), np.float32)
    start[:, 1] = 2
    given = explainer.explain(PICTURES, mode="integrated_gradients", start=start, output="y")
    alone = explainer.explain(PICTURES, mode="integrated_gradients", target=1, output="y")
    np.testing.assert_allclose(given.relevance["x"], 2 * alone.relevance["x"], rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(
        explainer.explain(PICTURES, mode="integrated_gradients", target=1).relevance["x"],
        alone.relevance["x"],
        rtol=1e-2,
        atol=1e-4,
    )


def test_deeplift_with_several_baselines_is_their_mean() -> None:
    explainer = Explainer(mlp())
    both = explainer.explain(X, mode="deeplift", baseline=["zeros", ROWS[0]], target=0)
    each = [explainer.explain(X, mode="deeplift", baseline=b, target=0) for b in (0.0, ROWS[0])]
    wanted = np.mean([made.relevance["x"] for made in each], 0)
    np.testing.assert_allclose(both.relevance["x"], wanted, rtol=1e-5, atol=1e-6)
    start = np.mean([made.ledger.total().start for made in each], 0)
    np.testing.assert_allclose(both.ledger.total().start, start)
    assert both.ledger.total().relative_residual < 1e-4


HOW: dict[str, dict[str, Any]] = {
    "the largest": {},
    "one": {"target": 2},
    "one each": {"target": [2, 0, 1]},
    "all of them": {"task": "regression"},
    "rather than": {"start": bt.Contrast(1, 2)},
    "the probability": {"start": "probability"},
    "own start": {"start": np.eye(3, dtype=np.float32)},
    "more tensors": {"keep": "all"},
}


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("how", list(HOW.values()), ids=list(HOW))
def test_references_side_by_side_are_those_one_by_one(
    engine: Any, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer, x, rows = Explainer(mlp(), engine=engine), normal(3, 4, seed=7), normal(5, 4, seed=8)
    asked = {"mode": "deeplift", "background": rows, "baseline": "rows", **how}
    made = []
    for most in (100, 2, 0):  # all at once, two, each alone
        monkeypatch.setattr(copies.Copies, "most", property(lambda _, most=most: most))
        made.append(explainer.explain(x, **asked))
    for one in made[:2]:
        assert one.relevance.keys() == made[2].relevance.keys() and one.notes == made[2].notes
        for name, r in made[2].relevance.items():
            np.testing.assert_allclose(one.relevance[name], r, rtol=1e-5, atol=1e-6)
        assert list(one.ledger) == list(made[2].ledger)
        for book, wanted in zip(one.ledger.values(), made[2].ledger.values(), strict=True):
            np.testing.assert_allclose(book.incoming, wanted.incoming, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(book.unassigned, wanted.unassigned, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one.outputs["y"], made[2].outputs["y"])
        if made[2].target is not None:
            np.testing.assert_array_equal(one.target, made[2].target)


def test_a_sample_has_what_it_has_alone_against_many_rows() -> None:
    explainer, x, rows = Explainer(mlp()), normal(3, 4, seed=7), normal(250, 4, seed=8)
    asked: dict[str, Any] = {"mode": "deeplift", "background": rows, "baseline": "rows"}
    whole = explainer.explain(x, **asked)
    assert any("100 rows of the background, of 250" in note.text for note in whole.notes)
    chosen = rows[np.linspace(0, 249, 100).round().astype(int)]
    each = [explainer.explain(x, mode="deeplift", baseline=row).relevance["x"] for row in chosen]
    np.testing.assert_allclose(whole.relevance["x"], np.mean(each, 0), rtol=1e-5, atol=1e-6)
    alone = [explainer.explain(x[[i]], **asked).relevance["x"] for i in range(3)]
    np.testing.assert_array_equal(whole.relevance["x"], np.concatenate(alone))


def test_rows_are_those_of_a_background() -> None:
    explainer = Explainer(mlp())
    with pytest.raises(RequestError, match="a background is needed"):
        explainer.explain(X, mode="deeplift", baseline="rows")
    with pytest.raises(RequestError, match="'mean' or 'rows'"):
        explainer.explain(X, mode="deeplift", baseline="zeros", background=ROWS)


@pytest.mark.parametrize("mode", ["deeplift", "integrated_gradients", "expected_gradients"])
def test_what_is_compared_with_itself_says_so(mode: str) -> None:
    x = normal(2, 4)
    x[1] = x[0] + 1
    given = {"background": x[:1]} if mode == "expected_gradients" else {"baseline": x[0]}
    made = Explainer(mlp()).explain(x, mode=mode, **given)
    told = [note.sample for note in made.notes if note.text.startswith("relevance starts at 0")]
    assert told == [0] and not made.relevance["x"][0].any() and made.relevance["x"][1].any()


def test_expected_gradients_are_what_their_seed_makes_them() -> None:
    explainer = Explainer(mlp())
    asked = {"mode": "expected_gradients(samples=40)", "background": ROWS}
    made = [explainer.explain(X, seed=seed, **asked).relevance["x"] for seed in (0, 0, 1)]
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])
    rows = np.concatenate([explainer.explain(x[None], **asked).relevance["x"] for x in X])
    np.testing.assert_allclose(rows, made[0], rtol=1e-4, atol=1e-6)


def test_the_blurred_picture_and_files_as_baselines(tmp_path: Path) -> None:
    explainer = Explainer(_convnet())
    flat = np.full((1, 3, 12, 10), 0.25, np.float32)
    made = explainer.explain(flat, mode="integrated_gradients", baseline="blur", steps=4)
    np.testing.assert_allclose(made.relevance["x"], 0, atol=1e-6)
    rows = normal(2, 3, 12, 10, seed=30)
    for i, row in enumerate(rows):
        np.save(tmp_path / f"{i}.npy", row[None])
    asked: dict[str, Any] = {"mode": "integrated_gradients(steps=8)", "target": 0}
    wanted = explainer.explain(flat, baseline=list(rows), **asked).relevance["x"]
    np.save(tmp_path.parent / "both.npy", rows)
    file = explainer.explain(flat, baseline=tmp_path.parent / "both.npy", **asked).relevance["x"]
    folder = explainer.explain(flat, baseline=tmp_path, **asked).relevance["x"]
    assert np.array_equal(file, wanted) and np.array_equal(folder, wanted)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mode": "integrated_gradients(steps=0)"}, "steps is a number of points"),
        ({"mode": "integrated_gradients", "stepps": 3}, "did you mean 'steps'"),
        ({"mode": "integrated_gradients(steps=3)", "steps": 3}, "given twice"),
        ({"mode": "integrated_gradients(3)"}, "name=value"),
        ({"mode": "smoothgrad(noise=-1)"}, "noise is a positive number"),
        ({"mode": "default", "steps": 3}, "takes no parameter 'steps'; it takes none"),
        ({"mode": "gradient", "baseline": "zeros"}, "takes no baseline"),
        ({"mode": "integrated_gradients", "baseline": "mean"}, "a background is needed"),
        ({"mode": "expected_gradients"}, "a background is needed"),
        ({"mode": "integrated_gradients", "baseline": "blur"}, "for pictures"),
        ({"mode": "integrated_gradients", "baseline": "grey"}, "unknown baseline 'grey'"),
        ({"mode": "integrated_gradients", "baseline": np.zeros(3)}, "does not fit"),
        ({"mode": "integrated_gradients", "baseline": []}, "the list is empty"),
        ({"mode": "expected_gradients", "background": np.zeros((2, 3))}, "samples are"),
        ({"mode": "gradcam"}, "the model does not convolve"),
    ],
)
def test_what_does_not_fit_is_said(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Explainer(mlp()).explain(X, **asked)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradcam_at_a_tensor_whose_values_the_walk_back_does_not_read(engine: Any) -> None:
    """The slope of max(0, c) needs none of c, the map does: relu(c * mean slope)."""
    nodes = [
        node("Conv", ["x", "C1", "B1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["a1"], "act1"),
        node("GlobalAveragePool", ["a1"], ["g"], "mean"),
        node("Flatten", ["g"], ["y"], "flat"),
    ]
    kinds = {"x": (FLOAT, ["n", 3, 12, 10])}, {"y": (FLOAT, ["n", 5])}
    explainer = Explainer(model(nodes, *kinds, {"C1": C1, "B1": B1}), engine=engine)
    made = explainer.explain(PICTURES, mode="gradcam", target=2, tensor="c1")
    c = bt.tensor_values(explainer, PICTURES, ["c1"])["c1"][:, 2]
    slope = (c > 0).mean((1, 2), keepdims=True) / c[0].size
    np.testing.assert_allclose(
        made.relevance["x"].sum(1), np.maximum(c * slope, 0), rtol=1e-4, atol=1e-7
    )


def test_gradcam_names_the_tensors_it_can_be_asked_at() -> None:
    with pytest.raises(RequestError, match=r"tensor 'g' is none; there are: .*'c2', 'a2'"):
        Explainer(_convnet()).explain(PICTURES, mode="gradcam(tensor=g)")


def test_what_stays_unassigned_is_told() -> None:
    made = Explainer(mlp()).explain(X, mode="integrated_gradients(steps=1)")
    total = made.ledger.total()
    doubtful = np.flatnonzero(np.abs(total.unassigned) > 0.0101 * np.abs(total.start))
    told = [note.sample for note in made.notes if "is unassigned" in note.text]
    assert len(told) and told == list(doubtful)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_two_classes_of_one_probability_are_opposites(engine: Any) -> None:
    nodes = [node("MatMul", ["x", "W"], ["s"]), node("Sigmoid", ["s"], ["p"])]
    kinds = {"x": (FLOAT, ["n", 4])}, {"p": (FLOAT, ["n", 1])}
    explainer = Explainer(model(nodes, *kinds, {"W": W[:, :1]}), engine=engine)
    for target, sign in ((0, -1), (1, 1)):
        made = explainer.explain(X, mode="integrated_gradients", target=target)
        np.testing.assert_allclose(made.relevance["x"], sign * X * W[:, 0], rtol=1e-4, atol=1e-6)
        assert made.binary == "probability"


def test_branches_are_those_that_the_input_took() -> None:
    """y = 3 x where the sum is positive, else 5 x: at the baseline the other branch is taken."""
    then, other = (
        helper.make_graph(
            [node("Mul", ["x", name], [f"{name}/y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}/y", FLOAT, ["n", 4])],
        )
        for name in ("three", "five")
    )
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["c"]),
        node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    weights = {"zero": np.float32(0), "three": np.float32(3), "five": np.float32(5)}
    net = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, weights)
    made = Explainer(net).explain(
        np.ones((1, 4), np.float32), mode="integrated_gradients", baseline=-1.0, target=2
    )
    np.testing.assert_allclose(made.relevance["x"], [[0, 0, 6, 0]], atol=1e-6)
    assert any("held as they ran" in note.text for note in made.notes)


def test_two_inputs_and_a_mask_that_is_held() -> None:
    nodes = [
        node("Cast", ["mask"], ["m"], to=FLOAT),
        node("Mul", ["a", "m"], ["c"]),
        node("Mul", ["c", "b"], ["y"]),
    ]
    inputs = {"a": (FLOAT, ["n", 3]), "b": (FLOAT, ["n", 3]), "mask": (INT64, ["n", 3])}
    net = model(nodes, inputs, {"y": (FLOAT, ["n", 3])})
    a, b = normal(2, 3, seed=1), normal(2, 3, seed=2)
    mask = np.array([[1, 0, 1], [1, 1, 0]])
    made = Explainer(net).explain(
        {"a": a, "b": b, "mask": mask}, mode="integrated_gradients(steps=4)", task="regression"
    )
    for name in ("a", "b"):  # of a product on the line from 0, half each
        np.testing.assert_allclose(made.relevance[name], a * b * mask / 2, rtol=1e-5, atol=1e-6)
    assert not made.relevance["mask"].any()


@pytest.mark.parametrize(("shape", "perm", "size"), [((16, 12, 3), True, 2), ((3, 32), False, 1)])
def test_maps_lie_where_the_places_of_an_input_are(shape: Any, perm: bool, size: int) -> None:
    """Channels last, as other frameworks have them, and signals."""
    first = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])] if perm else []
    nodes = [
        *first,
        node("Conv", ["t" if perm else "x", "C"], ["c"], pads=[1] * 2 * size, strides=[2] * size),
        node("Relu", ["c"], ["a"]),
        node("GlobalAveragePool", ["a"], ["g"]),
        node("Flatten", ["g"], ["y"]),
    ]
    kernel = normal(5, 3, *[3] * size, seed=11)
    net = model(nodes, {"x": (FLOAT, ["n", *shape])}, {"y": (FLOAT, ["n", 5])}, {"C": kernel})
    x = normal(2, *shape, seed=1)
    made = Explainer(net).explain(x, mode="gradcam", target=1, keep="inputs")
    small = Explainer(net).explain(x, mode="gradient_x_input", target=1, keep=["a"])
    channel = np.asarray(small.relevance["a"][:, 1])  # the mean slope is the same at all places
    total = made.relevance["x"].sum(-1 if perm else 1)
    assert total.shape == (2, *[n for n in shape if n != 3])
    halves = total
    for axis in range(1, size + 1):  # pixels are areas: the mean of two lies between neighbours
        halves = halves.reshape(*halves.shape[:axis], -1, 2, *halves.shape[axis + 1 :]).mean(
            axis + 1
        )
    inside = (slice(None), *[slice(1, -1)] * size)
    smooth = channel
    for axis in range(1, size + 1):
        near = [np.roll(smooth, step, axis) for step in (1, -1)]
        smooth = 0.75 * smooth + 0.125 * (near[0] + near[1])
    np.testing.assert_allclose(halves[inside], smooth[inside], rtol=1e-4, atol=1e-6)
    assert not len(made.ledger) and total.any()
    with pytest.raises(RequestError, match="books of the model"):
        made.modules()


def test_gradcam_of_a_mask_lies_before_the_scores() -> None:
    explainer = Explainer(MODELS / "digits_unet.onnx")
    x = np.zeros((1, 3, 64, 64), np.float32)
    made = explainer.explain(x, mode="gradcam", task="segmentation")
    assert not any("'head/Conv_output'," in note.text for note in made.notes if "map" in note.text)
    assert made.relevance[explainer.graph.inputs[0]].shape == x.shape


@pytest.mark.parametrize(
    ("mode", "given", "age"),
    [
        ("integrated_gradients", {"baseline": 1}, 30.0),
        ("integrated_gradients", {"background": 3}, 40.0),
        ("expected_gradients(samples=9)", {"background": 3}, 40.0),
        ("deeplift", {"baseline": 3}, 40.0),
    ],
)
def test_tables_are_compared_with_tables(mode: str, given: dict[str, int], age: float) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"age": [30.0, 40, 50], "hours": [20.0, 30, 40]})
    nodes = [node("Concat", ["age", "hours"], ["c"], axis=1), node("MatMul", ["c", "w"], ["y"])]
    columns = {"age": (FLOAT, ["n", 1]), "hours": (FLOAT, ["n", 1])}
    net = model(nodes, columns, {"y": (FLOAT, ["n", 2])}, {"w": W[:2, :2]})
    asked = {name: table[:rows] for name, rows in given.items()}
    made = Explainer(net).explain(table, mode=mode, target=0, **asked)
    wanted = (table["age"].to_numpy()[:, None] - age) * W[0, 0]
    np.testing.assert_allclose(made.relevance["age"], wanted, rtol=1e-4, atol=1e-4)
    assert any("compared with" in note.text for note in made.notes)


def test_compile_takes_a_modes_parameters_as_explain_does_and_tells_what_auto_picked(
    tmp_path: Path,
) -> None:
    explainer = Explainer(_convnet())
    for how in ({"mode": "gradcam", "tensor": "c1"}, {"mode": "smoothgrad", "samples": 3}):
        files = []
        (name, value), *_ = [(k, v) for k, v in how.items() if k != "mode"]
        for i, own in enumerate((how, {"mode": f"{how['mode']}({name}={value})"})):
            path = tmp_path / f"{i}.onnx"
            assert explainer.compile(path, **own) == ()
            files.append(ort.InferenceSession(path).run(["relevance/x"], {"x": PICTURES})[0])
        np.testing.assert_array_equal(*files)
    with pytest.raises(RequestError, match="takes no parameter 'samples'"):
        explainer.compile(tmp_path / "no.onnx", mode="lrp", samples=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample'"):
        explainer.compile(tmp_path / "no.onnx", mode="lrp", sample=3)
    (note,) = bt.compile(_convnet(), tmp_path / "auto.onnx", mode="auto")
    assert note.text.startswith("mode auto picked cnn: ")
    (note,) = explainer.compile(tmp_path / "idle.onnx", mode="frist: flat")
    assert "did you mean 'first'?" in note.text
