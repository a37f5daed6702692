"""Arrays that are pictures by their shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtrace_onnx.inputs.picture_shapes import canvas, looks_like_picture, stretched
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.input_kinds import is_picture, pixels
from backtrace_onnx.report.picture_panel import shown_picture
from backtrace_onnx.report.ranking import rank
from tests.report.made import explanation

PICTURES = {
    "H W": ((9, 12), (9, 12, 1)),
    "1 H W": ((1, 9, 12), (9, 12, 1)),
    "H W 1": ((9, 12, 1), (9, 12, 1)),
    "1 1 H W": ((1, 1, 9, 12), (9, 12, 1)),
    "1 H W 1": ((1, 9, 12, 1), (9, 12, 1)),
    "3 H W": ((3, 9, 12), (9, 12, 3)),
    "H W 3": ((9, 12, 3), (9, 12, 3)),
    "1 3 H W": ((1, 3, 9, 12), (9, 12, 3)),
    "1 H W 4": ((1, 9, 12, 4), (9, 12, 4)),
}


@pytest.mark.parametrize(("shape", "laid"), PICTURES.values(), ids=PICTURES.keys())
def test_pictures_lie_alike(shape: tuple[int, ...], laid: tuple[int, ...]) -> None:
    found = canvas(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    assert found is not None and found.shape == laid


@pytest.mark.parametrize("shape", [(), (8,), (1, 200), (7, 30), (5, 20, 20), (2, 3, 9, 12), (0, 9)])
def test_other_shapes_are_none(shape: tuple[int, ...]) -> None:
    assert canvas(np.zeros(shape)) is None


def test_a_channel_is_not_a_row() -> None:
    sample = np.zeros((3, 9, 12))
    sample[1, 4, 5] = 1
    found = canvas(sample)
    assert found is not None and found[4, 5].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("shape", "operators", "expected"),
    [
        ((28, 28), ["Gemm"], True),
        ((20, 30), ["Conv"], True),
        ((20, 30), ["com.microsoft::FusedConv"], True),
        ((20, 30), ["LSTM", "Gemm"], False),  # steps by features
        ((20, 60), ["Conv"], False),  # channels over time
        ((12, 20), ["Conv"], False),
        ((1, 12, 20), ["Gemm"], True),
    ],
)
def test_a_bare_matrix_may_be_something_else(
    shape: tuple[int, ...], operators: list[str], expected: bool
) -> None:
    assert looks_like_picture(np.zeros(shape), operators) is expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (28, 28), (1, 1, 28, 28), (1, 28, 28, 1)])
def test_a_digit_is_a_picture_in_any_shape(shape: tuple[int, ...]) -> None:
    x = np.zeros((28, 28), np.float32)
    x[3, 20] = 2
    subject = ExplainedSample(explanation({"x": x.reshape(shape)}, {"x": x.reshape(shape)}))
    assert is_picture(subject, "x")
    assert shown_picture(subject, "x").shape == (28, 28, 3)
    assert np.array_equal(pixels(subject, "x", subject.relevance("x")), x)
    best = rank(subject)[0]
    assert best.box == (0, 20, 4, 24) and best.relevance == 2


def test_names_make_a_matrix_features() -> None:
    made = explanation({"x": np.zeros((1, 16, 16))})
    assert is_picture(ExplainedSample(made), "x")
    assert not is_picture(ExplainedSample(replace(made, names={"x": ("a", "b")})), "x")


def test_any_numbers_are_stretched_from_black_to_white() -> None:
    found = stretched(np.array([[[-3.0], [1.0]]]))
    assert found.shape == (1, 2, 3) and found[0, :, 0].tolist() == [0, 255]
