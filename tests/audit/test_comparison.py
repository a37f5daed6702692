"""What reasons compare with where nobody says it, by hand on linear models and small trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import helper

from backtrace_onnx import RequestError, explain_dataset
from backtrace_onnx.audit.comparison import find_comparison
from backtrace_onnx.audit.reason_columns import ReasonColumns
from backtrace_onnx.audit.reason_texts import ReasonTexts
from backtrace_onnx.audit.reasons import find_reasons
from tests.audit.audited import linear, one, subject, write_model, write_rows

WEIGHTS = np.array([3.0, 2.0, 1.0, 0.0])
REASONS = """
outcome = "yes"
count = 4
everyone = true
[[reasons]]
code = "A"
text = "a is low"
features = ["a"]
direction = "low"
[[reasons]]
code = "B"
text = "b is high"
features = ["b"]
direction = "high"
[[reasons]]
code = "C"
text = "c"
features = ["c"]
"""
FAR = np.array([[11.0, 9.0, 10.5, 10.0], [9.5, 11.0, 9.0, 10.0], [9.0, 10.5, 12.0, 10.0]])
"""Rows far from zero, so that every sum is: nothing is negative there."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, linear([(0.0, w) for w in WEIGHTS]))
    write(tmp_path / "far.csv", FAR)
    (tmp_path / "reasons.toml").write_text(REASONS)
    return tmp_path


def write(path: Path, rows: Any) -> Path:
    lines = [",".join(map(str, row)) for row in np.asarray(rows).tolist()]
    path.write_text("\n".join(["a,b,c,leak", *lines, ""]))
    return path


def with_means(folder: Path, columns: Any) -> None:
    about = json.loads((folder / "net.sidecar.json").read_text())
    about["inputs"]["x"]["features"] = columns
    (folder / "net.sidecar.json").write_text(json.dumps(about))


def texts() -> ReasonTexts:
    import tomllib

    return ReasonTexts.model_validate(tomllib.loads(REASONS))


def given(own: Any) -> list[dict[str, float]]:
    return [{r.code: r.relevance for r in found.reasons} for found in find_reasons(own, texts())]


def by_hand(rows: Any, baseline: Any) -> list[dict[str, float]]:
    """Value minus baseline, times weight, where it is negative and the direction is right."""
    parts = (np.asarray(rows) - baseline) * WEIGHTS
    low = np.asarray(rows) < baseline
    fits = np.array([low[:, 0], ~low[:, 1], np.ones(len(rows), bool)]).T
    return [
        {c: v for c, v, ok in zip("ABC", row, fit, strict=False) if v < 0 and ok}
        for row, fit in zip(parts, fits, strict=True)
    ]


def same(found: list[dict[str, float]], wanted: list[dict[str, float]]) -> None:
    assert [sorted(one) for one in found] == [sorted(one) for one in wanted]
    for one_, other in zip(found, wanted, strict=True):
        for code, value in other.items():
            assert one_[code] == pytest.approx(value, rel=1e-4)


def test_a_table_compares_with_the_mean_of_its_rows(folder: Path) -> None:
    own = subject(folder / "net.onnx", folder / "far.csv", mode="auto")
    same(given(own), by_hand(FAR, FAR.mean(0)))
    assert any(given(own))
    comparison = find_comparison(own)
    assert "compare with the mean of the 3 rows" in comparison.told and not comparison.warning
    np.testing.assert_allclose(comparison.usual, FAR.mean(0))
    zero = subject(folder / "net.onnx", folder / "far.csv", mode="lrp")
    assert given(zero) == [{}, {}, {}]  # counted from zero, nothing speaks against it
    told = find_comparison(zero)
    assert told.warning and "mode lrp compares with nothing" in told.told
    assert "low and high are beside the median of the 3 rows" in told.told


