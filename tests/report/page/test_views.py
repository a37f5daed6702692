"""What pages show, as numbers: sums, bars, maps, groups."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.page.bar_charts import WIDE, Axis
from backtrace_onnx.report.page.books_view import books_view, rounded
from backtrace_onnx.report.page.flow_view import flow_view
from backtrace_onnx.report.page.map_images import map_image, picture_image
from backtrace_onnx.report.page.picture_view import picture_view
from backtrace_onnx.report.page.ranking_view import ranking_view
from backtrace_onnx.report.page.sample_groups import samples_of
from backtrace_onnx.report.page.series_view import series_view
from backtrace_onnx.report.page.stylesheet import STEPS, shade_class
from backtrace_onnx.report.picture_style import colours
from tests.report.made import explanation

RNG = np.random.default_rng(3)


def image_of(url: str) -> Any:
    """Pixels uint8[H, W, 4] of an image in a page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_rounded_shares_add_up(shares: list[float]) -> None:
    told = [float(number.replace(",", "")) for number in rounded(shares)]
    assert abs(sum(told) - 100 * sum(shares)) <= 0.5 + 1e-9
    for number, share in zip(told, shares, strict=True):
        assert abs(number - 100 * share) < 1 + 1e-6


def test_the_ledger_is_one_sentence() -> None:
    subject = ExplainedSample(explanation({"x": RNG.normal(size=(1, 4))}))
    (book,) = books_view(subject)
    assert book.sentence == "100 % = inputs 70 + biases 20 + unassigned 10"
    assert [(p.kind, p.x, p.width) for p in book.pieces] == [
        ("data", 0, 700),
        ("biases", 700, 200),
        ("unassigned", 900, 100),
    ]
    two = explanation({"x": np.ones((1, 4))}, against={"x": np.ones((1, 4))})
    sentences = [book.sentence for book in books_view(ExplainedSample(two))]
    assert [s.split(" = ")[0] for s in sentences] == [
        "100 % of what speaks for it",
        "100 % of what speaks against it",
    ]


def test_small_and_negative_terms_are_told() -> None:
    assert rounded([0.926, 0.071, 0.003]) == ["92.6", "7.1", "0.3"]
    assert rounded([1.124, -0.124, 0.0]) == ["112", "-12", "0"]
    assert rounded([1 / 3, 1 / 3, 1 / 3]) in (["34", "33", "33"], ["33", "33", "34"])
    assert rounded([3e8, -3e8]) == ["3e+10", "-3e+10"]


def test_pieces_lie_on_one_axis() -> None:
    axis = Axis.of([3.0, -1.0])
    assert axis.zero == WIDE / 4
    piece = axis.piece("for", 0, 3)
    assert (piece.x, piece.width) == (250, 750)
    assert (axis.piece("against", 0, -1).x, axis.at(9), axis.at(-9)) == (0, WIDE, 0)
    assert Axis.of([]).zero == 0 and Axis.of([0.0]).at(0.5) == WIDE / 2
    stacked = axis.stacked([("a", 1.0), ("b", 0.0), ("c", 2.0)])
    assert [(p.kind, p.x, p.width) for p in stacked] == [("a", 250, 250), ("c", 500, 500)]


def test_a_waterfall_ends_at_the_score() -> None:
    relevance = {"x": np.array([[0.5, -0.1, 0.2, 0.1]])}
    made = explanation({"x": np.ones((1, 4))}, relevance)
    view = ranking_view(ExplainedSample(made))
    names = [row.name for row in view.rows]
    assert names[:4] == ["x[0]", "x[2]", "x[1]", "x[3]"]
    assert names[4:] == ["biases and constants", "unassigned", "the score"]
    for before, row in zip(view.rows, view.rows[1:], strict=False):
        assert row.begin == before.end
    whole = view.rows[-1].pieces[0]
    assert whole.x + whole.width == pytest.approx(view.rows[-2].end)
    assert view.rows[-1].amount == "+1"
    widths = {row.name: row.pieces[0].width for row in view.rows}
    assert widths["x[0]"] == pytest.approx(5 * widths["x[1]"], abs=0.1)
    kinds = {row.name: row.pieces[0].kind for row in view.rows}
    assert kinds["x[0]"] == "for" and kinds["x[1]"] == "against"


def test_two_channels_are_bars_to_both_sides() -> None:
    made = explanation(
        {"x": np.ones((1, 2))}, {"x": np.array([[3.0, 1.0]])}, {"x": np.array([[1.0, 1.0]])}
    )
    view = ranking_view(ExplainedSample(made))
    first = view.rows[0]
    assert [p.kind for p in first.pieces] == ["for", "against"]
    assert first.pieces[0].width == 3 * first.pieces[1].width
    assert first.amount == "+2" and view.zero == 250


