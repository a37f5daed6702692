"""Means over a data set, against plain NumPy over explanations of single rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import numpy_helper

import backtrace_onnx as bt
from backtrace_onnx import Explainer, InputError, RequestError, explain_dataset, global_explanation
from tests.graphs import FLOAT, mlp, model, node, normal
from tests.results.test_modules import residual_net
from tests.text.made import classifier, word_pieces

FEATURES = ("a", "b", "c", "d")
ROWS = 60


@pytest.fixture
def here(tmp_path: Path) -> Path:
    onnx.save(mlp(), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    who = ["f", "m", ""]
    lines = [",".join(map(str, (*row, who[i % 3], i % 2))) for i, row in enumerate(x)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c,d,who,right", *lines]))
    table = {"kind": "table", "features": [{"name": name} for name in FEATURES]}
    (tmp_path / "m.sidecar.json").write_text(json.dumps({"inputs": {"x": table}}))
    return tmp_path


def explained(here: Path, **options: Any) -> bt.GlobalExplanation:
    options = {
        "mode": "epsilon(absolute=1e-6)",
        "labels": "right",
        "by": ["class", "who", "right"],
        **options,
    }
    return global_explanation(here / "m.onnx", here / "x.csv", **options)


def sizes(rows: Any) -> Any:
    """[rows, 1]: what rows are divided by; those of no relevance have shares of 0."""
    return np.where(rows > 0, rows, 1)[:, None]


def plain(here: Path, mode: str = "epsilon(absolute=1e-6)") -> tuple[Any, Any, Any, Any]:
    """Relevance, start, answers and who, row by row."""
    lines = [line.split(",") for line in (here / "x.csv").read_text().splitlines()[1:]]
    explainer, found = Explainer(here / "m.onnx"), []
    for line in lines:
        x = np.array([line[:4]], np.float32)
        made = explainer.explain(x, mode=mode)
        start = np.abs(made.ledger.total().start).sum()
        found.append((made.relevance["x"][0].astype(float), start, int(made.outputs["y"].argmax())))
    relevance, start, answers = (np.array(part) for part in zip(*found, strict=True))
    return relevance, start, answers, np.array([line[4] for line in lines])


@pytest.mark.parametrize("mode", ["epsilon(absolute=1e-6)", "default", "contrastive"])
@pytest.mark.parametrize("share", ["inputs", "start"])
def test_means_are_those_of_single_rows(share: str, mode: str, here: Path) -> None:
    made = explained(here, share=share, mode=mode)
    relevance, start, answers, who = plain(here, mode)
    shares = relevance / sizes(np.abs(relevance).sum(1) if share == "inputs" else start)
    groups = {(b, v): rows for b, v, rows in _slices(answers, who)}
    assert {(one.by, one.value) for one in made.slices} == groups.keys()
    for one in (made.whole, *made.slices):
        rows = shares[groups[one.by, one.value]] if one.by else shares
        assert one.rows == len(rows)
        assert {mean.name for mean in one.features} == set(FEATURES)
        for mean in one.features:
            own = rows[:, FEATURES.index(mean.name)]
            np.testing.assert_allclose(mean.mean_abs, np.abs(own).mean(), rtol=1e-6)
            np.testing.assert_allclose(mean.mean, own.mean(), rtol=1e-5, atol=1e-8)
        order = [mean.mean_abs for mean in one.features]
        assert order == sorted(order, reverse=True)


def _slices(answers: Any, who: Any) -> Any:
    for answer in np.unique(answers):
        yield "class", str(answer), answers == answer
    for value in ("f", "m", ""):
        yield "who", value or None, who == value
    for right in ("0", "1"):
        yield "right", right, np.arange(ROWS) % 2 == int(right)


def test_they_are_the_same_to_the_last_bit_in_every_batch_and_from_results(here: Path) -> None:
    made = explained(here).record()
    for batch in (1, 7, ROWS):
        assert explained(here, batch=batch).record() == made
    options: dict[str, Any] = {"mode": "epsilon(absolute=1e-6)", "labels": "right", "groups": "who"}
    done = explain_dataset(here / "m.onnx", here / "x.csv", here / "out", batch=9, **options)
    by = ["class", "who", "right"]
    for results in (done, here / "out", str(here / "out"), list(done.tables()), done.read()):
        assert global_explanation(results, by=by).record() == made
    other = explained(here, seed=1).record()
    assert other["slices"][0]["features"][0]["mean"] == made["slices"][0]["features"][0]["mean"]
    assert other != made


def test_intervals_are_those_of_scipy(here: Path) -> None:
    stats = pytest.importorskip("scipy.stats")
    made = explained(here, resamples=4000)
    relevance, *_ = plain(here)
    shares = relevance / sizes(np.abs(relevance).sum(1))
    for mean in made.features:
        own = shares[:, FEATURES.index(mean.name)]
        for values, interval in (
            (own, mean.mean_interval),
            (np.abs(own), mean.mean_abs_interval),
        ):
            wanted = stats.bootstrap(
                (values,), np.mean, n_resamples=4000, method="percentile", rng=0
            ).confidence_interval
            width = wanted.high - wanted.low
            assert interval is not None
            np.testing.assert_allclose(interval, (wanted.low, wanted.high), atol=0.12 * width)


def test_groups_of_features_are_told_of_as_one(here: Path) -> None:
    made = explained(here, groups={"first": ["a", "b"], "third": ["c*"]})
    relevance, *_ = plain(here)
    shares = relevance / sizes(np.abs(relevance).sum(1))
    sums = {"first": shares[:, :2].sum(1), "third": shares[:, 2], "the rest": shares[:, 3]}
    assert {mean.name for mean in made.whole.groups} == sums.keys()
    for mean in made.whole.groups:
        np.testing.assert_allclose(mean.mean, sums[mean.name].mean(), rtol=1e-5)
        np.testing.assert_allclose(mean.mean_abs, np.abs(sums[mean.name]).mean(), rtol=1e-6)
    for groups, what in (
        ({"first": ["aa"]}, "no feature is called 'aa'"),
        ({"one": ["a"], "two": ["a", "b"]}, "groups 'one' and 'two' both hold 'a'"),
        ({"one": "a"}, "give a list of features"),
    ):
        with pytest.raises(RequestError, match=what):
            explained(here, groups=groups)


def test_modules_are_told_of_in_parts_of_the_start(tmp_path: Path) -> None:
    onnx.save(residual_net(), tmp_path / "net.onnx")
    x = normal(20, 4, seed=9)
    np.save(tmp_path / "x.npy", x)
    made = global_explanation(
        tmp_path / "net.onnx", tmp_path / "x.npy", modules=True, mode="epsilon(absolute=1e-6)"
    )
    explanation = Explainer(tmp_path / "net.onnx").explain(x, mode="epsilon(absolute=1e-6)")
    start = np.abs(explanation.ledger.total().start[0])
    found = {mean.name: mean for mean in made.whole.modules}
    assert found.keys() == explanation.modules().keys() - {""}
    for path, mean in found.items():
        own = explanation.modules()[path].incoming[0] / start
        np.testing.assert_allclose(mean.mean, own.mean(), rtol=1e-5)
        np.testing.assert_allclose(mean.mean_abs, np.abs(own).mean(), rtol=1e-5)
    assert found["head"].mean_abs == pytest.approx(1)
    assert [m.name for m in made.features] == sorted(
        (f"x[{i}]" for i in range(4)), key=lambda n: -found_abs(explanation, n)
    )
    with pytest.raises(RequestError, match="does not tell the modules"):
        onnx.save(mlp(), tmp_path / "bare.onnx")
        global_explanation(tmp_path / "bare.onnx", tmp_path / "x.npy", modules=True)


def found_abs(explanation: bt.Explanation, name: str) -> float:
    relevance = explanation.relevance["x"].astype(float)
    shares = np.abs(relevance) / np.abs(relevance).sum(1, keepdims=True)
    return float(shares[:, int(name[2])].mean())


def picture_net() -> onnx.ModelProto:
    return model(
        [
            node("Conv", ["x", "w"], ["h"], "conv"),
            node("Relu", ["h"], ["a"], "relu"),
            node("ReduceMean", ["a", "axes"], ["y"], "mean", keepdims=0),
        ],
        {"x": (FLOAT, ["n", 3, 12, 10])},
        {"y": (FLOAT, ["n", 2])},
        {"w": normal(2, 3, 3, 3), "axes": np.array([2, 3])},
    )


def test_pictures_have_squares_and_mean_maps(tmp_path: Path) -> None:
    onnx.save(picture_net(), tmp_path / "p.onnx")
    pixels = np.random.default_rng(1).random((9, 3, 12, 10), np.float32)
    np.save(tmp_path / "x.npy", pixels)
    made = global_explanation(
        tmp_path / "p.onnx", tmp_path / "x.npy", mode="epsilon(absolute=1e-6)", by="class", batch=4
    )
    relevance = (
        Explainer(tmp_path / "p.onnx").explain(pixels, mode="epsilon(absolute=1e-6)").relevance["x"]
    )
    square = relevance.astype(float).sum(1).reshape(9, 6, 2, 5, 2).sum((2, 4))
    total = np.abs(square).sum((1, 2))
    by_name = {mean.name: mean.mean for mean in made.features}
    assert len(by_name) == 30
    wanted = (square / total[:, None, None]).mean(0)
    np.testing.assert_allclose(by_name["x[2:4, 8:10]"], wanted[1, 4], rtol=1e-4, atol=1e-7)
    summed = relevance.astype(float).sum(1) / total[:, None, None]
    np.testing.assert_allclose(made.whole.maps["x"].mean, summed.mean(0), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(made.whole.maps["x"].mean_abs, np.abs(summed).mean(0), rtol=1e-5)
    assert sum(one.rows for one in made.slices) == 9
    files = {path.name for path in made.plot(tmp_path / "out")}
    assert {"features.png", "map-x.png", "heatmap.png", "by-class.png"} <= files


def test_words_of_a_corpus(tmp_path: Path) -> None:
    onnx.save(classifier(), tmp_path / "t.onnx")
    texts = ["a good film", "bad !", "films badly good good", "good", "a bad film"] * 3
    (tmp_path / "x.txt").write_text("\n".join(texts))
    explain = {"tokenizer": word_pieces(tmp_path), "mode": "epsilon(absolute=1e-6)"}
    made = global_explanation(tmp_path / "t.onnx", tmp_path / "x.txt", **explain)  # type: ignore[arg-type]
    table = bt.ExplainBatches(tmp_path / "t.onnx", **explain)({"text": texts})  # type: ignore[arg-type]
    shares = []
    lists = (table[name].to_pylist() for name in ("tokens/input_ids", "relevance/input_ids"))
    types = table["relevance/token_type_ids"].to_pylist()  # which has relevance here
    for words, r, beside in zip(*lists, types, strict=True):
        own = [x for word, x in zip(words, r, strict=True) if word.strip() == "good"]
        shares += [sum(own) / (np.abs(r).sum() + abs(sum(beside)))] if own else []
    found = {word.word: word for word in made.whole.words["input_ids"]}
    assert found["good"].rows == len(shares) == 9
    assert found["good"].mean == pytest.approx(np.mean(shares), rel=1e-5)
    spread = 1.959964 * np.std(shares, ddof=1) / 3
    low, high = found["good"].interval
    assert (high - low) / 2 == pytest.approx(spread, rel=1e-4)
    assert "films" not in found or found["films"].rows == 3
    assert [mean.name for mean in made.features] == ["token_type_ids"]
    assert "words-input_ids.png" in [path.name for path in made.plot(tmp_path / "out")]


def test_few_rows_are_told_with_care(here: Path) -> None:
    lines = (here / "x.csv").read_text().splitlines()
    (here / "x.csv").write_text("\n".join(lines[:2]))
    one = explained(here)
    assert one.rows == 1
    assert all(mean.mean_interval is None and mean.rank == (1, 4) for mean in one.features)
    assert all(len(mean.tied) == 3 for mean in one.features)
    assert any("intervals of 1 row(s) are rough" in note for note in one.notes)
    (here / "x.csv").write_text(lines[0])
    none = explained(here)
    assert (none.rows, none.features, none.slices) == (0, (), ())
    assert none.plot(here / "pictures") == []
    (here / "x.csv").write_text("\n".join(lines[:1] + ["0,0,0,0,f,1"] * 3))
    idle = explained(here, mode="gradient_x_input")
    assert idle.whole.idle == 3 and idle.features[0].mean_abs == 0
    assert any("no relevance at all" in note for note in idle.notes)
    idle.plot(here / "pictures")


def test_what_is_refused(here: Path) -> None:
    for options, what in (
        ({"by": "wh"}, "has no column 'wh'"),
        ({"share": "rows"}, "share is inputs or start"),
        ({"resamples": 5}, "resamples is a number from 100 to 20000, not 5"),
        ({"drawn": 10_000_000}, "drawn is a number from 0 to 20000"),
        ({"confidence": 95}, "confidence lies between 0 and 1"),
        ({"by": "a"}, "'a' has more than 50 values"),
    ):
        with pytest.raises((RequestError, InputError), match=what):
            explained(here, **options)
    with pytest.raises(RequestError, match="is no folder of results"):
        global_explanation(here)
    with pytest.raises(RequestError, match="mode: options of explaining do not go with results"):
        global_explanation(here, mode="lrp")
    with pytest.raises(
        RequestError, match=r"cannot be told apart by 'x'.*'class' is what they were"
    ):
        global_explanation(explained_results(here), by="x")
    with pytest.raises(RequestError, match="there is no slice who = x; there are: class = "):
        explained(here).slice("who", "x")
    assert explained(here).slice("who", None).rows == 20


def explained_results(here: Path) -> pa.Table:
    return bt.ExplainBatches(here / "m.onnx")({name: [1.0, 2.0] for name in FEATURES})


def test_bad_rows_are_counted_and_a_run_that_stopped_is_told_of(here: Path) -> None:
    lines = (here / "x.csv").read_text().splitlines()
    lines[3] = "1,2,x,4,f,1"
    (here / "x.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"x\.csv: line 4, column 'c'"):
        explained(here)
    made = explained(here, skip_bad=True)
    assert (made.rows, made.skipped) == (ROWS - 1, 1)
    out = here / "out"
    explain_dataset(here / "m.onnx", here / "x.csv", out, skip_bad=True, ids="who", labels="right")
    assert global_explanation(out, by="who").skipped == 1
    text = (out / "_manifest.json").read_text()
    (out / "_manifest.json").write_text(text.replace('"complete": true', '"complete": false'))
    assert any("has not finished" in note for note in global_explanation(out).notes)


def test_values_are_kept_for_the_pictures_of_rows(here: Path) -> None:
    made = explained(here, drawn=20)
    drawn = made.drawn
    assert drawn.shares.shape == (20, 4) and len(set(drawn.rows.tolist())) == 20
    lines = [line.split(",") for line in (here / "x.csv").read_text().splitlines()[1:]]
    wanted = np.array([lines[i][:4] for i in drawn.rows], np.float32)
    for i, name in enumerate(FEATURES):
        np.testing.assert_allclose(drawn.values[name], wanted[:, i], atol=1e-6)
    files = [path.name for path in made.plot(here / "pictures", features=3)]
    assert files == [
        "features.png",
        "by-class.png",
        "by-who.png",
        "by-right.png",
        "beeswarm.png",
        "heatmap.png",
        "dependence.png",
    ]
    assert explained(here, drawn=0).drawn.features == ()


def test_the_table_holds_what_the_record_holds(here: Path) -> None:
    made = explained(here, groups={"first": ["a", "b"]})
    rows = made.table().to_pylist()
    assert len(rows) == (1 + len(made.slices)) * (4 + 2)
    first = made.features[0]
    assert rows[0]["name"] == first.name and rows[0]["mean_abs"] == first.mean_abs
    assert (rows[0]["rank_best"], rows[0]["rank_worst"]) == first.rank


def test_a_data_set_of_one_class_has_one_slice(here: Path) -> None:
    net = mlp()
    (bias,) = (tensor for tensor in net.graph.initializer if tensor.name == "v")
    weights = np.zeros((5, 3), np.float32)
    weights[:, 1] = 1
    bias.CopyFrom(numpy_helper.from_array(weights, "v"))
    onnx.save(net, here / "m.onnx")
    made = explained(here, by="class", mode="default")
    answers = {one.value: one.rows for one in made.slices}
    assert answers.keys() <= {"0", "1"} and sum(answers.values()) == ROWS
    assert made.slice("class", "1").features == made.slices[-1].features