def test_missing_numbers_are_no_part_of_the_mean(folder: Path) -> None:
    own = subject(folder / "net.onnx", folder / "far.csv", mode="auto")
    own.data.feeds["x"][0, 2] = np.nan
    own.explain = lambda *_, **__: None  # type: ignore[assignment, method-assign]
    own.settings = own.settings.model_copy(update={"mode": "deeplift"})
    found = find_comparison(own).options["baseline"]["x"]
    assert found[2] == pytest.approx((9.0 + 12.0) / 2)


def test_the_sidecar_s_means_stand_before_those_of_the_rows(folder: Path) -> None:
    """A row alone then gets what it gets among others."""
    means, std = np.array([10.0, 10.0, 10.0, 10.0]), np.array([2.0, 1.0, 4.0, 1.0])
    columns = [{"name": n, "mean": m, "std": s} for n, m, s in zip("abc", means, std, strict=False)]
    with_means(folder, [*columns, {"name": "leak", "mean": 10, "std": 1}])
    own = subject(folder / "net.onnx", folder / "far.csv", mode="auto")
    scaled = (FAR - means) / std
    same(given(own), by_hand(scaled, 0))
    assert "the sidecar's means, and all categories alike" in find_comparison(own).told
    for i, row in enumerate(FAR):
        alone = subject(folder / "net.onnx", write(folder / "one.csv", [row]), mode="auto")
        assert given(alone) == [given(own)[i]]
    with_means(folder, [*columns, {"name": "leak"}])  # does not tell all
    partly = subject(folder / "net.onnx", folder / "far.csv", mode="auto")
    assert "mean of the 3 rows" in find_comparison(partly).told


def test_categories_are_compared_with_all_alike(folder: Path) -> None:
    kinds = {"name": "kind", "categories": ["u", "v", "w"]}
    with_means(folder, [kinds, {"name": "c", "mean": 5, "std": 2}])
    (folder / "kinds.csv").write_text("kind,c\nu,7\nv,5\nw,1\n")
    own = subject(folder / "net.onnx", folder / "kinds.csv", mode="auto")
    comparison = find_comparison(own)
    np.testing.assert_allclose(comparison.options["baseline"]["x"], [1 / 3, 1 / 3, 1 / 3, 0])
    assert np.isnan(comparison.usual[0]) and comparison.usual[1] == 0
    wanted = [(3 - 6 / 3), (2 - 6 / 3), (1 - 6 / 3)]
    relevance = comparison.asked(own).explain(own.data.feeds, np.ones(3, np.int64)).features
    np.testing.assert_allclose(relevance[:, 0], wanted, atol=1e-5)


def test_low_and_high_are_beside_what_is_given(folder: Path) -> None:
    """The background's rows, their mean, and a baseline; not the rows that are explained."""
    own = subject(folder / "net.onnx", folder / "far.csv", mode="auto")
    back = np.array([[0.0, 0, 0, 0], [20, 20, 20, 20], [12, 9, 10, 10]], np.float32)
    own.compared = {"background": back}
    np.testing.assert_allclose(find_comparison(own).usual, [12, 9, 10, 10])
    assert "3 rows of the background" in find_comparison(own).told
    own.settings = own.settings.model_copy(update={"mode": "deeplift"})
    np.testing.assert_allclose(find_comparison(own).usual, back.mean(0), rtol=1e-6)
    own.compared = {"baseline": back[1]}
    np.testing.assert_allclose(find_comparison(own).usual, back[1])
    same(given(own), by_hand(FAR, back[1]))
    own.compared = {"background": back}
    own.settings = own.settings.model_copy(update={"mode": "expected_gradients"})
    np.testing.assert_allclose(find_comparison(own).usual, [12, 9, 10, 10])


def test_a_row_alone_is_refused_where_nothing_is_there(run: Any, folder: Path) -> None:
    alone = write(folder / "one.csv", FAR[:1])
    with pytest.raises(RequestError, match="a row alone has nothing: give a background"):
        find_comparison(subject(folder / "net.onnx", alone, mode="auto"))
    how = ("explain", folder / "net.onnx", alone, "--reasons", folder / "reasons.toml")
    code, _, err = run(*how)
    assert code == 2 and "a row alone has nothing" in err
    code, out, _ = run(*how, "--background", folder / "far.csv", "--json")
    (found,) = json.loads(out)["samples"]
    assert code == 0 and "3 rows of the background" in " ".join(found["notes"])
    code, out, _ = run(*how, "--mode", "lrp", "--json")
    (found,) = json.loads(out)["samples"]
    assert code == 0 and "lrp compares with nothing" in " ".join(found["notes"])


