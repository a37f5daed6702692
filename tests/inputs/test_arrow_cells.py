"""Columns of Arrow become the elements that readers of single cells make of them, or none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto

from backtrace_onnx.errors import InputError
from backtrace_onnx.inputs.arrow_cells import column_elements, plain_numbers, text_places
from backtrace_onnx.inputs.columns import Missing, encode, number
from backtrace_onnx.inputs.frames import Table
from backtrace_onnx.inputs.tables import Feature, TableInput

CELLS = [
    *("0", "1", "-3", "+5", "2.5", ".5", "1.", "1e3", "1E-3", "0005", "9007199254740993"),
    *("16777217", "16777216", "2147483648", "-2147483649", "1e39", "1e400", "0.1", "128"),
    *("", " ", " 7", "7 ", "-0", "-0.0", "nan", "inf", "-Infinity", "0x10", "1_0", "1,5"),
    *("true", "x", "\u0661", "1e", "None"),
]
ELEMENTS = ["FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT32", "INT8", "UINT8", "BOOL", "STRING"]


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_text_is_the_element_that_its_cell_is(cell: str, name: str) -> None:
    element = TensorProto.DataType.Value(name)
    found = column_elements(pa.array(["1", cell]), element)
    if found is None:
        return  # the cells are looked at
    wanted = encode(np.array(["1", cell], object), element, Missing())
    assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def test_what_is_plain_is_read_without_a_look_at_cells() -> None:
    quick = column_elements(pa.array(["1", "2.5", "1e3"]), TensorProto.FLOAT)
    assert quick is not None and quick.tolist() == [1, 2.5, 1000]
    whole = column_elements(pa.array(["1", "-2"]), TensorProto.INT64)
    assert whole is not None and whole.tolist() == [1, -2]
    for cells in (["1", ""], ["1", None], ["1.5"], ["9007199254740993"]):
        assert column_elements(pa.array(cells), TensorProto.INT64) is None
    assert plain_numbers(pa.array([1, None])) is None
    assert plain_numbers(pa.array([True])) is None
    assert plain_numbers(pa.array(["-0"])) is None and plain_numbers(pa.array([-0.0])) is not None
    assert text_places(pa.array([1])) is None and text_places(pa.array(["a", None])) is None
    places = text_places(pa.chunked_array([["a", "b"], ["a"]]))
    assert places is not None and places[0] == ["a", "b"] and places[1].tolist() == [0, 1, 0]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", [str, float, int])
def test_tables_have_the_same_slots_with_arrow_and_without(kind: type, cell: str) -> None:
    try:
        value = kind(cell) if kind is str else kind(number(cell))
        column = pa.array([value, kind(1)])
    except (ValueError, OverflowError, pa.ArrowInvalid):
        return
    entry = TableInput((Feature("a", 0.3, 1.7), Feature("b", categories=("1", "x"))))
    cells = {"a": [value, kind(1)], "b": ["x", "1"]}
    columns = {name: np.array(values, object) for name, values in cells.items()}
    arrow = {"a": column, "b": pa.array(["x", "1"]).dictionary_encode()}

    def read(table: Table) -> object:
        try:
            return entry.encode_table(table).tobytes()
        except InputError as error:
            return str(error)

    assert read(Table("t", columns, arrow=arrow)) == read(Table("t", columns))


def test_a_category_that_is_none_is_named_by_its_row() -> None:
    entry = TableInput((Feature("b", categories=("1", "x")),))
    columns = {"b": np.array(["x", "y"], object)}
    table = Table("t.csv", columns, lines=(2, 3), arrow={"b": pa.array(["x", "y"])})
    with pytest.raises(InputError, match=r"t.csv: line 3, column 'b': 'y' is not a category"):
        entry.encode_table(table)
