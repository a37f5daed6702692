"""Where Quantus has a metric, ours gives its number on the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import metrics
from backtrace_onnx.metrics.scores import correlation
from tests.graphs import normal
from tests.metrics.quantus_oracle import Array, load_quantus, network, predict

W = normal(36, 4, seed=1, dtype=np.float64) * 0.2
X = normal(3, 1, 6, 6, seed=2, dtype=np.float64)
R = normal(3, 1, 6, 6, seed=3, dtype=np.float64)
TARGET = np.array([0, 2, 1])
DARK = np.broadcast_to(X.min((1, 2, 3), keepdims=True), X.shape)  # what Quantus calls black
QUIET = {"disable_warnings": True, "display_progressbar": False}
NEAR: Any = {"rtol": 1e-4, "atol": 1e-5}  # Quantus computes in float32 here and there


@pytest.fixture
def quantus(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_quantus(monkeypatch)


def measured(metric: Any, **changed: Any) -> Array:
    given = {"model": network(W), "x_batch": X, "y_batch": TARGET, "a_batch": R, "softmax": False}
    found = metric(**{**given, "channel_first": True, "device": "cpu", **changed})
    return np.asarray(found, np.float64)


def test_complexity_and_sparseness(quantus: Any) -> None:
    np.testing.assert_allclose(measured(quantus.Complexity(**QUIET)), metrics.complexity(R), **NEAR)
    np.testing.assert_allclose(measured(quantus.Sparseness(**QUIET)), metrics.sparseness(R), **NEAR)


def test_faithfulness_estimate(quantus: Any) -> None:
    found = metrics.faithfulness_estimate(predict(W), X, R, TARGET, replace=DARK)
    np.testing.assert_allclose(measured(quantus.FaithfulnessEstimate(**QUIET)), found, **NEAR)


def test_faithfulness_correlation_of_the_same_sets(quantus: Any) -> None:
    """Sets of Quantus, which draws others for every sample, are handed to ours."""
    from quantus.functions.perturb_func import batch_baseline_replacement_by_indices as replace

    drawn: list[Array] = []

    def recorded(arr: Array, indices: Array, **how: Any) -> Any:
        drawn.append(np.array(indices))
        return replace(arr=arr, indices=indices, **how)

    how = {"nr_runs": 30, "subset_size": 5, "return_aggregate": False, "perturb_func": recorded}
    wanted = measured(quantus.FaithfulnessCorrelation(**how, **QUIET))
    for sample, value in enumerate(wanted):
        masks = np.zeros((30, 36), bool)
        for mask, sets in zip(masks, drawn, strict=True):
            mask[sets[sample]] = True
        own = X[sample].reshape(1, -1)
        copies = np.where(masks, DARK[sample].reshape(1, -1), own)
        scores = predict(W)(np.concatenate([own, copies]))[:, TARGET[sample]]
        removed = metrics.Removed(masks, scores[0] - scores[1:])
        assert removed.correlation(R[sample].reshape(-1)) == pytest.approx(value, rel=1e-4)


def test_sets_of_the_same_size_agree_in_the_mean(quantus: Any) -> None:
    """And where each draws its own."""
    np.random.seed(0)
    how = {"nr_runs": 2000, "subset_size": 7, "return_aggregate": False}
    wanted = measured(quantus.FaithfulnessCorrelation(**how, **QUIET))
    asked: Any = {"size": 7, "runs": 2000, "replace": DARK}
    found = metrics.faithfulness_correlation(predict(W), X, R, TARGET, **asked)
    np.testing.assert_allclose(found, wanted, atol=0.08)  # 3.5 deviations of sqrt(1 / 2000)


def test_pixel_flipping_and_its_area(quantus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # NumPy 2 has another name
    found = metrics.flip(predict(W), X, R, TARGET, steps=36, replace=DARK)
    wanted = measured(quantus.PixelFlipping(**QUIET))
    np.testing.assert_allclose(found.scores[:, 1:], wanted, **NEAR)  # it leaves out the first
    area = measured(quantus.PixelFlipping(return_auc_per_sample=True, **QUIET))
    np.testing.assert_allclose(np.trapezoid(found.scores[:, 1:], axis=1), area, **NEAR)


def test_curves_of_squares(quantus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    squares = metrics.grid(X.shape[1:], 2)
    how: Any = {"steps": 9, "replace": DARK, "units": squares}
    curves = {
        order: metrics.flip(predict(W), X, R, TARGET, order=order, **how).scores
        for order in ("morf", "lerf")
    }
    for order, own in curves.items():
        wanted = measured(quantus.RegionPerturbation(patch_size=2, order=order, **QUIET))
        np.testing.assert_allclose(own[:, :1] - own[:, 1:], wanted, **NEAR)
    wanted = measured(quantus.Selectivity(patch_size=2, **QUIET))
    np.testing.assert_allclose(curves["morf"][:, 1:], wanted, **NEAR)


def test_irof_of_segments_of_one_size(quantus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ranks segments by their mean, ours by their sum; black is that of the whole batch."""
    segments = metrics.grid(X.shape[1:], 2)
    utils = "quantus.helpers.utils."
    monkeypatch.setattr(utils + "get_superpixel_segments", lambda **how: segments.reshape(6, 6))
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    asked: Any = {"steps": 9, "replace": X.min(), "units": segments}
    curve = metrics.flip(predict(W), X, R, TARGET, **asked).scores
    how = {"perturb_baseline": "black", "return_aggregate": False, "abs": False}
    wanted = measured(quantus.IROF(**how, **QUIET))
    area = np.trapezoid(curve[:, 1:] / curve[:, :1], axis=1)
    np.testing.assert_allclose(9 - area, wanted, **NEAR)


