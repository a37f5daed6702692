"""Modes on models whose right relevance is known: what scripts/truth/known.py tabulates."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import backtrace_onnx as bt

FOLDER = Path(__file__).resolve().parent.parent / "scripts" / "truth"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "known", raising=False)
    import known

    return known


@pytest.fixture
def patching(known: ModuleType) -> ModuleType:
    import patching_truth

    return patching_truth


@pytest.mark.parametrize("mode", ["lrp", "attnlrp", "cnn", "deeplift", "integrated_gradients"])
def test_linear_heads_and_sums_of_bends_are_exact(known: ModuleType, mode: str) -> None:
    assert known.heads(mode) == pytest.approx((1, 0), abs=1e-3)
    assert known.bends(mode) == pytest.approx((1, 0), abs=5e-3)


def test_what_modes_do_not_promise_is_seen(known: ModuleType) -> None:
    """So that the cases above could fail."""
    assert known.heads("default")[0] < 0.6 and known.heads("gradient")[1] > 0.5
    sign, off = known.bends("gradient_x_input")
    assert sign == 1 and off > 0.2


@pytest.mark.parametrize("mode", ["default", "contrastive", "cnn", "lrp"])
def test_planted_shapes_and_shortcuts_are_found(known: ModuleType, mode: str) -> None:
    mass, rank = known.shapes(mode)
    assert mass > 0.7 and rank > 0.9
    there, absent = known.shortcut(mode)
    assert there > 0.75 and absent == 0


def test_scenes_are_what_they_say(known: ModuleType) -> None:
    x, masks, kinds = known.scenes(20)
    assert set(kinds.tolist()) == {0, 1}
    assert (masks.sum((1, 2, 3)) == np.where(kinds == 0, 5, 9)).all()
    neighbours = np.corrcoef(
        x[:, 0, :, :-1][~masks[:, 0, :, 1:]], x[:, 0, :, 1:][~masks[:, 0, :, 1:]]
    )
    assert neighbours[0, 1] > 0.3  # the background is correlated


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trees_have_the_shapley_values_of_the_formula(known: ModuleType) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    found = known.trees()
    assert found["shap"][0] == pytest.approx((1, 0), abs=1e-6)
    for mode in ("shap, background", "deeplift, background's rows"):
        assert found[mode][1] == pytest.approx((1, 0), abs=1e-6)
        assert found[mode][0][1] > 0.2  # the two truths are two
    assert found["shap"][1][1] > 0.2
    sign, off = found["paths"][0]  # one order of asking, not the mean over all
    assert 0.8 < sign < 0.95 and 0.05 < off < 0.25
    assert found["default"][0][1] > 1


def test_shapley_values_of_a_game_whose_values_are_known(known: ModuleType) -> None:
    """Three players: 6 where the first two are there, 1 for the third."""
    worth = [6.0 * (s & 3 == 3) + (s >> 2) for s in range(8)]
    made = known.tree_truth.shapley(np.array(worth)[:, None])
    np.testing.assert_allclose(made, [[3, 3, 1]])


def test_patching_a_language_model_does_what_a_rewritten_file_does(patching: ModuleType) -> None:
    proto = patching.transformer(0)
    patched, explainer = patching.Patched(proto), bt.Explainer(proto)
    (clean, corrupt), *_ = patching.pairs(0, 1)
    theirs, own = patched.run(clean), patched.run(corrupt)
    rows = corrupt.repeat(patching.TOKENS, 0)
    for name in patching.PATCHED:
        values = own[name].repeat(patching.TOKENS, 0)
        places = np.arange(patching.TOKENS)
        values[places, places] = theirs[name][0]
        found = bt.patch(explainer, {"ids": rows}, {name: values})["logits"]
        wanted = patched.run(rows, name, theirs[name])["logits"]
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert np.abs(wanted - own["logits"]).max() > 0.1


def test_estimates_of_patching_go_with_it(patching: ModuleType) -> None:
    made = patching.correlations(models=2, count=3)
    residual, mlp = ({asked: found[k] for asked, found in made.items()} for k in (0, 1))
    assert residual["gradient", "line"] > 0.95 and mlp["gradient", "line"] > 0.8
    assert residual["gradient", "both"] > 0.9 and mlp["gradient", "both"] > 0.75
    # What one MLP makes is replaced in the corrupt run, so that its slopes are the right ones.
    assert mlp["gradient", "corrupt"] > 0.85 > 0.75 > mlp["gradient", "clean"]
    assert residual["attnlrp", "corrupt"] > 0.85
