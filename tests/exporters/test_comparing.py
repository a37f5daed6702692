"""What all exporters share, without any framework: trials, comparison, repair, files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import ExportError
from backtrace_onnx.exporters import extras, from_keras, from_sklearn, from_torch
from backtrace_onnx.exporters.comparing import ExpectedAnswers
from backtrace_onnx.exporters.repairing import check_opset, repair
from backtrace_onnx.exporters.trials import open_axes, trials
from backtrace_onnx.exporters.writing import publish, staging
from tests.graphs import FLOAT, HALF, INT64, mlp, model, node, normal


def written(proto: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def doubled(**types: Any) -> onnx.ModelProto:
    """y = x + x."""
    x = types.get("x", (FLOAT, ["N", 4]))
    return model([node("Add", ["x", "x"], ["y"])], {"x": x}, {"y": x})


def test_what_agrees_is_told(tmp_path: Path) -> None:
    reference = ExpectedAnswers(lambda feeds: [feeds["x"] * 2], {"x": normal(2, 4)})
    made = publish(doubled(), tmp_path / "m.onnx", tmp_path / "m.onnx", "test", reference)
    assert len(made.checks) == 5 and made.difference == 0.0
    assert [check.inputs for check in made.checks][:2] == ["the example", "random inputs 1, N 3"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x * 2 + 0.01, r"output 'y' on the example: largest difference 0\.01 where"),
        (
            lambda x: x[:, :2] * 2,
            r"the framework's shape is \(2, 2\), the exported model's \(2, 4\)",
        ),
        (lambda x: np.where(x > 0, np.nan, x * 2), "largest difference inf"),
        (lambda x: np.where(x.sum() > 0, x, 2 * x), "random inputs"),
    ],
)
def test_what_differs_is_refused(answer: Any, words: str, tmp_path: Path) -> None:
    example = {"x": -np.abs(normal(2, 4)) if words == "random inputs" else normal(2, 4)}
    if words == "random inputs":
        example["x"][0, 0] = 3.0
        example["x"][0, 1] = -9.0
    reference = ExpectedAnswers(lambda feeds: [answer(feeds["x"])], example, remedy="Remedy.")
    with pytest.raises(ExportError, match=words) as error:
        reference.compare(written(doubled(), tmp_path), trials(example, {"x": {0: "N"}}))
    assert str(error.value).endswith("Nothing was written. Remedy.")


def test_what_does_not_run_is_told(tmp_path: Path) -> None:
    example = {"x": normal(2, 4)}
    fixed = written(doubled(x=(FLOAT, [2, 4])), tmp_path)
    reference = ExpectedAnswers(lambda feeds: [feeds["x"] * 2], example)
    with pytest.raises(ExportError, match="the exported model does not run on random inputs 1"):
        reference.compare(fixed, trials(example, {"x": {0: "batch"}}))

    def fails(feeds: Any) -> Any:
        raise ValueError("two only")

    with pytest.raises(ExportError, match=r"model itself does not run on the example.*two only"):
        ExpectedAnswers(fails, example).compare(fixed, trials(example, {}))
    with pytest.raises(ExportError, match="returns 2 arrays, the exported model 1: y"):
        ExpectedAnswers(lambda feeds: [1, 2], example).compare(fixed, trials(example, {}))


def test_equal_infinities_and_texts_agree(tmp_path: Path) -> None:
    path = written(doubled(), tmp_path)
    example = {"x": np.array([[np.inf, 1, -np.inf, np.nan]], np.float32)}
    only = {"the example": example}
    assert ExpectedAnswers(lambda feeds: [feeds["x"] * 2], example).compare(path, only)
    reference = ExpectedAnswers(lambda feeds: [np.array([["inf"] * 4])], example)
    with pytest.raises(ExportError, match="3 of 4 entries differ"):
        reference.compare(path, only)


def test_half_precision_is_allowed_more(tmp_path: Path) -> None:
    path = written(doubled(x=(HALF, ["N", 4])), tmp_path)
    example = {"x": normal(2, 4).astype(np.float16)}
    ExpectedAnswers(lambda feeds: [feeds["x"] * 2.01], example).compare(path, {"it": example})
    with pytest.raises(ExportError, match=r"allowed: 0\.01"):
        ExpectedAnswers(lambda feeds: [feeds["x"] * 2.1], example).compare(path, {"it": example})


def test_either_side_of_a_jump_is_right(tmp_path: Path) -> None:
    """The framework decides at 1, the file just above it; only models that jump are excused."""
    proto = model(
        [node("Greater", ["x", "t"], ["g"]), node("Cast", ["g"], ["y"], to=FLOAT)],
        {"x": (FLOAT, ["N", 1])},
        {"y": (FLOAT, ["N", 1])},
        {"t": np.array(1.0000001, np.float32)},
    )
    path = written(proto, tmp_path)
    example = {"x": np.array([[0.5], [1.0000001], [2.0]], np.float32)}

    def jumps(feeds: Any) -> Any:
        return [(feeds["x"] >= np.float32(1.0000001)).astype(np.float32)]

    with pytest.raises(ExportError, match="largest difference 1"):
        ExpectedAnswers(jumps, example).compare(path, {"it": example})
    assert ExpectedAnswers(jumps, example, jumps=True).compare(path, {"it": example})
    far = {"x": np.array([[1.5]], np.float32)}
    wrong = ExpectedAnswers(lambda feeds: [feeds["x"] * 0], far, jumps=True)
    with pytest.raises(ExportError, match="largest difference 1"):
        wrong.compare(path, {"it": far})


def test_trials_stay_in_range_and_change_sizes() -> None:
    example = {
        "ids": np.array([[2, 9, 4]]),
        "x": np.array([[0.25, 0.5, 1.0]], np.float32),
        "mask": np.array([[True, True, True]]),
        "text": np.array([["a", "b", "b"]], object),
        "same": np.zeros((1, 3), np.float32),
    }
    axes = {name: {0: "batch", 1: "sequence"} for name in example}
    made = list(trials(example, axes).values())
    assert made[0] is example and len(made) == 5
    assert {x.shape for feeds in made[1:] for x in feeds.values()} == {(2, 2), (3, 2)}
    for feeds in made[1:]:
        assert feeds["ids"].min() >= 2 and feeds["ids"].max() <= 9
        assert feeds["x"].min() >= 0.25 and feeds["x"].max() <= 1 and feeds["mask"].all()
        assert set(feeds["text"].flat) <= {"a", "b"} and feeds["same"].any()
        assert all(x.dtype == example[name].dtype for name, x in feeds.items())


def test_open_axes_of_a_model() -> None:
    proto = doubled(x=(FLOAT, ["N", None, 3, -1]))
    assert open_axes(proto) == {"x": {0: "N", 1: "x:1", 3: "x:3"}}


@pytest.mark.parametrize("approximate", [0, 1])
def test_gelu_of_tflite(approximate: int) -> None:
    gelu = node("TFL_GELU", ["x"], ["y"], "gelu", approximate=approximate)
    proto = model([gelu], {"x": (FLOAT, [2, 4])}, {"y": (FLOAT, [2, 4])})
    repair(proto)
    x = normal(2, 4)
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    kind = {"approximate": "tanh"} if approximate else {}
    plain = model(
        [node("Gelu", ["x"], ["y"], **kind)],
        {"x": (FLOAT, [2, 4])},
        {"y": (FLOAT, [2, 4])},
        opset=20,
    )
    wanted = ort.InferenceSession(plain.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_erfc_opsets_and_versions_are_repaired() -> None:
    proto = model(
        [node("Erfc", ["x"], ["y"], "erfc")],
        {"x": (FLOAT, ["unk__3", -1])},
        {"y": (FLOAT, None)},
        domains={"ai.onnx.ml": 2},
        ir=14,
    )
    repair(proto)
    assert proto.ir_version == 13 and [o.domain for o in proto.opset_import] == [""]
    assert open_axes(proto) == {"x": {0: "batch", 1: "x:1"}}
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": np.zeros((1, 2), "f")})
    np.testing.assert_array_equal(found[0], 1.0)


def test_erfc_of_halves_is_taken_from_a_half() -> None:
    nodes = [node("Mul", ["x", "s"], ["m"], "scaled"), node("Erfc", ["m"], ["y"], "erfc")]
    proto = model(nodes, {"x": (HALF, ["N", 2])}, {"y": (HALF, None)}, {"s": np.float16(2)})
    repair(proto)
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": np.zeros((1, 2), "e")})
    np.testing.assert_array_equal(found[0], np.ones((1, 2), np.float16))


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(RuntimeError, match="stop"), staging(path) as staged:
        staged.write_text("half")
        raise RuntimeError("stop")
    assert not list(tmp_path.iterdir())
    with staging(path) as staged:
        staged.write_text("model")
        staged.with_name("m.onnx.data").write_text("weights")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    for wrong, words in ((tmp_path, "is a folder"), (tmp_path / "a" / "b", "no folder")):
        with pytest.raises(ExportError, match=words), staging(wrong):
            pass


def test_invalid_models_are_refused(tmp_path: Path) -> None:
    proto = mlp()
    proto.graph.node[0].op_type = "Gemmm"
    with pytest.raises(ExportError, match="not valid ONNX"):
        publish(proto, tmp_path / "m.onnx", tmp_path / "m.onnx", "test", None)
    ids = model([node("Abs", ["x"], ["y"])], {"x": (INT64, ["N"])}, {"y": (FLOAT, ["N"])})
    reference = ExpectedAnswers(lambda feeds: [feeds["x"]], {"x": np.ones(2, np.int64)})
    with pytest.raises(ExportError, match=r"onnxruntime does not load .*Nothing was written"):
        publish(ids, tmp_path / "m.onnx", tmp_path / "m.onnx", "test", reference)


def test_opsets_are_checked() -> None:
    check_opset(18, 25, "x")
    with pytest.raises(ExportError, match="opset 26: x and the installed onnxruntime do 7 to 25"):
        check_opset(26, 25, "x")


def test_missing_packages_are_told_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "sklearn", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError, match=r"pip install 'backtrace-onnx\[tensorflow\]'"):
        from_keras(None, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"Type: pip install 'backtrace-onnx\[torch\]'"):
        from_torch(None, None, tmp_path / "m.onnx")  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"pip install 'backtrace-onnx\[sklearn\]'"):
        from_sklearn(None, None, tmp_path / "m.onnx")
    (tmp_path / "broken_extra.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        extras.need("broken_extra", "x", "y")