def reason(x: Array) -> Array:
    """Relevance that bends with its input."""
    made: Array = np.tanh(x.reshape(len(x), -1)) * np.linspace(0.5, 2, 36)
    return made.reshape(x.shape)


def test_sensitivity_of_the_same_noise(quantus: Any) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.uniform(-0.02, 0.02, (1, 6, 6)) for _ in range(7)]  # as ours is drawn
    found = metrics.sensitivity(reason, X, radius=0.02, samples=7)

    def explain(model: Any, inputs: Array, targets: Array, **how: Any) -> Array:
        return reason(inputs)

    for metric, own in ((quantus.MaxSensitivity, found.most), (quantus.AvgSensitivity, found.mean)):
        left = iter(noise)

        def noisy(arr: Array, left: Any = left, **how: Any) -> Array:
            made: Array = arr + next(left).reshape(1, *arr.shape[1:])
            return made

        made = metric(nr_samples=7, perturb_func=noisy, **QUIET)
        wanted = measured(made, a_batch=None, explain_func=explain)
        np.testing.assert_allclose(own, wanted, **NEAR)


def test_localisation(quantus: Any) -> None:
    mask = np.random.default_rng(1).random(X.shape) < 0.3
    given = {"a_batch": np.abs(R), "s_batch": mask.astype(float)}
    for metric, own in (
        (quantus.RelevanceMassAccuracy, metrics.mass_inside),
        (quantus.RelevanceRankAccuracy, metrics.rank_inside),
        (quantus.PointingGame, metrics.pointing_game),
    ):
        wanted = measured(metric(**QUIET), **given)
        np.testing.assert_allclose(own(np.abs(R), mask), wanted, **NEAR)
    signed = {"a_batch": R, "s_batch": mask.astype(float)}
    np.testing.assert_allclose(
        metrics.rank_inside(R, mask), measured(quantus.RelevanceRankAccuracy(**QUIET), **signed)
    )
    # Where every mask holds k entries, and, of mosaics, where it is two of four quarters.
    two = np.zeros(X.shape)
    two[..., :3, :3] = two[..., 3:, 3:] = 1
    given = {"a_batch": R, "s_batch": two}
    clipped = {"positive_attributions": True, "abs": False}
    alike = ((quantus.AttributionLocalisation(**clipped, **QUIET), metrics.mass_inside),)
    for metric, own in (
        *alike,
        (quantus.TopKIntersection(k=18, abs=False, **QUIET), metrics.rank_inside),
    ):
        np.testing.assert_allclose(own(R, two), measured(metric, **given), **NEAR)
    wanted = measured(quantus.Focus(abs=False, **QUIET), custom_batch=[(1, 0, 0, 1)] * 3)
    np.testing.assert_allclose(metrics.mass_inside(R, two), wanted, **NEAR)


def test_completeness(quantus: Any) -> None:
    x, w = (4 * X).round(), (20 * W).round()  # sums of these are exact, and so is its comparison
    own = x * w[:, TARGET].T.reshape(X.shape)
    metric = quantus.Completeness(normalise=False, perturb_baseline=0.0, **QUIET)
    for added, adds_up in ((0, True), (1, False)):
        found = metrics.completeness(predict(w, bend=False), x, own + added, TARGET)
        given = {"model": network(w, bend=False), "x_batch": x, "a_batch": own + added}
        assert measured(metric, **given).tolist() == (found == 0).tolist() == [adds_up] * 3


def test_similarity_is_spearmans_correlation(quantus: Any) -> None:
    from quantus.functions.similarity_func import correlation_pearson, correlation_spearman

    other = normal(3, 1, 6, 6, seed=9, dtype=np.float64).round(1)
    for k, own in enumerate(metrics.similarity(R.round(1), other)):
        pair = (R[k].round(1).reshape(-1), other[k].reshape(-1))
        assert own == pytest.approx(float(correlation_spearman(*pair)))
        assert correlation(*pair) == pytest.approx(float(correlation_pearson(*pair)))


def test_a_random_logit_is_the_cosine_of_two_classes(quantus: Any) -> None:
    from quantus.functions.similarity_func import cosine

    def explain(model: Any, inputs: Array, targets: Array, **how: Any) -> Array:
        return R[: len(inputs)] + np.asarray(targets).reshape(-1, 1, 1, 1)

    def alike(a: Array, b: Array, **how: Any) -> list[float]:
        return [float(cosine(p.reshape(-1), q.reshape(-1))) for p, q in zip(a, b, strict=True)]

    how = {"similarity_func": alike, "num_classes": 2, "normalise": False}
    metric = quantus.RandomLogit(**how, **QUIET)
    one = {"x_batch": X[:1], "y_batch": np.array([0]), "a_batch": R[:1]}
    wanted = measured(metric, explain_func=explain, **one)
    found = metrics.class_sensitivity(R[:1], explain(None, X[:1], np.array([1])))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)  # its cosine is a distance