def test_modes_that_are_named_without_a_baseline_get_it(folder: Path) -> None:
    for mode in ("deeplift", "integrated_gradients"):
        same(
            given(subject(folder / "net.onnx", folder / "far.csv", mode=mode)),
            by_hand(FAR, FAR.mean(0)),
        )


def test_explain_a_data_set_and_an_audit_compare_alike(run: Any, folder: Path) -> None:
    """Relevance and reasons are those of one comparison, in batches and by Python, too."""
    reasons = folder / "reasons.toml"
    code, out, _ = run(
        "explain", folder / "net.onnx", folder / "far.csv", "--reasons", reasons, "--json"
    )
    assert code == 0
    samples = json.loads(out)["samples"]
    told = [[r["code"] for r in sample["reasons"]["given"]] for sample in samples]
    made = explain_dataset(
        *(folder / "net.onnx", folder / "far.csv", folder / "python"),
        batch=2,
        more=ReasonColumns(reasons),
    )
    rows = made.read().to_pylist()
    assert [[row[f"reason/{i}"] for i in range(1, 5) if row[f"reason/{i}"]] for row in rows] == told
    assert any("mean of the 3 rows" in note for note in made.notes)
    np.testing.assert_allclose(
        [row["relevance/a"] for row in rows], (FAR - FAR.mean(0))[:, 0] * 3, rtol=1e-5
    )
    code, out, _ = run(
        *("explain-dataset", folder / "net.onnx", folder / "far.csv"),
        *("--out", folder / "typed", "--reasons", reasons),
    )
    assert code == 0 and "note: reasons, and what is low or high, compare with the mean" in out
    import pyarrow.parquet as pq

    table: pa.Table = pq.read_table(folder / "typed" / "part-00000.parquet")
    assert table.drop_columns(["notes"]).equals(made.read().drop_columns(["notes"]))
    low = write_rows(folder, 20)
    found = one("reason-codes", folder / "net.onnx", low, mode="auto", reasons=str(reasons))
    assert "mean of the 20 rows" in found.evidence["compared"]


def test_a_data_set_in_the_mode_that_is_named_says_that_it_counts_from_zero(folder: Path) -> None:
    made = explain_dataset(
        *(folder / "net.onnx", folder / "far.csv", folder / "out"),
        mode="lrp",
        more=ReasonColumns(folder / "reasons.toml"),
    )
    assert any("mode lrp compares with nothing" in note for note in made.notes)


def test_trees_compare_with_rows(tmp_path: Path) -> None:
    """One split of a at 0.5: against rows of which a half is below, 10 or 0 is 5 more or less."""
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[0.0, 10.0],
    )
    graph = helper.make_graph(
        [trees],
        "trees",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "trees.onnx"
    )
    np.save(tmp_path / "x.npy", np.array([[0, 1], [1, 2], [0, 3], [1, 4]], np.float32))
    own = subject(tmp_path / "trees.onnx", tmp_path / "x.npy", mode="auto")
    comparison = find_comparison(own)
    assert "compare with 4 of the 4 rows, each by itself" in comparison.told
    np.testing.assert_allclose(comparison.usual, [0.5, 2.5])
    found = comparison.asked(own).explain(own.data.feeds)
    assert found.first.mode == "shap"
    np.testing.assert_allclose(found.features, [[-5, 0], [5, 0], [-5, 0], [5, 0]], atol=1e-6)
    rows = write_rows(tmp_path, 30)
    net = write_model(tmp_path, linear())
    zero = find_comparison(subject(net, rows, mode="paths"))
    assert zero.warning  # of a network they count from zero
