"""Evaluations against metrics called by hand, of models of every kind of input and answer."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Evaluation, Explainer, InputError, RequestError, evaluate, metrics
from backtrace_onnx.evaluation.subject import EvaluatedModel, EvaluatedQuestion
from tests.column_models import JOBS, people
from tests.graphs import FLOAT, INT64, mlp, model, node, normal

W = normal(4, 3, seed=5)
X = normal(12, 4, seed=6)
SMALL: dict[str, Any] = {"sets": 20, "steps": 4}
RUN = """
import sys, time
from backtrace_onnx import evaluate
evaluate(sys.argv[1], sys.argv[2], out=sys.argv[3], modes=("lrp", "gradient", "random"), sets=20,
         steps=4, progress=lambda done, of: (print(done, flush=True), time.sleep(0.02)))
"""


def linear() -> onnx.ModelProto:
    return model(
        [node("MatMul", ["x", "w"], ["y"], "m")],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, ["N", 3])},
        {"w": W},
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    onnx.save(linear(), tmp_path / "linear.onnx")
    onnx.save(mlp(), tmp_path / "mlp.onnx")
    np.save(tmp_path / "x.npy", X)
    return tmp_path


def run(here: Path, name: str = "linear.onnx", **options: Any) -> Evaluation:
    given: dict[str, Any] = {"modes": ("gradient_x_input", "default", "random"), **SMALL}
    return evaluate(here / name, here / "x.npy", **(given | options))


def test_numbers_are_those_of_the_metrics(here: Path) -> None:
    asked = ("faithfulness-correlation", "faithfulness-estimate", "abpc", "insertion", "fidelity")
    made = run(here, metrics=(*asked, "complexity", "completeness"), replace="zeros")
    target = (X @ W).argmax(1)
    r = Explainer(linear()).explain(X, mode="gradient_x_input").relevance["x"]

    def predict(x: Any) -> Any:
        return x.astype(np.float64) @ W

    one = {"x": X, "relevance": r, "target": target}
    fidelity = metrics.fidelity(predict, **one, runs=2).difference
    wanted = {
        "faithfulness-correlation": metrics.faithfulness_correlation(predict, **one, runs=20),
        "faithfulness-estimate": metrics.faithfulness_estimate(predict, **one),
        "abpc": metrics.abpc(predict, **one, steps=4),
        "insertion": metrics.flip(predict, **one, steps=4, insertion=True).area,
        "fidelity": fidelity,
        "complexity": metrics.complexity(r),
        "completeness": np.abs(metrics.completeness(predict, **one)),
    }
    found = made["gradient_x_input"].estimates
    for name, values in wanted.items():
        estimate = found[name]
        assert estimate is not None and estimate.count == 12
        assert estimate.mean == pytest.approx(values.mean(), rel=1e-4, abs=1e-5), name
    assert made["gradient_x_input"].median_rank == 1
    assert made["random"].median_rank is None
    assert (made.rows, made.there) == (12, 12)


def test_rows_are_drawn(here: Path) -> None:
    made = run(here, rows=5, seed=3)
    assert made.rows == 5 and "5 of 12 rows, drawn with seed 3" in made.notes
    again = run(here, rows=5, seed=3)
    other = run(here, rows=5, seed=4)
    assert made.modes[0].estimates == again.modes[0].estimates != other.modes[0].estimates


def test_one_name_is_one_and_all_rows_are_a_word(here: Path) -> None:
    made = run(here, modes="lrp", metrics="complexity", rows="all", out=here / "out")
    assert [mode.mode for mode in made.modes] == ["lrp"] and made.rows == 12
    assert [metric.name for metric in made.metrics] == ["complexity"]
    again = run(here, modes=["lrp"], metrics=["complexity"], rows=None, out=here / "out")
    assert again.kept == 12  # the same evaluation, in other words
    with pytest.raises(RequestError, match=r"mode 'nope' was not measured; those that were: lrp"):
        made["nope"]


@pytest.mark.parametrize("kind", ["array", "dict", "frame"])
def test_rows_that_are_given_are_those_of_a_file(here: Path, kind: str) -> None:
    how: Any = {"modes": ("lrp", "random"), "rows": 5, **SMALL}
    rows: Any = {"array": X, "dict": {"x": X}}.get(kind)
    if kind == "frame":
        pandas = pytest.importorskip("pandas")
        rows = pandas.DataFrame(X, columns=[f"c{k}" for k in range(4)])
    wanted = run(here, **how)
    made = evaluate(here / "linear.onnx", rows, workers=2, out=here / "rows", **how)
    assert [m.estimates for m in made.modes] == [m.estimates for m in wanted.modes]
    assert made.there == 12
    assert evaluate(here / "linear.onnx", rows, out=here / "rows", **how).kept == 10
    if kind == "array":
        with pytest.raises(RequestError, match="another evaluation: the data are others"):
            evaluate(here / "linear.onnx", X + 1, out=here / "rows", **how)


def test_workers_measure_the_same(here: Path) -> None:
    alone, together = run(here), run(here, workers=2)
    assert [m.estimates for m in alone.modes] == [m.estimates for m in together.modes]
    assert [m.curves for m in alone.modes] == [m.curves for m in together.modes]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_killed_run_goes_on(here: Path, after: int) -> None:
    command = [sys.executable, "-c", RUN, here / "mlp.onnx", here / "x.npy"]
    whole, killed = here / "whole", here / "killed"
    subprocess.run([*map(str, command), str(whole)], check=True, capture_output=True)
    child = subprocess.Popen([*map(str, command), str(killed)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == after:
            break
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    with (killed / "measured.jsonl").open("a") as file:
        file.write('{"row": 11, "mode": "lr')  # as a kill in the middle of a line leaves it
    made = run(here, "mlp.onnx", modes=("lrp", "gradient", "random"), out=killed)
    assert made.kept >= after
    first, second = (json.loads((f / "evaluation.json").read_text()) for f in (whole, killed))
    for one in (*first["modes"], *second["modes"]):
        del one["seconds"]
    assert first["modes"] == second["modes"] and len(second["notes"]) == len(first["notes"])
    assert (killed / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_holds_one_evaluation(here: Path) -> None:
    out = here / "out"
    run(here, out=out)
    assert run(here, out=out).kept == 36
    with pytest.raises(RequestError, match=r"another evaluation: options sets was 20, now 30"):
        run(here, out=out, sets=30)
    more = run(here, out=out, modes=("gradient_x_input", "lrp"))
    assert more.kept == 12 and [mode.mode for mode in more.modes] == ["gradient_x_input", "lrp"]
    assert run(here, out=out, sets=30, resume=False).kept == 0
    (out / "measured.jsonl").write_text("nonsense\n")
    with pytest.raises(RequestError, match="line 1 is no entry"):
        run(here, out=out, sets=30)
    (out / "_manifest.json").unlink()
    with pytest.raises(RequestError, match=r"that no _manifest\.json tells of"):
        run(here, out=out)


def test_what_cannot_run_is_named_and_others_go_on(here: Path) -> None:
    made = run(here, modes=("shap", "lrp"), metrics=("complexity", "sensitivity-max"))
    assert made["shap"].estimates == {"complexity": None, "sensitivity-max": None}
    ((text, count),) = made["shap"].errors[""].items()
    assert "shap" in text and count == 12 and made["lrp"].errors == {}
    assert made["shap"].median_rank is None and made["lrp"].median_rank == 1
    made = run(here, replace="blur", metrics=("abpc", "complexity"))
    assert "only pictures are blurred" in next(iter(made["default"].errors["abpc"]))
    assert made["default"].estimates["complexity"] is not None
    with pytest.raises(RequestError, match=r"nothing could be measured\. shap: "):
        run(here, modes=("shap", "random"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modes": ("lpr",)}, "unknown mode 'lpr'"),
        ({"modes": ("random",)}, "name a mode to evaluate"),
        ({"metrics": ("abcp",)}, "did you mean abpc"),
        ({"modes": "lpr"}, "unknown mode 'lpr'"),
        ({"modes": (None,)}, "modes: a text or path, or a list of them, not None"),
        ({"metrics": "abcp"}, "did you mean abpc"),
        ({"metrics": 3}, "metrics: a text or path, or a list of them, not a int"),
        ({"rows": 0}, "rows is a number, at least 1"),
        ({"rows": "half"}, "rows is a number, at least 1"),
        ({"seed": -1}, "seed is a number, at least 0"),
        ({"out": 3}, "out is a path, not a int"),
        ({"masks": 3}, "masks is a path, not a int"),
        ({"sets": 1}, "sets is a number, at least 2"),
        ({"square": 3}, "squares are of pictures"),
        ({"targets": "all"}, "targets does not go with"),
        ({"target": "rich"}, "target 'rich' is no index"),
    ],
)
def test_wrong_requests(here: Path, options: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        run(here, **options)
    assert said in str(caught.value)


def test_bad_rows(here: Path) -> None:
    rows = [["a", "b", "c", "d"], *X.tolist()]
    rows[3][2] = "many"
    with (here / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    asked: dict[str, Any] = {"modes": ("lrp",), "metrics": ("complexity",)}
    with pytest.raises(InputError, match="line 4"):
        evaluate(here / "linear.onnx", here / "x.csv", **asked)
    made = evaluate(here / "linear.onnx", here / "x.csv", skip_bad=True, **asked)
    assert made.rows == 11 and any("1 row(s) could not be read" in note for note in made.notes)
    for line in (5, 6, 11, 12):
        rows[line][0] = "many"
    with (here / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    made = evaluate(here / "linear.onnx", here / "x.csv", skip_bad=True, workers=2, **asked)
    (told,) = (note for note in made.notes if "5 row(s) could not be read" in note)
    assert [f"line {n}" in told for n in (4, 6, 7, 12, 13)] == [True, True, True, False, False]
    assert told.endswith("and 2 more")


def test_one_column_makes_no_map_that_could_be_another(tmp_path: Path) -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"], "m")],
        {"x": (FLOAT, ["N", 1])},
        {"y": (FLOAT, ["N", 3])},
        {"w": W[:1]},
    )
    onnx.save(proto, tmp_path / "one.onnx")
    asked: Any = {"modes": "lrp", "metrics": ("class-sensitivity", "abpc"), **SMALL}
    made = evaluate(tmp_path / "one.onnx", X[:, :1], **asked)["lrp"]
    assert "one part makes no map" in next(iter(made.errors["class-sensitivity"]))
    assert made.estimates["abpc"] is not None


def pictures(batch: Any = "N") -> onnx.ModelProto:
    return model(
        [
            node("Conv", ["x", "k"], ["h"], "conv"),
            node("Relu", ["h"], ["a"], "relu"),
            node("Flatten", ["a"], ["f"], "flat"),
            node("MatMul", ["f", "w"], ["y"], "fc"),
        ],
        {"x": (FLOAT, [batch, 3, 10, 10])},
        {"y": (FLOAT, [batch, 2])},
        {"k": normal(4, 3, 3, 3, seed=1), "w": normal(256, 2, seed=2)},
    )


def texts() -> onnx.ModelProto:
    return model(
        [
            node("Gather", ["table", "ids"], ["e"], "embed"),
            node("Tanh", ["e"], ["a"], "tanh"),
            node("Mul", ["a", "m"], ["k"], "masked"),
            node("ReduceSum", ["k", "axis"], ["s"], "sum", keepdims=0),
            node("MatMul", ["s", "w"], ["y"], "fc"),
        ],
        {"ids": (INT64, ["N", "T"]), "m": (FLOAT, ["N", "T", 1])},
        {"y": (FLOAT, ["N", 2])},
        {"table": normal(20, 6), "w": normal(6, 2, seed=2), "axis": np.array([1])},
    )


def stepwise() -> onnx.ModelProto:
    """Samples along the second axis."""
    return model(
        [node("MatMul", ["x", "w"], ["y"], "m")],
        {"x": (FLOAT, [1, "N", 4])},
        {"y": (FLOAT, [1, "N", 3])},
        {"w": W},
    )


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_pictures_in_batches_of_any_size(tmp_path: Path, batch: Any) -> None:
    onnx.save(pictures("N"), tmp_path / "open.onnx")
    onnx.save(pictures(batch), tmp_path / "p.onnx")
    np.save(tmp_path / "x.npy", normal(3, 3, 10, 10, seed=4))
    asked: Any = {"modes": ("cnn", "default"), **SMALL, "draws": 2}
    asked["metrics"] = ("abpc", "faithfulness-estimate", "sensitivity-mean", "class-sensitivity")
    wanted = evaluate(tmp_path / "open.onnx", tmp_path / "x.npy", **asked)
    found = evaluate(tmp_path / "p.onnx", tmp_path / "x.npy", **asked)
    assert any("100 squares; what takes their place is a blur" in note for note in found.notes)
    for mode in ("cnn", "default"):
        assert not found[mode].errors
        for name, estimate in found[mode].estimates.items():
            other = wanted[mode].estimates[name]
            assert estimate is not None and other is not None
            assert estimate.mean == pytest.approx(other.mean, rel=1e-3, abs=1e-5)


def test_ids_are_replaced_by_an_id_and_take_no_noise(tmp_path: Path) -> None:
    onnx.save(texts(), tmp_path / "t.onnx")
    ids, mask = np.random.default_rng(1).integers(1, 20, (4, 7)), np.ones((4, 7, 1), np.float32)
    np.savez(tmp_path / "x.npz", ids=ids, m=mask)
    asked = ("faithfulness-estimate", "abpc", "sensitivity-max")
    made = evaluate(tmp_path / "t.onnx", tmp_path / "x.npz", modes=("lrp",), metrics=asked, **SMALL)
    assert "parts are tokens; what takes their place is 0" in made.notes
    assert "noise is added to numbers" in next(iter(made["lrp"].errors["sensitivity-max"]))
    # The score is a sum over tokens: lrp of the table's rows, less what id 0 is worth, is exact
    # up to the same constant for every token.
    estimate = made["lrp"].estimates["faithfulness-estimate"]
    assert estimate is not None and estimate.mean > 0.99


def test_samples_along_another_axis(tmp_path: Path) -> None:
    onnx.save(stepwise(), tmp_path / "s.onnx")
    onnx.save(linear(), tmp_path / "l.onnx")
    np.save(tmp_path / "s.npy", X[:, None])
    np.save(tmp_path / "l.npy", X)
    asked: Any = {"modes": ("lrp",), "metrics": ("abpc", "faithfulness-estimate"), **SMALL}
    asked["replace"] = "zeros"
    wanted = evaluate(tmp_path / "l.onnx", tmp_path / "l.npy", **asked)["lrp"]
    found = evaluate(tmp_path / "s.onnx", tmp_path / "s.npy", sample_axis=1, **asked)["lrp"]
    assert not found.errors
    for name in asked["metrics"]:
        one, other = found.estimates[name], wanted.estimates[name]
        assert one is not None and other is not None and one.mean == pytest.approx(other.mean)


def test_regressions_and_segmentations(here: Path) -> None:
    made = run(here, task="regression", metrics=("completeness", "class-sensitivity"), replace=0.0)
    found = made["gradient_x_input"].estimates["completeness"]
    assert found is not None and found.mean < 1e-5
    assert "several classes" in next(iter(made["default"].errors["class-sensitivity"]))
    made = run(here, task="segmentation", threshold=0.3, metrics=("completeness",), replace=0.0)
    found = made["gradient_x_input"].estimates["completeness"]
    assert found is not None and found.mean < 1e-5


def test_the_plain_model_needs_scipy(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(RequestError, match=r"pip install 'backtrace-onnx\[evaluate\]'"):
        run(here)


def test_columns_of_every_kind_are_replaced_by_other_rows(tmp_path: Path) -> None:
    onnx.save(people(), tmp_path / "p.onnx")
    rows = [["age", "hours", "job", "who"]]
    rng = np.random.default_rng(0)
    for k in range(30):
        rows.append([*map(str, (rng.normal(0, 9), rng.integers(-30, 30))), JOBS[k % 3], f"p{k}"])
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    asked = ("faithfulness-estimate", "abpc", "sensitivity-max", "complexity")
    how: Any = {"modes": ("lrp", "random"), "metrics": asked, "ids": "who", "task": "regression"}
    made = evaluate(tmp_path / "p.onnx", tmp_path / "x.csv", **how, **SMALL)
    assert "parts are columns; what takes their place is other rows" in made.notes
    assert "noise is added to numbers" in next(iter(made["lrp"].errors["sensitivity-max"]))
    best, drawn = (made[m].estimates["abpc"] for m in ("lrp", "random"))
    assert best is not None and drawn is not None and best.low > drawn.high


def test_types_of_tokens_are_no_parts(tmp_path: Path) -> None:
    proto = model(
        [
            node("Gather", ["table", "input_ids"], ["e"], "embed"),
            node("Gather", ["kinds", "token_type_ids"], ["t"], "types"),
            node("Add", ["e", "t"], ["s"], "add"),
            node("ReduceSum", ["s", "axis"], ["r"], "sum", keepdims=0),
            node("MatMul", ["r", "w"], ["y"], "fc"),
        ],
        {"input_ids": (INT64, ["N", "T"]), "token_type_ids": (INT64, ["N", "T"])},
        {"y": (FLOAT, ["N", 2])},
        {
            "table": normal(20, 6),
            "kinds": normal(2, 6, seed=4),
            "w": normal(6, 2, seed=2),
            "axis": np.array([1]),
        },
    )
    onnx.save(proto, tmp_path / "t.onnx")
    ids = np.random.default_rng(1).integers(1, 20, (3, 7))
    np.savez(tmp_path / "x.npz", input_ids=ids, token_type_ids=ids % 2)
    subject = EvaluatedModel(tmp_path / "t.onnx", None, EvaluatedQuestion())
    view = subject.view({"input_ids": ids[:1], "token_type_ids": ids[:1] % 2})
    assert view.names == ("input_ids",)
    fed = view.inputs(np.zeros((4, 7), np.int64))
    np.testing.assert_array_equal(fed["token_type_ids"], np.repeat(ids[:1] % 2, 4, 0))
    made = evaluate(tmp_path / "t.onnx", tmp_path / "x.npz", modes=("lrp",), **SMALL)
    assert not made["lrp"].errors


def test_what_a_first_explanation_prepares_is_not_timed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode's first explanation in a process is made twice, and none afterwards."""
    explained: list[str] = []
    explain_row = EvaluatedModel.explain_row

    def slow_at_first(self: Any, feeds: Any, mode: str) -> Any:
        explained.append(mode)
        if explained.count(mode) == 1:
            time.sleep(0.5)
        return explain_row(self, feeds, mode)

    monkeypatch.setattr(EvaluatedModel, "explain_row", slow_at_first)
    made = run(here, modes=("lrp", "default"), metrics=("complexity",), rows=3)
    assert [explained.count(mode) for mode in ("lrp", "default")] == [4, 4]
    explained.clear()
    alone = run(here, modes=("lrp", "default"), metrics=("complexity",), rows=1)
    for mode in (*made.modes, *alone.modes):
        assert mode.seconds is not None and mode.seconds < 0.4