def test_a_map_has_the_colours_of_the_pictures() -> None:
    values = RNG.normal(size=(5, 7))
    limit = float(np.abs(values).max())
    found = image_of(map_image(values, limit)).astype(int)
    expected = np.rint(255 * colours()((values / limit + 1) / 2))
    assert found.shape == (5, 7, 4)
    assert np.abs(found - expected).max() <= 6  # 255 levels instead of 511
    assert image_of(map_image(np.zeros((2, 2)), 1.0))[..., 3].max() == 0
    assert image_of(map_image(np.array([[np.nan, 9.0]]), 1.0))[0, 0, 3] == 0
    assert map_image(values, limit) == map_image(values.copy(), limit)


def test_pictures_are_kept_exactly_unless_they_are_large_photographs() -> None:
    small = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(image_of(picture_image(small))[..., :3], small)
    smooth = np.add.outer(np.arange(400), np.arange(400))[..., None] / 799 * [200, 255, 150]
    noise = RNG.normal(0, 6, smooth.shape)
    photograph = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    url = picture_image(photograph)
    assert url.startswith("data:image/jpeg")
    assert np.abs(image_of(url)[..., :3].astype(int) - photograph).mean() < 8


def test_a_picture_has_a_layer_for_each_answer() -> None:
    x = RNG.random((1, 3, 16, 16)).astype(np.float32)
    subjects = [
        ExplainedSample(explanation({"x": x}, {"x": RNG.normal(size=x.shape)}, target=k))
        for k in (0, 1, 2)
    ]
    assert samples_of(subjects) == [subjects]
    view = picture_view(subjects, "x")
    (layers,) = view.maps
    assert len({layer.image for layer in layers}) == 3
    assert (view.width, view.height, view.part, view.whole) == (16, 16, (0, 0, 16, 16), True)
    cells = layers[0].cells
    assert sum(cell.width * cell.height for cell in cells) == 16 * 16
    told = next(cell.told for cell in cells if (cell.x, cell.y) == (0, 0))
    own = subjects[0].relevance("x").sum(axis=0)[:2, :2].sum()
    assert f"{own:+.3g}" in told


def test_a_mask_is_outlined_between_its_cells() -> None:
    x = RNG.random((1, 3, 8, 8)).astype(np.float32)
    mask = np.zeros((1, 1, 4, 4))
    mask[0, 0, 1:3, 1:2] = 1.0
    made = explanation({"x": x}, task="segmentation", output=mask)
    view = picture_view([ExplainedSample(made)], "x")
    assert sorted(view.outline.split("M")[1:]) == ["1 1H2", "1 1V3", "1 3H2", "2 1V3"]
    assert view.transform == "translate(0 0) scale(2 2)"


def test_samples_are_told_apart_and_answers_of_one_are_not() -> None:
    x = RNG.normal(size=(3, 4))
    x[1] = x[0]
    made = explanation({"x": x}, samples=3)
    subjects = [ExplainedSample(made, sample=i, source=f"row {i}") for i in range(3)]
    assert [len(group) for group in samples_of(subjects)] == [1, 1, 1]
    others = [explanation({"x": x}, samples=3, target=k) for k in (0, 1)]
    both = [ExplainedSample(one, sample=i, source=f"row {i}") for i in range(3) for one in others]
    assert [len(group) for group in samples_of(both)] == [2, 2, 2]


def test_a_wave_and_its_relevance_share_one_axis() -> None:
    x = np.sin(np.arange(2000) / 20)[None]
    relevance = np.where(np.arange(2000) < 1000, 1.0, -1.0)[None]
    view: Any = series_view(ExplainedSample(explanation({"x": x}, {"x": relevance})), "x")
    (strip,) = view.strips
    assert strip.filled and strip.wave.endswith("Z") and view.both
    up = [float(step.split(" ")[0]) for step in strip.for_.split("M")[1:]]
    down = [float(step.split(" ")[0]) for step in strip.against.split("M")[1:]]
    assert max(up) < 450 <= min(down) and strip.zero == 50


def test_many_nodes_without_modules_are_few_stages() -> None:
    made = explanation({"x": RNG.normal(size=(1, 4))}, nodes=100)
    view = flow_view(ExplainedSample(made))
    assert view is not None and len(view.stages) < 12
    assert sum(len(stage.nodes) + stage.more for stage in view.stages) == 100
    node = view.stages[1].nodes[0]
    assert node.amounts == ("100.0 %", "70.0 %", "0.2 %", "0.1 %")


def test_shades_go_by_strength() -> None:
    assert shade_class(1.0) == f"f{STEPS}" and shade_class(-2.0) == f"a{STEPS}"
    assert shade_class(0.01) == "" and shade_class(-0.5) == f"a{STEPS // 2}"
