"""Arrays of rows: what does not fit is named by its file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtrace_onnx import ExplainBatches, InputError, explain_dataset
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import RowError
from tests.graphs import mlp


def rows() -> Any:
    return np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def as_npz(folder: Path, x: Any) -> Any:
    np.savez(folder / "x.npz", x=x)
    return folder / "x.npz"


def as_npy(folder: Path, x: Any) -> Any:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


def as_lists(folder: Path, x: Any) -> Any:
    pq.write_table(pa.table({"x": x.tolist()}), folder / "x.parquet")
    return folder / "x.parquet"


def as_given(folder: Path, x: Any) -> Any:
    return {"x": x}


Writer = Callable[[Path, Any], Any]
WRITERS = [as_npz, as_npy, as_lists, as_given]


def called(data: Any) -> str:
    return "the data" if isinstance(data, dict) else str(data)


def the_block(data: Any) -> RowBlock:
    return next(find_files(data)[0].blocks(10))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_row_that_holds_no_number_is_named_and_left_out_where_asked(
    write: Writer, value: float, tmp_path: Path
) -> None:
    whole = rows()
    x = whole.astype(np.float64)
    x[2, 1] = value
    data, explain = write(tmp_path, x), ExplainBatches(mlp())
    with pytest.raises(RowError) as raised:
        explain.explain(the_block(data))
    assert str(raised.value).startswith(f"{called(data)}: row 3: input 'x' ")
    assert "(1,)" in str(raised.value)
    found = explain.explain(the_block(data), skip_bad=True)
    assert found.rows == (0, 1, 3, 4, 5)
    assert [(bad.source, bad.line) for bad in found.bad] == [(called(data), 3)]
    alone = explain({"x": np.delete(whole, 2, axis=0)})
    assert found.table["relevance/x"].equals(alone["relevance/x"])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("x", "what"),
    [(np.ones((6, 5)), r"shape \(6, 5\): axis 1 must be 4"), (np.full((6, 4), "a"), "not <U1")],
)
def test_arrays_of_which_no_row_fits_name_their_file(
    write: Writer, x: Any, what: str, tmp_path: Path
) -> None:
    if x.dtype.kind == "U" and write in (as_lists, as_given):
        pytest.skip("lists of texts are no arrays")
    data = write(tmp_path, x)
    with pytest.raises(InputError, match=what) as raised:
        explain_dataset(mlp(), data, tmp_path / "out", skip_bad=True)
    assert str(raised.value).startswith(f"{called(data)}: input 'x' takes float32")


@pytest.mark.parametrize("write", [as_npz, as_npy])
def test_which_array_became_which_input_is_noted(write: Any, tmp_path: Path) -> None:
    """Where its name is another: a .npy has none, and one behind the input's name was told."""
    path = write(tmp_path, rows())
    wanted = explain_dataset(mlp(), path, tmp_path / "own")
    assert not wanted.notes
    if path.suffix == ".npz":
        np.savez(tmp_path / "y.npz", features=rows())
    other = path.with_name(f"y{path.suffix}")
    if path.suffix == ".npy":
        path.rename(other)
    found = explain_dataset(mlp(), other, tmp_path / "other")
    assert found.read().drop_columns("row/file").equals(wanted.read().drop_columns("row/file"))
    said = f"{other}: array 'features' is taken for 'x', the only input"
    assert found.notes == ((said,) if path.suffix == ".npz" else ())
    named = explain_dataset(mlp(), f"x={other}", tmp_path / "named")
    assert not named.notes


def test_cells_beside_arrays_that_no_input_takes_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": rows().tolist(), "label": list("abcdef")}), path)
    made = explain_dataset(mlp(), path, tmp_path / "out")
    assert made.notes == (f"{path}: the model has no input for column 'label', which is left out",)
    kept = explain_dataset(mlp(), path, tmp_path / "kept", labels="label")
    assert not kept.notes
