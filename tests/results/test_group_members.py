"""Groups of entries: what their members mean, and sums that close."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtrace_onnx import RequestError
from backtrace_onnx.inputs.picture_shapes import picture_axes
from backtrace_onnx.results.group_members import EntryNames, find_masks, read_option, read_options

LAYOUT = EntryNames(
    {"age": (1,), "x": (5,), "image": (3, 10, 12), "rows": (6, 4), "wave": (2, 100), "ids": (8,)},
    {"age": ("Age",), "x": ("work=a", "work=b", "pay", "work_1", "work_2")},
    {"image": (1, 2)},
    {"wave": (1, 50.0)},
)


def held(member: str, layout: EntryNames = LAYOUT) -> dict[str, Any]:
    return {name: m for name, m in find_masks({"g": [member]}, layout)["g"].items() if m.any()}


FLAT = [
    ("age", "age", [0]),
    ("Age", "age", [0]),
    ("x", "x", [0, 1, 2, 3, 4]),
    ("work", "x", [0, 1]),
    ("work=b", "x", [1]),
    ("work=*", "x", [0, 1]),
    ("work_*", "x", [3, 4]),
    ("wor?", "x", [0, 1]),
    ("pay", "x", [2]),
    ("x[1]", "x", [1]),
    ("x[-1]", "x", [4]),
    ("x[1:3]", "x", [1, 2]),
    ("x[ 3: ]", "x", [3, 4]),
    ("x[:-2]", "x", [0, 1, 2]),
]


@pytest.mark.parametrize(("member", "place", "entries"), FLAT)
def test_members_of_inputs_of_one_axis(member: str, place: str, entries: list[int]) -> None:
    found = held(member)
    assert list(found) == [place] and np.flatnonzero(found[place]).tolist() == entries


def test_places_of_several_axes() -> None:
    image = np.zeros((3, 10, 12), bool)
    image[:, 2:5, 3:7] = True
    np.testing.assert_array_equal(held("image[2:5, 3:7]")["image"], image)
    image[:] = False
    image[1, 2:5, 3] = True
    np.testing.assert_array_equal(held("image[1, 2:5, 3]")["image"], image)
    assert held("image[0]")["image"].sum() == 120 and held("image[0]")["image"][0].all()
    assert held("rows[2:4]")["rows"][2:4].all() and held("rows[2:4]")["rows"].sum() == 8
    assert held("rows[:, 1]")["rows"][:, 1].all() and held("rows[:, 1]")["rows"].sum() == 6
    wave = held("wave[0.5s:1s]")["wave"]
    assert wave[:, 25:50].all() and wave.sum() == 50
    assert held("wave[1.98s:]")["wave"].sum() == 2
    assert held("wave[0, 0.5s:1s]")["wave"].sum() == 25


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 16, 12), (1, 2)),
        ((16, 12, 3), (0, 1)),
        ((1, 16, 12), (1, 2)),
        ((16, 12, 1), (0, 1)),
        ((1, 1, 16, 12), (2, 3)),
        ((1, 16, 12, 4), (1, 2)),
        ((16, 16), (0, 1)),
        ((3, 16, 3), None),
        ((16, 3), None),
        ((16,), None),
    ],
)
def test_rows_and_columns_of_pictures(shape: tuple[int, ...], axes: Any) -> None:
    assert picture_axes(np.zeros(shape)) == axes


def test_words_of_a_text() -> None:
    words = {"ids": [("good", [2]), ("film,", [3, 4]), ("film", [3]), ("good", [5])]}
    layout = EntryNames(LAYOUT.shapes, LAYOUT.names, words=words)
    assert np.flatnonzero(held("good", layout)["ids"]).tolist() == [2, 5]
    assert np.flatnonzero(held('"film"', layout)["ids"]).tolist() == [3]
    assert np.flatnonzero(held("goo*", layout)["ids"]).tolist() == [2, 5]
    assert held("absent", layout) == {}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"g": ["ages"]}, r"group 'g': nothing is called 'ages'; did you mean: age"),
        ({"g": ["work=c"]}, r"nothing is called 'work=c'; did you mean: work=.*work="),
        ({"g": ["zzz*"]}, r"nothing is called 'zzz\*'; inputs and columns are: age, x"),
        ({"g": ["x[5]"]}, r"'x\[5\]': '5' is not within the 5 positions there"),
        ({"g": ["x[3:3]"]}, "is not within the 5 positions"),
        ({"g": ["x[2:9]"]}, "is not within the 5 positions"),
        ({"g": ["x[a]"]}, "'a' is no place; write 3, 3:7"),
        ({"g": ["x[]"]}, "'' is no place"),
        ({"g": ["x[1:2:3]"]}, "'1:2:3' is no place"),
        ({"g": ["x[1,2]"]}, r"has 2 axes, input 'x' 1: \[5\]"),
        ({"g": ["x[1s]"]}, "seconds need the rate of a series"),
        ({"g": ["AGE", "x"]}, r"nothing is called 'AGE'; did you mean: Age, age\?"),
        ({"g": ["WORK=B"]}, r"did you mean: work=b"),
        ({"g": ["age", "x", "age"]}, "group 'g' names 'age' twice"),
        ({"age": ["pay"]}, "group 'age' is called like an input or column that is not all in it"),
        ({"x": ["x[1:]"]}, "group 'x' is called like"),
        ({"work": ["work=a", "age"]}, "group 'work' is called like"),
        ({"pay": ["work"]}, "group 'pay' is called like"),
        ({"work=a": ["work=b"]}, "group 'work=a' is called like"),
        ({"g": "age"}, "give a list of members"),
        ({"g": []}, "give a list of members"),
        ({"g": ["work"], "h": ["x[1:]"]}, "groups 'g' and 'h' both hold 'work=b'"),
        ({"g": ["image[0]"], "h": ["image[3:5,2:4]"]}, r"both hold image\[0, 3, 2\]"),
    ],
)
def test_groups_that_do_not_fit(groups: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        find_masks(groups, LAYOUT)


@pytest.mark.parametrize("groups", [{"work": ["work", "pay"]}, {"age": ["Age"]}, {"x": ["x"]}])
def test_a_group_may_be_called_like_what_it_holds(groups: Any) -> None:
    assert list(find_masks(groups, LAYOUT)) == list(groups)


def test_a_name_in_several_inputs_is_not_guessed() -> None:
    layout = EntryNames({"a": (2,), "b": (2,)}, {"a": ("p", "q"), "b": ("p", "r")})
    with pytest.raises(RequestError, match=r"'p' is in several inputs \(a, b\)"):
        find_masks({"g": ["p"]}, layout)
    assert set(find_masks({"g": ["p*"]}, layout)["g"]) == {"a", "b"}


def test_options_of_the_command_line() -> None:
    assert read_option("address=street, zip ,city") == ("address", ("street", "zip", "city"))
    assert read_option("a=image[1:2, 3:4],job=cook") == ("a", ("image[1:2, 3:4]", "job=cook"))
    assert read_option('q="well, yes",x') == ("q", ('"well, yes"', "x"))
    for wrong in ("address", "=x", "a=", "a=x,,y", ""):
        with pytest.raises(RequestError, match="a group is NAME=MEMBER"):
            read_option(wrong)
    with pytest.raises(RequestError, match="group 'a' is given twice"):
        read_options(["a=x", "a=y"])
