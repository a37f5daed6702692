"""Association against SciPy's chi squared, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from backtrace_onnx.audit.association import association, codes
from backtrace_onnx.audit.histograms import histogram


def test_it_is_the_corrected_v_of_a_table() -> None:
    contingency = pytest.importorskip("scipy.stats.contingency")
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 400).astype(str).astype(object)
    b = np.where(rng.random(400) < 0.5, a, rng.integers(0, 4, 400).astype(str)).astype(object)
    table = contingency.crosstab(a, b).count
    chi = stats.chi2_contingency(table, correction=False).statistic
    r, k = table.shape
    phi = chi / 400 - (r - 1) * (k - 1) / 399
    wanted = np.sqrt(phi / (min(r - (r - 1) ** 2 / 399, k - (k - 1) ** 2 / 399) - 1))
    assert association(a, b) == pytest.approx(wanted)
    assert association(b, a) == pytest.approx(wanted)


def test_numbers_and_categories() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    names = np.where(x > 0, "yes", "no").astype(object)
    assert association(x, names) > 0.9
    assert association(x, -x) == pytest.approx(1)
    assert association(x, rng.normal(size=1000)) < 0.15
    assert association(x, np.zeros(1000)) == 0


def test_values_are_numbered_as_their_sorted_texts_are() -> None:
    """Against NumPy's way, which holds every value as a text and sorts all of them."""
    rng = np.random.default_rng(0)
    names = rng.choice(["b", "a", "(other)", "Z"], 500).astype(object)
    numbers = rng.normal(size=5000)
    edges = np.array(histogram(numbers).edges)
    for values, texts in ((names, names), (numbers, np.searchsorted(edges, numbers))):
        wanted = np.unique(texts.astype(str), return_inverse=True)[1].reshape(-1)
        np.testing.assert_array_equal(codes(values), wanted)
        assert codes(values).dtype == np.int32
