"""Files of data sets: each kind, in blocks, and rows that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from backtrace_onnx import (
    ExplainBatches,
    Explainer,
    InputError,
    RequestError,
    explain_dataset,
)
from backtrace_onnx.data import csv_blocks
from backtrace_onnx.data.reading import find_files
from backtrace_onnx.data.row_blocks import RowBlock
from backtrace_onnx.errors import RowError
from tests.column_models import people
from tests.graphs import mlp
from tests.text.made import classifier, word_pieces

ROWS = [
    (30, 40, "pilot", "a"),
    (41.5, 20, "cook", "b"),
    (64, 38, "clerk", "c"),
    (25, 8, "cook", "d"),
]
NAMES = ("age", "hours", "job", "name")


def blocks(path: Path, rows: int = 3) -> list[RowBlock]:
    return [block for file in find_files(path) for block in file.blocks(rows)]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"people.{kind}"
    records = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    if kind == "csv":
        lines = [",".join(map(str, row)) for row in (NAMES, *ROWS)]
        path.write_text("\n".join(lines))
    elif kind == "jsonl":
        path.write_text("\n\n".join(map(json.dumps, records)))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist([{**r, "age": float(r["age"])} for r in records]), path)
    else:
        arrays = {name: np.array([r[name] for r in records]) for name in NAMES}
        np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "npz"])
def test_every_kind_of_table_says_the_same(kind: str, tmp_path: Path) -> None:
    explain = ExplainBatches(people(), ids="name", mode="epsilon(absolute=1e-6)", target=0)
    given = blocks(write(tmp_path, kind))
    assert [block.rows for block in given] == [3, 1]
    found = pa.concat_tables(explain.explain(block).table for block in given)
    rows = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
    assert found.equals(explain(rows))
    assert found["id/name"].to_pylist() == list("abcd")


def test_a_table_is_read_only_as_far_as_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def counted(path: Path, errors: str) -> Iterator[tuple[int, list[str]]]:
        nonlocal read
        yield 1, ["x", "y"]
        for number in range(2, 10**9):
            read += 1
            yield number, ["1", "2"]

    monkeypatch.setattr(csv_blocks, "stream_lines", counted)
    (tmp_path / "endless.csv").write_text("\n")
    (file,) = find_files(tmp_path / "endless.csv")
    some = list(islice(file.blocks(100), 3))
    assert [block.rows for block in some] == [100, 100, 100]
    assert read == 300


def test_bad_rows_are_named_by_line_and_skipped_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        'age,hours,job,name\n30,40,"pi\nlot",a\n41.5,cook,b\n64,many,cook,c\n25,8,cook,d\n'
    )
    explain = ExplainBatches(people(), ids="name", mode="epsilon(absolute=1e-6)")
    (block,) = blocks(path, 10)
    assert block.lines == (2, 5, 6)
    with pytest.raises(RowError, match=r"people.csv: line 4 has 3 values, the header 4"):
        explain.explain(block)
    found = explain.explain(block, skip_bad=True)
    assert found.table["id/name"].to_pylist() == ["a", "d"] and found.rows == (0, 2)
    assert [(bad.line, bad.reason.removeprefix(f"{path}: ")) for bad in found.bad] == [
        (4, "line 4 has 3 values, the header 4"),
        (5, "line 5, column 'hours': 'many' is not a number"),
    ]
    structural = ExplainBatches(mlp(), ids="name")
    with pytest.raises(InputError, match=r"has 3 columns"):
        structural.explain(block, skip_bad=True)


def test_bytes_that_are_no_text_are_bad_rows_and_in_the_header_no_table(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(b"age,hours,job,name\n30,40,pilot,a\n41,20,c\xfcok,b\n25,8,cook,\xc3\xa9\n")
    (block,) = blocks(path, 10)
    assert [(bad.line, bad.reason) for bad in block.bad] == [
        (3, f"{path}: line 3: not a text in UTF-8")
    ]
    found = ExplainBatches(people(), ids="name").explain(block, skip_bad=True)
    assert found.table["id/name"].to_pylist() == ["a", "é"]
    path.write_text("age\n1\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"people.csv: not a .csv file in UTF-8"):
        blocks(path)


def test_lines_of_json_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"x": [1, 2, 3, 4], "id": 7}\n{"x": [1, 2], "id": 8}\nnope\n[1]\n\xff\n'
        b'{"x": [4, 3, 2, 1], "id": "z", "y": 1}\n{"id": "q", "x": [0, 0, 0, 1]}\n'
    )
    (block,) = blocks(path, 99)
    assert [bad.line for bad in block.bad] == [2, 3, 4, 5, 6]
    told = " ".join(bad.reason for bad in block.bad)
    assert "'x' is a list of shape [2], in the first row a list of shape [4]" in told
    assert "has 'y', which the first row has not" in told
    found = ExplainBatches(mlp(), ids="id").explain(block, skip_bad=True)
    assert found.table["id/id"].to_pylist() == ["7", "q"]


def test_arrays_of_any_order_are_streamed(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x, n=np.arange(7))
    np.savez_compressed(tmp_path / "f.npz", x=np.asfortranarray(x), n=np.arange(7))
    np.save(tmp_path / "x.npy", x)
    made = Explainer(mlp()).explain(x)
    for name in ("c.npz", "f.npz", "x.npy"):
        explain = ExplainBatches(mlp(), ids=() if name == "x.npy" else "n")
        tables = [explain.explain(block).table for block in blocks(tmp_path / name)]
        found = np.array(pa.concat_tables(tables)["relevance/x"].to_pylist())
        np.testing.assert_array_equal(found, made.relevance["x"])
    np.savez(tmp_path / "unequal.npz", x=x, n=np.arange(6))
    with pytest.raises(InputError, match=r"not of one length: x 7, n 6"):
        blocks(tmp_path / "unequal.npz")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    with pytest.raises(InputError, match=r"it ends too early"):
        blocks(tmp_path / "cut.npy")


def test_pictures_of_a_folder_or_pattern(tmp_path: Path) -> None:
    for label in ("two", "five"):
        (tmp_path / label).mkdir()
        for i in range(2):
            Image.new("L", (28, 28), 60 * i + 20).save(tmp_path / label / f"{i}.png")
    explain = ExplainBatches("models/mnist_cnn.onnx", labels="folder", ids="file")
    (block,) = blocks(tmp_path, 9)
    table = explain.explain(block).table
    assert table["label/folder"].to_pylist() == ["five", "five", "two", "two"]
    assert np.array(table["relevance/image"].to_pylist()).shape == (4, 1, 28, 28)
    (some,) = blocks(tmp_path / "t*" / "*.png", 9)
    assert explain.explain(some).table.equals(table.slice(2))
    (tmp_path / "two" / "0.png").write_bytes(b"no picture")
    found = explain.explain(block, skip_bad=True)
    assert found.rows == (0, 1, 3)
    assert "0.png" in found.bad[0].reason


@pytest.mark.parametrize("pattern", ["", "*"])
def test_what_lies_beside_pictures_is_left_out_and_named(pattern: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / ".thumbs").mkdir(parents=True)
    for path in (photos / "0.png", photos / ".thumbs" / "0.png"):
        Image.new("L", (28, 28), 80).save(path)
    (photos / ".DS_Store").write_bytes(b"\0")
    for name in ("readme.txt", "labels.csv", "about.md"):
        (photos / name).write_text("no picture\n")
    (photos / "empty.csv").touch()
    given = photos / pattern if pattern else photos
    made = explain_dataset("models/mnist_cnn.onnx", given, tmp_path / "out")
    assert made.rows == 1
    told = " and ".join(note for note in made.notes if str(photos) in note)
    count, first = (5, ".DS_Store, about.md") if pattern else (6, ".DS_Store, .thumbs/, about.md")
    assert f"{count} file(s) there are left out: {first}" in told
    for name in ("readme.txt", "labels.csv", "empty.csv", "0.png"):
        (photos / name).unlink()
    said = "of the files called so none is data" if pattern else "the folder holds no data"
    with pytest.raises(InputError, match=said):
        explain_dataset("models/mnist_cnn.onnx", given, tmp_path / "out2")


def test_beside_tables_no_texts_are_rows(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b,c,d\n1,2,3,4\n")
    (folder / "b.csv").write_text("a,b,c,d\n1,2,3,5\n")
    (folder / "readme.txt").write_text("about these rows\n")
    made = explain_dataset(mlp(), folder, tmp_path / "out")
    assert made.rows == 2
    assert f"{folder}: 1 file(s) there are left out: readme.txt" in made.notes


def test_beside_tables_no_pictures_are_rows_of_a_model_that_opens_none(
    run: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    onnx.save(mlp(), tmp_path / "m.onnx")
    (folder / "a.csv").write_text("a,b,c,d\n1,2,3,4\n")
    Image.new("L", (28, 28), 80).save(folder / "plot.png")
    said = f"{folder}: 1 file(s) there are left out: plot.png"
    assert said in explain_dataset(mlp(), folder, tmp_path / "out").notes
    for command in (
        ("network",),
        ("evaluate", "--metric", "complexity", "--data"),
        ("audit", "--data"),
    ):
        name, *options = command
        code, out, _ = run(name, tmp_path / "m.onnx", *options, folder)
        assert code in (0, 1) and f"note: {said}" in out.splitlines()
    code, _, err = run("audit", tmp_path / "m.onnx", "--data", folder, "--json", folder / "a.csv")
    assert code == 2 and "is read here, or written twice" in err
    found = explain_dataset("models/mnist_cnn.onnx", folder, tmp_path / "pictures")
    assert found.rows == 1 and "left out: a.csv" in found.notes[0]


def test_a_folder_in_a_hidden_one_is_read_and_json_by_its_pattern(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "rows"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('[{"a": 1}]')
    with pytest.raises(InputError, match="the folder holds no data"):
        find_files(folder)
    (found,) = find_files(folder / "*")
    assert found.kind == "json" and not found.notes
    (folder / "a.csv").write_text("a\n1\n")
    (found,) = find_files(folder)
    assert found.kind == "csv" and "a.json" in found.notes[0]


def test_texts_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_bytes(b"a good film\n\n\xff\nbad !\r\n")
    explain = ExplainBatches(
        classifier(), tokenizer=word_pieces(tmp_path), mode="epsilon(absolute=1e-6)"
    )
    (block,) = blocks(path)
    with pytest.raises(RowError, match=r"reviews.txt: line 3: not a text in UTF-8"):
        explain.explain(block)
    found = explain.explain(block, skip_bad=True)
    assert [row[1:-1] for row in found.table["tokens/input_ids"].to_pylist()] == [
        ["a", " good", " film"],
        ["bad", " !"],
    ]


def test_a_table_whose_only_column_is_read_as_texts_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    how = {"tokenizer": word_pieces(tmp_path), "mode": "lrp"}
    for header, row, said in (
        ("text", "a good film", []),
        ("review", "a good film", ["column 'review' is taken for 'input_ids', as texts"]),
        (
            "text,stars",
            "a good film,5",
            ["the model has no input for column 'stars', which is left out"],
        ),
    ):
        path.write_text(f"{header}\n{row}\n")
        made = explain_dataset(classifier(), path, tmp_path / header, **how)
        assert list(made.notes) == [f"{path}: {one}" for one in said]


def test_what_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "x.doc").touch()
    for given, what in (
        (tmp_path / "none.csv", "no such file"),
        (tmp_path / "*.png", "no file is called so"),
        (tmp_path / "x.doc", "data are .csv, .parquet"),
        (tmp_path, "the folder holds no data"),
        ([], "no data is given"),
    ):
        with pytest.raises(InputError, match=what):
            find_files(given)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "empty.csv").touch()
    for name in ("broken.parquet", "empty.csv"):
        with pytest.raises(InputError, match=name):
            blocks(tmp_path / name)


KINDS = ["csv", "parquet", "json", "jsonl", "ndjson", "npz", "npy", "txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_no_bytes_is_refused_alike(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty.{kind}"
    path.touch()
    with pytest.raises(InputError, match=rf"empty\.{kind}: the file is empty, of 0 bytes"):
        explain_dataset(mlp(), path, tmp_path / "out")


def test_a_sidecar_names_the_columns_that_are_no_inputs(tmp_path: Path) -> None:
    onnx.save(people(), tmp_path / "m.onnx")
    sidecar: dict[str, Any] = {"columns": {"ids": ["name"], "groups": ["job"]}}
    (tmp_path / "m.sidecar.json").write_text(json.dumps(sidecar))
    (block, _) = blocks(write(tmp_path, "csv"))
    table = ExplainBatches(tmp_path / "m.onnx").explain(block).table
    assert table.column_names[:2] == ["id/name", "group/job"]
    sidecar["columns"]["id"] = ["name"]
    (tmp_path / "m.sidecar.json").write_text(json.dumps(sidecar))
    with pytest.raises(
        InputError,
        match=r"columns.id: unknown key; there are: groups, ids, labels; did you mean 'ids'\?",
    ):
        ExplainBatches(tmp_path / "m.onnx").explain(block)


def given(kind: str, path: Path) -> Any:
    """The same people as no file."""
    if kind == "arrow":
        return pq.read_table(path)
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(path)
    return frame if kind == "frame" else {name: frame[name].to_numpy() for name in frame.columns}


@pytest.mark.parametrize("kind", ["arrow", "frame", "dict"])
def test_rows_that_are_given_are_those_of_a_file(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, "parquet")
    how: Any = {"ids": "name", "mode": "lrp", "target": 0}
    wanted = explain_dataset(people(), path, tmp_path / "file", **how).read()
    rows = given(kind, path)
    assert [b.rows for file in find_files(rows) for b in file.blocks(3)] == [3, 1]
    made = explain_dataset(people(), rows, tmp_path / "rows", **how).read()
    assert made["row/file"].to_pylist() == ["the data"] * 4
    assert made["row/line"].to_pylist() == [1, 2, 3, 4]
    assert made.drop_columns(["row/file"]) == wanted.drop_columns(["row/file"])
    again = explain_dataset(people(), rows, tmp_path / "rows", **how)
    assert again.resumed == 1
    other = rows.slice(1) if kind == "arrow" else write_other(rows)
    with pytest.raises(RequestError, match="another run"):
        explain_dataset(people(), other, tmp_path / "rows", **how)


def write_other(rows: Any) -> Any:
    """The same rows, a job of which is another one: a cell of an object column."""
    rows = rows.copy()
    rows["job"] = np.array(["cook", "cook", "clerk", "cook"], object)
    return rows


def test_an_array_is_the_only_input(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    wanted = explain_dataset(mlp(), tmp_path / "x.npy", tmp_path / "file").read()
    made = explain_dataset(mlp(), x, tmp_path / "rows").read()
    assert made.drop_columns(["row/file"]) == wanted.drop_columns(["row/file"])
    for bad, said in ((np.float32(1), "a text or path"), (np.zeros(()), "has no rows")):
        with pytest.raises((RequestError, InputError), match=said):
            find_files(bad)
    with pytest.raises(RequestError, match="a text or path, or a list of them, not a ndarray"):
        find_files([x])


@pytest.mark.parametrize("more", ["", '\n"5",6,7,8'])
def test_blanks_around_the_names_of_columns_are_noted(more: str, tmp_path: Path) -> None:
    """Whether lines are plain or taken apart; a first line of numbers names none."""
    path = tmp_path / "x.csv"
    path.write_text(f"a, b,c , d\n1,2,3,4{more}\n")
    made = explain_dataset(mlp(), path, tmp_path / "out")
    said = f"{path}: columns are called without the blanks of ' b', 'c ', ' d'"
    assert made.notes[0] == said
    columns = [name for name in made.read().column_names if name.startswith("relevance/")]
    assert columns == [f"relevance/{name}" for name in "abcd"]
    path.write_text("1, 2, 3, 4\n5, 6, 7, 8\n")
    told = explain_dataset(mlp(), path, tmp_path / "numbers").notes
    assert not any("without the blanks" in note for note in told)


def test_a_column_fills_the_input_that_has_blanks_in_its_name(tmp_path: Path) -> None:
    """Models of columns are called like the columns of the frame that they were trained on."""
    proto = people()
    for value in [*proto.graph.input, *proto.graph.node]:
        if isinstance(value, onnx.ValueInfoProto):
            value.name = f" {value.name}" if value.name == "hours" else value.name
        else:
            value.input[:] = [f" {n}" if n == "hours" else n for n in value.input]
    path = tmp_path / "people.csv"
    path.write_text("age, hours,job\n30,40,pilot\n")
    spoken = explain_dataset(proto, path, tmp_path / "out")
    path.write_text("age,hours,job\n30,40,pilot\n")
    plain = explain_dataset(people(), path, tmp_path / "plain")
    np.testing.assert_equal(
        *([r["relevance/hours"] for r in made.read().to_pylist()] for made in (spoken, plain))
    )
    assert any("without the blanks of ' hours'" in note for note in spoken.notes)
