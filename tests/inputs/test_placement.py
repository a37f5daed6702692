"""Pictures in inputs: letterboxes, padding and parts, and the way back to the picture's pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.images import ImageInput
from backtrace_onnx.inputs.sidecar import Sidecar

WIDE = Image.fromarray(np.full((20, 40, 3), 200, np.uint8))


def entry(**keys: Any) -> ImageInput:
    usual: dict[str, Any] = {"color": "rgb", "layout": "NHWC", "scale": 1.0, "resize_to": 16}
    plain = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    return ImageInput(
        **{"height": 16, "width": 16, "resize": "letterbox", **usual, **plain, **keys}
    )


def loaded(folder: Path, **keys: Any) -> ImageInput:
    given = {"kind": "image", "height": 8, "width": 8, "color": "gray", **keys}
    (folder / "m.sidecar.json").write_text(json.dumps({"inputs": {"x": given}}))
    found = Sidecar.load(folder / "m.sidecar.json").inputs["x"]
    assert isinstance(found, ImageInput)
    return found


@pytest.mark.parametrize(
    ("keys", "inside"),
    [
        ({}, (0, 4, 16, 12)),
        ({"pad_at": "corner"}, (0, 0, 16, 8)),
        ({"resize": "square"}, (0, 4, 16, 12)),
        ({"height": 32, "resize": "square"}, (0, 8, 16, 24)),
        ({"height": 8, "width": 32, "pad_at": "corner"}, (0, 0, 16, 8)),
        ({"resize": "stretch"}, (0, 0, 16, 16)),
        ({"part": (0, 0, 10, 20)}, (4, 0, 12, 16)),
    ],
)
def test_a_picture_lies_inside_and_padding_around_it(keys: Any, inside: Any) -> None:
    made = entry(pad_value=114, **keys)
    place = made.place(WIDE.size)
    assert place.inside == inside
    pixels = made.encode(WIDE)[0]
    left, top, right, bottom = inside
    assert (pixels[top:bottom, left:right] == 200).all()
    rest = np.ones(pixels.shape[:2], bool)
    rest[top:bottom, left:right] = False
    assert (pixels[rest] == 114).all()
    assert place.padded() == bool(rest.any())
    back = place.back(tuple(float(n) for n in inside))  # type: ignore[arg-type]
    assert back == pytest.approx(made.part or (0, 0, 40, 20))


def test_what_padding_holds_is_scaled_like_pixels() -> None:
    made = entry(pad_value=127.5, scale=1 / 127.5, mean=(1.0,) * 3)
    assert made.encode(WIDE)[0, 0, 0] == pytest.approx([0, 0, 0])


def test_a_crop_leads_back_to_the_middle_of_the_picture() -> None:
    place = entry(resize="crop", resize_to=20, width=10, height=10).place((40, 20))
    assert place.back((0, 0, 10, 10)) == (15, 5, 25, 15)
    assert not place.padded()


@pytest.mark.parametrize("size", [(7, 5), (5, 7), (300, 2), (1, 1), (640, 480)])
@pytest.mark.parametrize("resize", ["letterbox", "square"])
def test_every_size_fits(size: tuple[int, int], resize: str) -> None:
    image = Image.fromarray(np.full((*size[::-1], 3), 9, np.uint8))
    made = entry(resize=resize)
    left, top, right, bottom = made.place(size).inside
    assert 0 <= left < right <= 16 and 0 <= top < bottom <= 16
    assert (made.encode(image)[0, top:bottom, left:right] == 9).all()


def test_pixels_are_resampled_as_asked() -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8).repeat(2, 0))
    near = entry(resize="stretch", color="gray", mean=(0.0,), std=(1.0,), filter="nearest")
    assert set(np.unique(near.encode(image))) == {0, 255}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"pad_value": 1}, r"x\.pad_value: nothing is padded where resize is stretch"),
        ({"pad_at": "center"}, r"x\.pad_at: nothing is padded"),
        ({"resize": "letterbox", "pad_at": "left"}, r"x\.pad_at: must be one of center, corner"),
        ({"resize": "fit"}, r"x\.resize: must be one of stretch, crop, letterbox, square"),
        ({"part": [0, 0, 4]}, r"x\.part: must be a list of 4 whole numbers"),
        ({"part": [0, 0, 4.5, 4]}, r"x\.part: must be a list of 4 whole numbers"),
        ({"part": [4, 0, 4, 4]}, r"x\.part: must be left, top, right and bottom"),
        ({"filter": "best"}, r"x\.filter: must be one of nearest"),
    ],
)
def test_every_key_is_checked(keys: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        loaded(tmp_path, **keys)


def test_a_part_that_the_picture_does_not_hold_is_refused(tmp_path: Path) -> None:
    made = loaded(tmp_path, part=[0, 0, 41, 20])
    with pytest.raises(InputError, match="40 x 20 pixels does not hold the part"):
        made.encode(WIDE)
