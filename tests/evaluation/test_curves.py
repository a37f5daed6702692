"""The picture of perturbation curves."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from backtrace_onnx.evaluation.curves import _page
from backtrace_onnx.evaluation.summary import ModeSummary

NAMES = ("morf", "lerf")


def of(mode: str, *names: str) -> ModeSummary:
    curve = np.linspace(8, 1, 9).tolist()
    return ModeSummary(mode, (), {}, {}, {}, {}, None, dict.fromkeys(names, curve))


@pytest.mark.parametrize("count", [1, 2, 12, 30])
def test_names_of_lines_lie_beside_the_panels(count: int) -> None:
    modes = [of(f"epsilon(absolute=1e-6,relative={k})", *NAMES) for k in range(count)]
    figure = _page(NAMES, modes)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert all(axis.get_window_extent().x1 <= box.x0 for axis in figure.axes)
    assert all(axis.get_window_extent().width > 200 for axis in figure.axes)
    assert box.y0 >= 0 and box.y1 <= figure.bbox.height and box.x1 <= figure.bbox.width
    assert len(legend.get_texts()) == count


def test_a_mode_without_one_of_the_curves_keeps_its_colour_and_place() -> None:
    modes = [of("a", "lerf"), of("b", *NAMES), of("none")]
    figure = _page(NAMES, modes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    drawn = [[line.get_color() for line in axis.lines] for axis in figure.axes]
    own = [line.get_color() for line in legend.get_lines()]
    assert drawn == [own[1:], own]
