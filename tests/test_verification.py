"""Saved explanations, reports and baselines are computed again, and compared bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx.model.digest import digest
from backtrace_onnx.model.loading import load
from backtrace_onnx.provenance import options_of, origin_of, record
from backtrace_onnx.results import archive
from backtrace_onnx.verification import verify
from tests.audit.audited import linear, write_model, write_rows
from tests.command_line import ADULT, DIGIT, MNIST, ROWS

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 60)
    write_model(tmp_path, linear())
    write_model(tmp_path, linear([(1, -1)] * 4), "other")
    return tmp_path


HOW: list[dict[str, Any]] = [
    {"mode": "epsilon(absolute=1e-6)"},
    {"mode": "contrastive", "target": 1},
    {"mode": "deeplift", "baseline": np.ones((1, 4), np.float32)},
    {"mode": "integrated_gradients", "steps": 8, "baseline": "zeros"},
    {"mode": "gradient", "target": np.array([0, 1, 0]), "keep": "all"},
    {"mode": "default", "start": np.ones((3, 2), np.float32)},
    {"mode": "smoothgrad", "samples": 4, "seed": 3},
    {"mode": "auto", "sidecar": Path("net.sidecar.json")},
]


@pytest.mark.parametrize("how", HOW, ids=lambda how: how["mode"])
def test_an_explanation_is_the_same(folder: Path, how: dict[str, Any]) -> None:
    bt.Explainer("net.onnx").explain(X, **how).save("e.npz")
    found = verify("e.npz")
    assert found.same and found.kind == "explanation" and found.compared >= 4, found


def test_every_target_by_itself(folder: Path) -> None:
    every = bt.Explainer("net.onnx").explain(X, targets="all", mode="epsilon(absolute=1e-6)")
    for i, one in enumerate(every):
        one.save(f"{i}.npz")
        assert verify(f"{i}.npz").same
    assert every[0].origin["options"]["target"] != every[1].origin["options"]["target"]


def test_a_bit_that_was_changed_is_found(folder: Path) -> None:
    made = bt.Explainer("net.onnx").explain(X, mode="epsilon(absolute=1e-6)")
    made.relevance["x"][1, 2] = np.nextafter(made.relevance["x"][1, 2], np.float32(9))
    made.positive["x"][1, 2] = made.relevance["x"][1, 2]
    made.save("e.npz")
    found = verify("e.npz")
    assert found.different == ("relevance of x", "positive of x") and not found.notes


def test_other_versions_are_noted(folder: Path) -> None:
    made = bt.Explainer("net.onnx").explain(X, mode="epsilon(absolute=1e-6)")
    made.origin["versions"]["numpy"] = "1.0"
    made.outputs["y"][0] += 1
    made.save("e.npz")
    (note,) = verify("e.npz").notes
    assert note == f"numpy is {np.__version__} here, and was 1.0"


def test_another_model_is_refused(folder: Path) -> None:
    bt.Explainer("net.onnx").explain(X, mode="epsilon(absolute=1e-6)").save("e.npz")
    Path("net.onnx").rename("moved.onnx")
    with pytest.raises(bt.ModelError, match=r"net\.onnx"):
        verify("e.npz")
    assert verify("e.npz", model="moved.onnx").same
    with pytest.raises(bt.InputError, match=r"other\.onnx: is another model"):
        verify("e.npz", model="other.onnx")


def test_what_no_file_keeps_is_named(folder: Path) -> None:
    def start(y: Any, channels: int = 1) -> Any:
        return np.ones_like(y)

    explainer = bt.Explainer(Path("net.onnx").read_bytes())
    explainer.explain(X, mode="epsilon(absolute=1e-6)", start=start).save("e.npz")
    with pytest.raises(bt.RequestError, match="what no file keeps, and cannot be: start"):
        verify("e.npz")
    explainer.explain(X, mode="epsilon(absolute=1e-6)").save("e.npz")
    with pytest.raises(bt.InputError, match="was no file; name one with --model"):
        verify("e.npz")
    assert verify("e.npz", model="net.onnx").same


def test_files_of_earlier_versions(folder: Path) -> None:
    made = bt.Explainer("net.onnx").explain(X, mode="epsilon(absolute=1e-6)")
    archive.write("old.npz", {**vars(made), "origin": {}})
    with pytest.raises(bt.InputError, match="by an earlier version"):
        verify("old.npz")


def test_options_come_back_as_they_were() -> None:
    told = {
        "target": np.array([1, 2]),
        "through": {"a": [1, 2]},
        "columns": (1, 2),
        "steps": np.int64(3),
        "sidecar": Path("a.json"),
        "task": None,
        "start": print,
    }
    origin = origin_of({}, told)
    assert origin["lost"] == ["start"]
    kept = json.loads(json.dumps(record(origin)))["options"]["target"]
    assert kept["shape"] == [2] and kept["dtype"] == "int64" and len(kept["array"]) == 64
    found = options_of(origin)
    np.testing.assert_array_equal(found.pop("target"), [1, 2])
    wanted = {"through": {"a": [1, 2]}, "columns": (1, 2), "steps": 3, "sidecar": "a.json"}
    assert found == wanted


def test_a_digest_is_of_structure_and_weights(folder: Path) -> None:
    own = digest(load("net.onnx"))
    assert digest(load(Path("net.onnx").read_bytes())) == own != digest(load("other.onnx"))
    wide = np.zeros((4, 500))
    path = write_model(folder, f"h = MatMul(x, u) y = MatMul(h, w)|{kept(wide)}", "wide")
    wide[3, 499] = 1e-3
    assert digest(load(path)) != digest(
        load(write_model(folder, f"h = MatMul(x, u) y = MatMul(h, w)|{kept(wide)}", "w2"))
    )


def kept(wide: Any) -> str:
    values = ", ".join(map(str, wide.ravel().tolist()))
    rest = ", ".join(["1.0"] * 1000)
    return f"float[4, 500] u = {{{values}}}, float[500, 2] w = {{{rest}}}"


def test_reports_and_baselines(run: Any, folder: Path) -> None:
    (folder / "audit.toml").write_text("label = 'answer'\nsensitive = ['leak']\n")
    how = ("--data", "rows.csv", "--config", "audit.toml")
    assert run("audit", "net.onnx", *how, "--write-baseline", "b.json")[0] == 0
    assert run("audit", "net.onnx", *how, "--baseline", "b.json", "--json", "r.json")[0] == 0
    assert run("compare", "net.onnx", "other.onnx", *how, "--json", "c.json")[0] == 1
    (folder / "audit.toml").write_text("broken")  # reports keep their settings
    for file in ("r.json", "c.json"):
        found = verify(file)
        assert found.same and found.kind == "audit report", found
    assert verify("b.json", model="net.onnx", data=["rows.csv"]).same
    with pytest.raises(bt.RequestError, match="name them with --model and --data"):
        verify("b.json")
    report = json.loads((folder / "r.json").read_text())
    report["checks"][2]["value"] += 1e-12
    (folder / "r.json").write_text(json.dumps(report))
    assert verify("r.json").different == ("checks[2].value",)
    for file, what in (
        ("r.json", "r.json: the model is another one"),
        ("b.json", "adult.*onnx: is"),
    ):
        with pytest.raises(bt.InputError, match=what):  # told before rows, which do not fit it
            verify(file, model=ADULT, data=["rows.csv"])
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text() + "1,1,1,1,no\n")
    with pytest.raises(bt.InputError, match="the data is another one"):
        verify("c.json")


def test_the_command(run: Any, folder: Path) -> None:
    code, out, _ = run(
        "explain", MNIST, DIGIT, "--out", folder / "digit", "--mode", "epsilon(absolute=1e-6)"
    )
    assert code == 0
    code, out, _ = run("verify", folder / "digit")
    assert code == 0 and "explanation: all" in out and "bit for bit" in out
    run("explain", ADULT, ROWS, "--out", folder / "rows", "--target", "1")
    assert run("verify", folder / "rows" / "explanation.npz")[0] == 0
    made = bt.Explanation.load(folder / "rows" / "explanation.npz")
    made.positive["features"][0, 0] += 1
    bt.Explanation(**{**vars(made), "relevance": made.positive}).save(folder / "e.npz")
    code, out, _ = run("verify", folder / "e.npz")
    assert code == 1 and "not the same: " in out
    code, out, _ = run("verify", folder / "e.npz", "--json")
    assert code == 1 and json.loads(out)["same"] is False
    (folder / "empty").mkdir()
    (folder / "digit" / "explanation_2.npz").write_bytes(b"")
    for wrong in ("none.npz", "audit.toml", "rows.csv", "empty", "digit"):
        assert run("verify", folder / wrong)[0] == 2
