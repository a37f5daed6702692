"""Prediction intervals hold what they say, and share-drift is calibrated by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from backtrace_onnx.audit.baseline import Baseline
from backtrace_onnx.audit.calibration import ALARMS, reach, sampling
from backtrace_onnx.audit.checks.share_drift import MOST
from tests.audit.audited import linear, one, subject, write_model, write_rows


def test_one_more_value_lies_within_reach() -> None:
    """Of 20,000 draws of ten values and one more, in 12 tests: 1 % lie beyond one at most."""
    rng, tests, count = np.random.default_rng(0), 12, 10
    off = 0
    for _ in range(20_000):
        x = rng.normal(size=(count, tests))
        off += bool(
            (
                np.abs(rng.normal(size=tests) - x.mean(0)) > reach(x.std(0, ddof=1), count, tests)
            ).any()
        )
    assert 0.5 * ALARMS < off / 20_000 < 1.2 * ALARMS


def test_means_of_samples_lie_within_reach() -> None:
    rng, off = np.random.default_rng(1), 0
    for _ in range(5000):
        a, b = rng.normal(size=200), rng.normal(size=50)
        off += bool(abs(a.mean() - b.mean()) > sampling(np.array(1.0), 200, 50, 1))
    assert 0.5 * ALARMS < off / 5000 < 1.6 * ALARMS


def test_reach_is_the_formula() -> None:
    wanted = stats.t.ppf(1 - 0.01 / 4 / 2, 4) * np.sqrt(1 + 1 / 5) * 2.0
    assert reach(np.array(2.0), 5, 4) == pytest.approx(wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("seeds")
    write_rows(made, 400)
    return made


def model(folder: Path, seed: int, leak: float = 0.0) -> Path:
    """A seed: weights that vary by a tenth."""
    rng = np.random.default_rng(seed)
    weights = np.array([2.0, 1.0, 0.5, leak]) * rng.normal(1, 0.1, 4)
    return write_model(folder, linear([(w, -w) for w in weights]), f"seed{seed}")


def baselines(folder: Path, count: int) -> list[Baseline]:
    made: list[Baseline] = []
    for seed in range(100, 100 + count):
        made.append(
            Baseline.of(
                subject(model(folder, seed), folder / "rows.csv"), made[0] if made else None
            )
        )
    return made


def found(folder: Path, seed: int, before: Any, leak: float = 0.0, **settings: Any) -> Any:
    return one("share-drift", model(folder, seed, leak), folder / "rows.csv", before, **settings)


def test_seeds_are_no_drift_and_a_small_leak_is(folder: Path) -> None:
    before = baselines(folder, 8)
    assert all(found(folder, seed, before).status == "passed" for seed in range(15))
    for seed in range(5):
        leaked = found(folder, seed, before, leak=0.1)
        assert (leaked.status, leaked.confirmed) == ("failed", True)
        assert leaked.value < MOST and "of leak is" in leaked.text
        assert leaked.source == "a 99 % prediction interval of 8 baselines"
        assert leaked.evidence["intervention"]["score_moved"] > 0
    one_before = found(folder, 0, before[:1], leak=0.1)
    assert one_before.status == "passed" and one_before.source == "proposal"


def test_settings_go_above_baselines(folder: Path) -> None:
    before = baselines(folder, 4)
    strict: dict[str, Any] = {"checks": {"share-drift": {"threshold": 0.0}}}
    made = found(folder, 1, before, **strict)
    assert (made.status, made.threshold, made.source) == ("failed", 0.0, "the settings")


def test_reasons_that_turn_are_found(folder: Path) -> None:
    """Each share is as large as it was, and of the other sign."""
    x = 1 + np.random.default_rng(0).random((400, 4))
    np.save(folder / "positive.npy", x.astype(np.float32))
    kept = [(5.0, -5.0), (1.0, -1.0), (-0.5, 0.5), (0.0, 0.0)]
    turned = [(5.0, -5.0), (-1.0, 1.0), (-0.5, 0.5), (0.0, 0.0)]
    before = Baseline.of(
        subject(write_model(folder, linear(kept), "kept"), folder / "positive.npy")
    )
    new = write_model(folder, linear(turned), "turned")
    made = one("share-drift", new, folder / "positive.npy", before)
    assert made.status == "failed" and made.text.startswith("the mean signed share of b is -")


def test_other_rows_of_one_population_are_no_drift(folder: Path) -> None:
    before = Baseline.of(subject(model(folder, 1), write_rows(folder, 100, 1, "before.csv")))
    same = model(folder, 1)
    for seed in range(2, 12):
        rows = write_rows(folder, 60, seed, "after.csv")
        assert one("share-drift", same, rows, before).status == "passed"


def test_the_feature_that_gained_is_named_beside_one_that_lost_more(tmp_path: Path) -> None:
    rows, shares = write_rows(tmp_path), []
    x = np.loadtxt(rows, delimiter=",", skiprows=1, usecols=range(4))
    for name, weights in (("old", [2.0, 1.0, 0.5, 0.0]), ("new", [0.1, 1.4, 0.6, 0.9])):
        write_model(tmp_path, linear([(w, -w) for w in weights]), name)
        sizes = np.abs(x * weights)
        shares.append((sizes / sizes.sum(1, keepdims=True)).mean(0))
    gained = shares[1] - shares[0]
    assert gained.argmax() == 3 and np.abs(gained).argmax() == 0 and gained[0] < 0  # a lost most
    before = Baseline.of(subject(tmp_path / "old.onnx", rows))
    found = one("share-drift", tmp_path / "new.onnx", rows, before)
    assert (found.status, found.confirmed) == ("failed", True)
    assert f"leak gained most, {gained[3]:.3f}" in found.text and " of a is " in found.text
    assert found.evidence["intervention"]["feature"] == "leak"
    assert found.evidence["features"]["a"]["bound"] == MOST
