"""Batches of any library, explained row by row, here and wherever the object is sent."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest

from backtrace_onnx import ExplainBatches, Explainer, InputError, RequestError
from backtrace_onnx.data.given_batches import as_block
from backtrace_onnx.inputs.sidecar import Sidecar
from tests.column_models import people
from tests.graphs import FLOAT, mlp, model, node, normal
from tests.text.made import classifier, word_pieces

ADULT = Path("models/adult_mlp.onnx")
X = np.random.default_rng(3).standard_normal((7, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def adults() -> pd.DataFrame:
    return pd.read_csv("models/samples/adult.csv")


def frames(frame: pd.DataFrame) -> dict[str, Any]:
    import polars as pl

    table = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "arrow": table,
        "record batch": table.to_batches()[0],
        "pandas": frame,
        "polars": pl.from_pandas(frame),
        "arrays": {name: column.to_numpy() for name, column in frame.items()},
        "lists": frame.to_dict("list"),
    }


def test_every_kind_of_batch_gets_the_same_table(adults: pd.DataFrame) -> None:
    explain = ExplainBatches(ADULT, labels="loan", groups=["gender"])
    found = {kind: explain(batch) for kind, batch in frames(adults).items()}
    first = found.pop("arrow")
    assert [kind for kind, table in found.items() if not table.equals(first)] == []
    assert first["label/loan"].to_pylist() == adults["loan"].tolist()
    assert first["group/gender"].to_pylist() == adults["gender"].tolist()


def test_the_columns_are_what_the_explainer_says(adults: pd.DataFrame) -> None:
    sidecar = Sidecar.beside(ADULT)
    assert sidecar is not None
    table = ExplainBatches(ADULT, labels="loan", mode="epsilon(absolute=1e-6)")(adults)
    features = sidecar.encode("features", adults)
    made = Explainer(ADULT).explain(features, mode="epsilon(absolute=1e-6)", sidecar=sidecar)
    for feature, slots in sidecar.inputs["features"].columns():  # type: ignore[union-attr]
        wanted = made.relevance["features"][:, slots].astype(np.float64).sum(1)
        np.testing.assert_allclose(table[f"relevance/{feature.name}"], wanted, rtol=1e-12)
    logits, rows = made.outputs["logits"], np.arange(len(adults))
    assert table["prediction"].to_pylist() == logits.argmax(1).tolist()
    assert made.target is not None and table["target"].to_pylist() == made.target.tolist()
    labels = sidecar.outputs["logits"].labels
    assert table["target_label"].to_pylist() == [labels[i] for i in made.target]
    np.testing.assert_array_equal(table["target_value"], logits[rows, made.target])
    total = made.ledger.total()
    np.testing.assert_array_equal(table["ledger/start"], total.start[0])
    np.testing.assert_array_equal(table["ledger/constants"], total.constants[0])


@pytest.mark.parametrize("mode", ["default", "contrastive", "lrp"])
def test_a_row_gets_what_it_gets_alone(mode: str, adults: pd.DataFrame) -> None:
    whole = ExplainBatches(ADULT, labels="loan", mode=mode)(adults)
    cut = ExplainBatches(ADULT, labels="loan", mode=mode, batch=2)
    assert cut(adults).equals(whole)
    alone = pa.concat_tables(cut(adults[i : i + 1]) for i in range(len(adults)))
    assert alone.equals(whole)
    assert ("positive/age" in whole.column_names) == (mode == "contrastive")


def test_a_pickled_one_explains_alike_and_takes_no_session_along(adults: pd.DataFrame) -> None:
    explain = ExplainBatches(ADULT, labels="loan")
    before = pickle.dumps(explain)
    table = explain(adults)
    assert len(pickle.dumps(explain)) == len(before) < 2000
    assert pickle.loads(before)(adults).equals(table)
    assert ExplainBatches(onnx.load(ADULT), sidecar="models/adult_mlp.sidecar.json", labels="loan")(
        adults
    ).equals(table)


def test_no_rows_have_the_same_columns(adults: pd.DataFrame) -> None:
    explain = ExplainBatches(ADULT, labels="loan")
    nothing = explain(pa.Table.from_pandas(adults, preserve_index=False).slice(0, 0))
    assert nothing.num_rows == 0
    assert nothing.schema == explain(adults).schema


def test_arrays_become_lists() -> None:
    explain = ExplainBatches(mlp(), ids="name", mode="epsilon(absolute=1e-6)")
    batch = {"name": list("abcdefg"), "x": X}
    table = explain(batch)
    made = Explainer(mlp()).explain(X, mode="epsilon(absolute=1e-6)")
    np.testing.assert_array_equal(np.array(table["relevance/x"].to_pylist()), made.relevance["x"])
    assert table["id/name"].to_pylist() == list("abcdefg")
    lists = pa.table({"x": X.tolist(), "name": batch["name"]}).cast(
        pa.schema({"x": pa.list_(pa.float32()), "name": pa.string()})
    )
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
    frame = pd.DataFrame({"x": list(X), "name": batch["name"]})
    for other in (lists, lists.set_column(0, "x", tensors), frame, frame.to_dict("list")):
        assert explain(other).equals(table)


def test_pictures_keep_their_shape_and_fixed_batches_are_filled() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["h"], "conv"),
            node("ReduceMean", ["h", "axes"], ["y"], keepdims=0),
        ],
        {"x": (FLOAT, [2, 1, 4, 4])},
        {"y": (FLOAT, [2, 3])},
        {"w": normal(3, 1, 3, 3), "axes": np.array([2, 3])},
    )
    pixels = np.random.default_rng(0).random((5, 4, 4), np.float32)
    table = ExplainBatches(graph)({"x": pixels})
    found = np.array(table["relevance/x"].to_pylist(), np.float32)
    assert found.shape == (5, 1, 4, 4)
    pair = Explainer(graph).explain(pixels[[4, 4]][:, None])
    np.testing.assert_array_equal(found[4], pair.relevance["x"][0])


def test_columns_of_a_model_with_an_input_each() -> None:
    rows = pd.DataFrame(
        {"age": [30, 41.5], "hours": [40, 20], "job": ["pilot", "cook"], "n": [1, 2]}
    )
    table = ExplainBatches(
        people(), ids="n", groups="job", target=0, mode="epsilon(absolute=1e-6)"
    )(rows)
    assert table["group/job"].to_pylist() == ["pilot", "cook"]  # a group, and an input as well
    np.testing.assert_allclose(table["relevance/job"], [0.3, 1.0], rtol=1e-3)
    np.testing.assert_allclose(table["relevance/age"], [15, 20.75], rtol=1e-3)


def test_texts_are_cut_to_their_own_tokens(tmp_path: Path) -> None:
    texts = ["a good film", "bad !", "films badly good good"]
    explain = ExplainBatches(
        classifier(), tokenizer=word_pieces(tmp_path), ids="n", mode="epsilon(absolute=1e-6)"
    )
    table = explain({"text": texts, "n": [1, 2, 3]})
    assert table["tokens/input_ids"].to_pylist()[1] == ["[CLS]", "bad", " !", "[SEP]"]
    alone = Explainer(classifier()).explain(
        texts[1], tokenizer=word_pieces(tmp_path), mode="epsilon(absolute=1e-6)"
    )
    found = table["relevance/input_ids"].to_pylist()
    assert [len(row) for row in found] == [5, 4, 8]
    np.testing.assert_allclose(found[1], alone.relevance["input_ids"][0], rtol=1e-5)
    with pytest.raises(InputError, match=r"the batch: row 2: None is no text"):
        explain({"text": ["good", None], "n": [1, 2]})


def test_signatures_of_other_engines(adults: pd.DataFrame) -> None:
    """Ray: batch to table. Spark: frames to frames. Dask: one frame. datasets: lists."""
    explain = ExplainBatches(ADULT, labels="loan")
    table = explain(adults)

    def ray(fn: Any, batch: dict[str, Any]) -> Any:
        return fn(batch)

    assert ray(explain, frames(adults)["arrays"]).equals(table)
    pandas = ExplainBatches(ADULT, labels="loan", returns="pandas")

    def spark(fn: Any, parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield from fn(parts)

    parts = list(spark(pandas, iter([adults[:2], adults[2:]])))
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), table.to_pandas())
    empty = pandas(adults[:0])
    assert list(empty.columns) == table.column_names and not len(empty)
    lists = ExplainBatches(ADULT, labels="loan", returns="dict")(adults.to_dict("list"))
    assert lists == table.to_pydict()


def test_what_does_not_go(adults: pd.DataFrame) -> None:
    with pytest.raises(RequestError, match=r"targets does not go with data sets"):
        ExplainBatches(ADULT, targets="all")
    with pytest.raises(RequestError, match=r"returns is arrow, pandas or dict, not 'csv'"):
        ExplainBatches(ADULT, returns="csv")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"batch is a number of rows, at least 1, not 0"):
        ExplainBatches(ADULT, batch=0)
    with pytest.raises(InputError, match=r"has no column 'lone' \(did you mean: loan"):
        ExplainBatches(ADULT, labels="lone")(adults)
    with pytest.raises(InputError, match=r"is int; a batch is an Arrow table"):
        ExplainBatches(ADULT)(3)
    with pytest.raises(InputError, match=r"no input 'name'.*named as labels, ids or groups"):
        ExplainBatches(mlp())({"x": X, "name": X})
    with pytest.raises(InputError, match=r"column 'x' holds lists that are not all of one length"):
        ExplainBatches(mlp())(pa.table({"x": [[1.0, 2.0], [1.0]]}))
    wrong = adults.assign(age=["old"] * len(adults))
    with pytest.raises(InputError, match=r"the batch: row 1, column 'age': 'old' is not a number"):
        ExplainBatches(ADULT)(wrong)


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")
        return inner(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install 'backtrace-onnx\[data\]'"):
        ExplainBatches(mlp())({"x": X})


@pytest.mark.filterwarnings("ignore")
def test_with_dask_itself(adults: pd.DataFrame) -> None:
    dask = pytest.importorskip("dask.dataframe")
    explain = ExplainBatches(ADULT, labels="loan", returns="pandas")
    parts = dask.from_pandas(adults, npartitions=2)
    found = parts.map_partitions(explain, meta=explain(parts._meta)).compute(scheduler="sync")
    wanted = explain(adults)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), wanted, check_dtype=False)


@pytest.mark.filterwarnings("ignore")
def test_with_datasets_itself(adults: pd.DataFrame) -> None:
    datasets = pytest.importorskip("datasets")
    explain = ExplainBatches(ADULT, labels="loan", returns="dict")
    given = datasets.Dataset.from_pandas(adults)
    options = {"batched": True, "batch_size": 2, "remove_columns": given.column_names}
    found = given.map(explain, **options)
    assert found.to_pandas().equals(ExplainBatches(ADULT, labels="loan")(adults).to_pandas())


def test_what_auto_picked_is_a_note_of_all_rows() -> None:
    """Once for all batches, and nothing of the notes that rows have for themselves."""
    x = np.ones((5, 4), np.float32)
    block = as_block({"x": x})
    found = ExplainBatches(mlp(), mode="auto", batch=2).explain(block)
    assert [note.split(":")[0] for note in found.notes] == ["mode auto picked lrp"]
    assert all(found.notes[0] in notes for notes in found.table["notes"].to_pylist())
    assert ExplainBatches(mlp(), mode="lrp").explain(block).notes == ()


@pytest.mark.parametrize("batch", [0, -1, 2.5, True, "8"])
def test_a_batch_is_a_number_of_rows(batch: Any) -> None:
    with pytest.raises(RequestError, match="batch is a number of rows, at least 1"):
        ExplainBatches(ADULT, batch=batch)


def test_rows_at_once_are_as_many_as_the_size_of_the_model_allows() -> None:
    assert ExplainBatches(ADULT).batch == 4096
    assert 8 < ExplainBatches("models/mnist_cnn.onnx").batch < 1024
    assert ExplainBatches(ADULT, batch=3).batch == 3


def test_values_and_modules_are_kept_where_asked(adults: pd.DataFrame) -> None:
    table = ExplainBatches(
        ADULT, labels="loan", mode="epsilon(absolute=1e-6)", values=True, modules=True
    )(adults)
    assert table["value/age"].to_pylist() == adults["age"].tolist()
    assert table["value/occupation"].to_pylist() == [x.strip() for x in adults["occupation"]]
    received = table["module/fc3"].to_numpy()
    np.testing.assert_allclose(received, table["ledger/start"].to_numpy(), rtol=1e-6)
