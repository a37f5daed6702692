"""Names of classes that a model tells, as far as they fit and no sidecar says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from backtrace_onnx import Explainer, evaluate, explain_dataset
from backtrace_onnx.inputs.class_names import count_classes, declared_names, named_by_file
from backtrace_onnx.inputs.output_meanings import OutputMeaning
from backtrace_onnx.targets.output_axes import OutputAxes
from tests.graphs import mlp, normal

NAMES = ("setosa", "versicolor", "virginica")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return named(tmp_path, NAMES)


def named(folder: Path, names: Any) -> Path:
    proto = mlp()
    onnx.helper.set_model_props(proto, {"classes": json.dumps(names)})
    onnx.save(proto, folder / "net.onnx")
    rows = ["a,b,c,d", *(",".join(map(str, row)) for row in normal(6, 4).tolist())]
    (folder / "x.csv").write_text("\n".join(rows))
    return folder / "net.onnx"


def told(run: Any, *arguments: Any) -> list[Any]:
    code, out, _ = run("explain", *arguments, "--no-check", "--json")
    assert code == 0
    return list(json.loads(out)["samples"])


def test_explain_shows_them_and_takes_them_as_targets(run: Any, model: Path) -> None:
    data = model.with_name("x.csv")
    scores = Explainer(model).explain(normal(6, 4)).outputs["y"]
    found = told(run, model, data)
    assert [one["prediction"]["label"] for one in found] == [NAMES[i] for i in scores.argmax(1)]
    by_name, by_index = (told(run, model, data, "--target", t) for t in ("versicolor", "1"))
    assert by_name == by_index
    assert [one["target"]["label"] for one in by_name] == ["versicolor"] * 6
    code, out, _ = run("explain", model, data, "--html", model.with_name("page.html"))
    assert code == 0 and f": {NAMES[int(scores[0].argmax())]} (" in out
    assert "versicolor" in model.with_name("page.html").read_text()
    code, _, err = run("explain", model, data, "--target", "versicolour")
    assert code == 2 and "neither an index nor a label; there are, for example: versicolor" in err


def test_pages_from_python_show_them(model: Path, tmp_path: Path) -> None:
    made = Explainer(model).explain(normal(1, 4))
    made.save_html(tmp_path / "page.html", model=model)
    assert NAMES[int(made.outputs["y"].argmax())] in (tmp_path / "page.html").read_text()


def test_a_sidecar_says_otherwise(run: Any, model: Path) -> None:
    sidecar = {"outputs": {"y": {"task": "classification", "labels": ["a", "b", "c"]}}}
    model.with_name("net.sidecar.json").write_text(json.dumps(sidecar))
    (one, *_) = told(run, model, model.with_name("x.csv"), "--target", "b")
    assert one["target"]["label"] == "b"
    code, _, err = run("explain", model, model.with_name("x.csv"), "--target", "setosa")
    assert code == 2 and "there are, for example: a, b, c" in err


def test_data_sets_evaluations_and_compiled_files_take_them(
    run: Any, model: Path, tmp_path: Path
) -> None:
    data = model.with_name("x.csv")
    made = explain_dataset(model, data, tmp_path / "out", target="virginica")
    table = made.read().to_pydict()
    assert table["target"] == [2] * 6 and table["target_label"] == ["virginica"] * 6
    assert table["prediction_label"] == [NAMES[i] for i in table["prediction"]]
    assert explain_dataset(model, data, tmp_path / "out", target=2).resumed == 1
    how = {"modes": ["lrp"], "metrics": ["complexity"]}
    by_name, by_index = (evaluate(model, data, target=t, **how) for t in ("virginica", 2))
    assert by_name["lrp"].estimates == by_index["lrp"].estimates
    for target in ("virginica", "2"):
        code, *_ = run("compile", model, "-o", tmp_path / f"{target}.onnx", "--target", target)
        assert code == 0
    bytes_of = [(tmp_path / f"{target}.onnx").read_bytes() for target in ("virginica", "2")]
    assert bytes_of[0] == bytes_of[1]


@pytest.mark.parametrize(
    ("names", "label"), [((7, 8, 9), "8"), ((0, 1, 2), None), (("a", "b"), None)]
)
def test_numbers_are_names_unless_they_only_count(
    run: Any, names: Any, label: str | None, tmp_path: Path
) -> None:
    model = named(tmp_path, names)
    (one, *_) = told(run, model, tmp_path / "x.csv", "--target", label or "1")
    assert one["target"]["label"] == label and one["target"]["index"] == 1


def test_they_fit_the_output() -> None:
    nothing, told = OutputMeaning(), ("a", "b", "c")
    assert (
        named_by_file(nothing, told, 3).labels == named_by_file(nothing, told, None).labels == told
    )
    assert named_by_file(nothing, told, 2) is nothing
    given = OutputMeaning(labels=("x", "y", "z"))
    assert named_by_file(given, told, 3) is given
    for shape, names, fits in (
        (None, told, True),
        (("n", 3), told, True),
        (("n", "k"), told, True),
        (("n", 4), told, False),
        (("n", 1), told[:2], True),
        (("n",), told[:2], True),
        (("n",), told, False),
        (("n", 3, 8, 8), told, True),
        (("n", 5, 8, 8), told, False),
    ):
        assert bool(declared_names(nothing, names, shape).labels) is fits
    assert not declared_names(OutputMeaning("regression"), told, ("n", 3)).labels


def test_how_many_classes_an_output_has() -> None:
    flat = OutputAxes(0, None, 2)
    assert count_classes("classification", True, flat, (1,)) == 2
    assert count_classes("classification", False, flat, (3,)) == 3
    assert count_classes("regression", False, flat, (3,)) == 0
    assert count_classes("segmentation", False, OutputAxes(0, 1, 4), (5, 8, 8)) == 5
    assert count_classes("classification", False, OutputAxes(0, 2, 3), (7, 4)) == 4
    assert count_classes("detection", False, OutputAxes(0, 2, 3), (7, 9)) == 9
