"""One sigmoid is two classes: why class 1, and why class 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Contrast, Explainer, Explanation, RequestError
from backtrace_onnx.cli import main
from tests.graphs import FLOAT, check_closed, model, node, normal

W = normal(4, 1, seed=1)
X = normal(6, 4, seed=2)
MODES = ("default", "contrastive", "epsilon(absolute=1e-6)")
ENGINES = ("numba", "onnxruntime")
NATIVE = [node("Sigmoid", ["z"], ["y"], "s")]
WRITTEN = [
    node("Neg", ["z"], ["n"]),
    node("Exp", ["n"], ["e"]),
    node("Add", ["e", "one"], ["q"]),
    node("Div", ["one", "q"], ["y"], "s"),
]
FLAT = [node("Squeeze", ["z", "axis"], ["v"]), node("Sigmoid", ["v"], ["y"], "s")]


def net(head: Any = NATIVE, dims: Any = ("N", 1)) -> onnx.ModelProto:
    return model(
        [node("Gemm", ["x", "w", "b"], ["z"], "fc"), *head],
        {"x": (FLOAT, ["N", 4])},
        {"y": (FLOAT, list(dims))},
        {"w": W, "b": np.array([0.3], np.float32), "one": np.float32(1), "axis": np.array([1])},
    )


def explained(mode: str, target: Any = None, proto: Any = None, **options: Any) -> Explanation:
    proto = net() if proto is None else proto
    eager, compiled = (
        Explainer(proto, engine=e).explain(X, mode=mode, target=target, **options)  # type: ignore[arg-type]
        for e in ENGINES
    )
    assert np.allclose(eager.relevance["x"], compiled.relevance["x"], atol=1e-5)
    assert eager.notes == compiled.notes and eager.binary == compiled.binary
    assert str(eager.target) == str(compiled.target)
    check_closed(eager)
    return eager


HEADS = {"native": (NATIVE, ("N", 1)), "written": (WRITTEN, ("N", 1)), "flat": (FLAT, ("N",))}


@pytest.mark.parametrize("head", HEADS)
def test_both_classes_can_be_asked_for_in_every_mode(head: str) -> None:
    proto = net(*HEADS[head])
    y = explained("epsilon(absolute=1e-6)", 1, proto).outputs["y"].ravel()
    one, zero = (explained("epsilon(absolute=1e-6)", target, proto) for target in (1, 0))
    assert np.allclose(one.relevance["x"], X * W[:, 0], rtol=1e-3, atol=1e-4)
    assert np.array_equal(zero.relevance["x"], -one.relevance["x"])
    one, zero = (explained("contrastive", target, proto) for target in (1, 0))
    assert np.array_equal(one.positive["x"], zero.negative["x"])
    assert np.array_equal(one.negative["x"], zero.positive["x"])
    assert one.ledger.total().start == pytest.approx(np.stack([y, 1 - y]), abs=1e-6)
    assert (one.relevance["x"] * X * W[:, 0]).sum() > 0
    assert explained("default", 1, proto).ledger.total().start[0] == pytest.approx(y)
    assert explained("default", 0, proto).ledger.total().start[0] == pytest.approx(1 - y)


@pytest.mark.parametrize("mode", MODES)
def test_the_likelier_class_is_explained_by_default_and_it_is_said(mode: str) -> None:
    made = explained(mode)
    likelier = (made.outputs["y"].ravel() >= 0.5).astype(int)
    assert made.binary and made.target is not None and made.target.tolist() == likelier.tolist()
    assert 0 < likelier.sum() < len(X)
    each = explained(mode, likelier)
    assert np.array_equal(each.relevance["x"], made.relevance["x"])
    assert any("probability of class 1; class 0 has the rest" in n.text for n in made.notes)


def test_targets_that_are_no_class() -> None:
    assert explained("default", (0,)).target.tolist() == [1] * 6  # type: ignore[union-attr]
    assert explained("default", -1).target.tolist() == [1] * 6  # type: ignore[union-attr]
    for target in (2, (1,), [0, 1]):
        with pytest.raises(RequestError, match="target"):
            Explainer(net()).explain(X, target=target)


def test_a_number_that_is_no_probability_keeps_its_meaning() -> None:
    plain = net([node("Identity", ["z"], ["y"])])
    made = explained("epsilon(absolute=1e-6)", 0, plain)
    assert not made.binary and "explained as a number: no class 0" in made.notes[0].text
    assert not explained("epsilon(absolute=1e-6)", None, plain).notes
    with pytest.raises(RequestError, match=r"one entry per sample, a number.* name both"):
        explained("epsilon(absolute=1e-6)", 1, plain)
    assert np.allclose(made.relevance["x"], X * W[:, 0], rtol=1e-3, atol=1e-4)
    regression = explained("default", task="regression")
    assert not regression.binary
    assert regression.ledger.total().start[0] == pytest.approx(regression.outputs["y"].ravel())


def decision(*, shown: bool) -> onnx.ModelProto:
    """x -> y[N, 1], the score of class 1; shown: as the second of two columns [-s, s]."""
    weights: dict[str, Any] = {"w": W, "b": np.array([-0.3], np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], "fc")]
    if shown:
        weights = {k: np.concatenate([-v, v], axis=-1) for k, v in weights.items()}
        weights["one"] = np.array([1])
        nodes = [
            node("Gemm", ["x", "w", "b"], ["z"], "fc"),
            node("Gather", ["z", "one"], ["y"], axis=1),
        ]
    return model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 1])}, weights)


@pytest.mark.parametrize("shown", [True, False])
def test_a_decision_is_two_classes_where_the_graph_or_the_labels_say_so(shown: bool) -> None:
    """The map of class 1 is x w, that of class 0 its negative; the answer is by the sign."""
    proto, how = decision(shown=shown), {} if shown else {"labels": ["no", "yes"]}
    s = (X @ W - 0.3).ravel()
    assert 0 < (s >= 0).sum() < len(s)
    one, zero, best = (explained("epsilon(absolute=1e-6)", t, proto, **how) for t in (1, 0, None))
    assert np.allclose(one.relevance["x"], X * W[:, 0], rtol=1e-3, atol=1e-4)
    assert np.array_equal(zero.relevance["x"], -one.relevance["x"])
    assert best.target is not None and best.target.tolist() == (s >= 0).astype(int).tolist()
    assert one.binary == "decision" and any("its negative as that of" in n.text for n in one.notes)
    one, zero = (explained("contrastive", t, proto, **how) for t in (1, 0))
    assert np.array_equal(one.positive["x"], zero.negative["x"])
    assert one.ledger.total().start[0] == pytest.approx(np.where(s > 0, 2 * s, 0), abs=1e-5)
    one, zero = (explained("default", t, proto, **how) for t in (1, 0))
    assert np.array_equal(one.relevance["x"], zero.relevance["x"])
    against = {n.sample for n in zero.notes if "is negative" in n.text}
    assert against == set(np.flatnonzero(s > 0).tolist())
    rather = explained("epsilon(absolute=1e-6)", None, proto, start=Contrast(0, 1), **how)
    assert np.array_equal(
        rather.relevance["x"], explained("epsilon(absolute=1e-6)", 0, proto, **how).relevance["x"]
    )


def test_a_column_that_is_not_the_negative_of_the_other_is_no_decision() -> None:
    """Nor is the first of the two."""
    proto = decision(shown=True)
    (place,) = (w for w in proto.graph.initializer if w.name == "one")
    place.CopyFrom(onnx.numpy_helper.from_array(np.array([0]), "one"))
    assert not explained("epsilon(absolute=1e-6)", 0, proto).binary
    proto = decision(shown=True)
    (bias,) = (w for w in proto.graph.initializer if w.name == "b")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 2], np.float32), "b"))
    assert not explained("epsilon(absolute=1e-6)", 0, proto).binary


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shown", [True, False])
def test_a_compiled_file_takes_both_classes_of_a_decision(
    mode: str, shown: bool, tmp_path: Path
) -> None:
    explainer, labels = Explainer(decision(shown=shown)), () if shown else ("no", "yes")
    explainer.compile(tmp_path / "m.onnx", mode=mode, labels=labels, target="required")
    session = ort.InferenceSession(str(tmp_path / "m.onnx"))
    for target in (None, 0, 1):
        asked = np.array([-1 if target is None else target])
        (got,) = session.run(["relevance/x"], {"x": X, "target": asked})
        want = explainer.explain(X, mode=mode, target=target, labels=labels).relevance["x"]
        assert np.allclose(got, want, atol=1e-5)


def test_an_archive_keeps_what_the_entry_is(tmp_path: Path) -> None:
    for proto, kind in ((net(), "probability"), (decision(shown=True), "decision")):
        explained("default", 1, proto).save(tmp_path / "e.npz")
        assert Explanation.load(tmp_path / "e.npz").binary == kind


def test_the_command_line_calls_the_classes_of_a_decision_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, x = tmp_path / "m.onnx", tmp_path / "x.npy"
    onnx.save(decision(shown=False), path)
    np.save(x, X[:1])
    s = float((X[0] @ W - 0.3)[0])
    (tmp_path / "m.sidecar.json").write_text(
        json.dumps({"outputs": {"y": {"task": "classification", "labels": ["good", "bad"]}}})
    )
    for target, value in (("good", -s), ("bad", s)):
        assert main(["explain", str(path), str(x), "--target", target, "--json"]) == 0
        (sample,) = json.loads(capsys.readouterr().out)["samples"]
        assert sample["target"]["label"] == target
        assert sample["target"]["value"] == pytest.approx(value, rel=1e-5)
        assert sample["prediction"]["label"] == ("bad" if s >= 0 else "good")
    sidecar = tmp_path / "m.sidecar.json"
    assert Explainer(path).explain(X, target=1, sidecar=sidecar).binary == "decision"


@pytest.mark.parametrize("mode", MODES)
def test_a_compiled_file_takes_both_classes(mode: str, tmp_path: Path) -> None:
    explainer = Explainer(net())
    explainer.compile(tmp_path / "m.onnx", mode=mode)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), options)
    for target in (None, 0, 1):
        asked = {} if target is None else {"target": np.array([target])}
        (got,) = session.run(["relevance/x"], {"x": X, **asked})
        want = explainer.explain(X, mode=mode, target=target).relevance["x"]
        assert np.allclose(got, want, atol=1e-5)
    explainer.compile(tmp_path / "f.onnx", mode=mode, target=0)
    (got,) = ort.InferenceSession(str(tmp_path / "f.onnx")).run(["relevance/x"], {"x": X})
    assert np.allclose(got, explainer.explain(X, mode=mode, target=0).relevance["x"], atol=1e-5)


def test_the_command_line_calls_the_classes_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, x = tmp_path / "m.onnx", tmp_path / "x.npy"
    onnx.save(net(), path)
    np.save(x, X[:1])
    y = float(explained("default").outputs["y"][0, 0])
    meaning = {"task": "classification", "labels": ["good", "bad"]}
    (tmp_path / "m.sidecar.json").write_text(json.dumps({"outputs": {"y": meaning}}))
    for target, place in (("good", 0), ("bad", 1), ("0", 0)):
        assert main(["explain", str(path), str(x), "--target", target, "--json"]) == 0
        (sample,) = json.loads(capsys.readouterr().out)["samples"]
        assert sample["target"]["index"] == place
        assert sample["target"]["label"] == meaning["labels"][place]
        assert sample["target"]["value"] == pytest.approx(y if place else 1 - y)
        assert sample["prediction"]["label"] == ("bad" if y >= 0.5 else "good")
    assert (
        main(
            [
                "explain",
                str(path),
                str(x),
                "--mode",
                "epsilon(absolute=1e-6)",
                "--start",
                "probability",
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "read as the probability of class 1" in shown.replace("\n", " ")
    assert "relevance starts at" not in shown


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", HEADS)
def test_one_class_rather_than_the_other_is_the_class_itself(mode: str, head: str) -> None:
    proto = net(*HEADS[head])
    for one in (0, 1):
        rather = explained(mode, proto=proto, start=Contrast(one, 1 - one))
        alone = explained(mode, one, proto)
        assert np.array_equal(rather.relevance["x"], alone.relevance["x"])
        assert rather.binary and np.array_equal(rather.target, alone.target)
    with pytest.raises(RequestError, match="are the same"):
        explained(mode, proto=proto, start=Contrast(1, 1))
    with pytest.raises(RequestError, match="out of range"):
        explained(mode, proto=proto, start=Contrast(0, 2))


def test_the_command_sets_two_classes_of_one_sigmoid_against_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(net(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", X[:2])
    asked = ["explain", str(tmp_path / "net.onnx"), str(tmp_path / "x.npy")]
    asked += ["--mode", "contrastive", "--json"]
    assert main([*asked, "--target", "0", "--rather-than", "1"]) == 0
    rather = json.loads(capsys.readouterr().out)["samples"]
    assert main([*asked, "--target", "0"]) == 0
    alone = json.loads(capsys.readouterr().out)["samples"]
    for one, same in zip(rather, alone, strict=True):
        assert one["top"] == same["top"] and one["target"] == same["target"]
        assert one["other"]["index"] == 1
        assert one["other"]["value"] == pytest.approx(1 - one["target"]["value"])
