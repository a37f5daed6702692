"""Modes on models whose right relevance is known: what scripts/truth/known.py tabulates."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "scripts" / "truth"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "known", raising=False)
    import known

    return known


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
