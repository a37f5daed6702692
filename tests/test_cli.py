"""The command line: what it prints, what it writes, and how it says no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from backtrace_onnx import Explainer, Explanation
from backtrace_onnx.report import console
from tests.command_line import ADULT, DIGIT, MNIST, MODELS, ROWS, saved

OTHER = MODELS / "samples" / "digit_5.png"


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """y = Relu(a) + b, with a batch axis of 1."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "aby"]
    nodes = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Add", ["r", "b"], ["y"])]
    return saved(tmp_path / "two.onnx", nodes, tensors[:2], tensors[2:])


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A model with an operator that nobody knows."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "xy"]
    nodes = [helper.make_node("Foo", ["x"], ["y"], name="foo", domain="my.ops")]
    return saved(tmp_path / "unknown.onnx", nodes, tensors[:1], tensors[1:])


def test_a_picture(run: Any) -> None:
    code, out, err = run("explain", MNIST, DIGIT, "--top", 3)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("digit_2.png: 2 (")
    assert sum(line.startswith("rows ") for line in lines) == 3
    assert "note: the score is compared with that of the blurred input" in lines
    assert any(line.startswith("difference ") for line in lines)


def test_a_table(run: Any) -> None:
    code, out, _ = run("explain", ADULT, ROWS, "--mode", "contrastive")
    assert code == 0
    assert "adult.csv row 1: <=50K" in out and "adult.csv row 5: >50K" in out
    assert "marital-status = Married-civ-spouse" in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_many_rows_are_cut_short_and_say_so(run: Any, tmp_path: Path) -> None:
    header, *rows = ROWS.read_text().splitlines()
    (tmp_path / "many.csv").write_text("\n".join([header, *rows, *rows]))
    code, out, _ = run("explain", ADULT, tmp_path / "many.csv")
    assert code == 0 and "... and 5 more sample(s)" in out and "row 6" not in out


def test_json(run: Any) -> None:
    code, out, err = run("explain", MNIST, DIGIT, "--json", "--top", 2, "--mode", "contrastive")
    assert (code, err) == (0, "")
    found = json.loads(out)
    keys = {"model", "mode", "computes", "conserved", "task", "output", "samples", "files"}
    keys |= {"origin"}
    assert {*found} == keys
    (sample,) = found["samples"]
    assert sample["prediction"]["label"] == "2" and sample["target"]["index"] == 2
    assert len(sample["top"]) == 2 and {*sample["top"][0]["channels"]} == {"positive", "negative"}
    for amounts in sample["ledger"].values():
        went = amounts["inputs"] + amounts["constants"] + amounts["unassigned"]
        assert went + amounts["residual"] == pytest.approx(amounts["start"])


def test_a_folder(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    code, printed, _ = run("explain", MNIST, DIGIT, OTHER, "--out", out)
    assert code == 0
    names = {file.name for file in out.iterdir()}
    pictures = {f"{kind}_{i}.png" for kind in ("relevance", "layers") for i in (1, 2)}
    assert names == {"report.json", "explanation.npz", *pictures}
    report = json.loads((out / "report.json").read_text())
    assert {Path(file).name for file in report["files"]} == names
    assert f"wrote {out / 'report.json'}" in printed
    assert Explanation.load(out / "explanation.npz").relevance["image"].shape == (2, 1, 28, 28)


def test_a_folder_is_replaced_but_not_what_others_keep_there(run: Any, tmp_path: Path) -> None:
    run("explain", ADULT, ROWS, "--out", tmp_path / "out")
    (tmp_path / "out" / "relevance_mine.png").write_text("mine")
    code, _, _ = run("explain", MNIST, DIGIT, "--out", tmp_path / "out")
    assert code == 0
    names = {file.name for file in (tmp_path / "out").iterdir()}
    ours = {"report.json", "explanation.npz", "relevance.png", "layers.png"}
    assert names == {*ours, "relevance_mine.png"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_not_left_half_written(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backtrace_onnx.commands.report_folder.plot_layers", fail)
    code, _, err = run("explain", MNIST, DIGIT, "--out", tmp_path / "out")
    assert code == 130 and err.endswith("Error: interrupted\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("target", "index"), [("7", 7), ("-1", 9), ("3", 3)])
def test_targets(run: Any, target: str, index: int) -> None:
    _, out, _ = run("explain", MNIST, DIGIT, "--json", "--target", target)
    assert json.loads(out)["samples"][0]["target"]["index"] == index


def test_a_label_is_a_target_and_each_sample_may_have_its_own(run: Any) -> None:
    labels = [">50K", "<=50K", ">50K", "1", "0"]
    arguments = [part for label in labels for part in ("--target", label)]
    _, out, _ = run("explain", ADULT, ROWS, "--json", *arguments)
    targets = [sample["target"]["index"] for sample in json.loads(out)["samples"]]
    assert targets == [1, 0, 1, 1, 0]


def test_the_sidecar_gives_task_and_threshold(run: Any) -> None:
    scene = MODELS / "samples" / "scene_1.png"
    code, out, _ = run("explain", MODELS / "digits_unet.onnx", scene, "--json")
    found = json.loads(out)
    assert code == 0 and found["task"] == "segmentation"
    assert 100 < found["samples"][0]["mask"]["inside"] < 1000


@pytest.mark.parametrize("kind", ["npy", "npz", "json", "csv"])
def test_arrays_of_every_kind(run: Any, kind: str, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 28 * 28, dtype=np.float32).reshape(1, 1, 28, 28)
    file = tmp_path / f"x.{kind}"
    {
        "npy": lambda: np.save(file, x[0]),  # without the batch axis
        "npz": lambda: np.savez(file, image=x),
        "json": lambda: file.write_text(json.dumps({"image": x.tolist()})),
        "csv": lambda: np.savetxt(file, x.reshape(1, -1), delimiter=","),
    }[kind]()
    code, out, _ = run("explain", MNIST, file, "--json")
    assert code == 0
    value = json.loads(out)["samples"][0]["prediction"]["value"]
    np.save(tmp_path / "y.npy", x)
    _, again, _ = run("explain", MNIST, f"image={tmp_path / 'y.npy'}", "--json")
    assert value == pytest.approx(json.loads(again)["samples"][0]["prediction"]["value"], rel=1e-5)


def test_several_inputs_and_a_fixed_batch(run: Any, two_inputs: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.float32([[1, 2, 3], [4, 5, 6]]))
    (tmp_path / "b.json").write_text("[[1, 1, 1], [2, 2, 2]]")
    files = f"a={tmp_path / 'a.npy'}", f"b={tmp_path / 'b.json'}"
    code, out, _ = run("explain", two_inputs, *files, "--json", "--out", tmp_path / "out")
    assert code == 0
    values = [sample["prediction"]["value"] for sample in json.loads(out)["samples"]]
    assert values == [4.0, 8.0]
    assert (tmp_path / "out" / "explanation_2.npz").exists()


def test_inspect(run: Any) -> None:
    code, out, _ = run("inspect", MNIST)
    assert code == 0 and "conv1/Conv" in out and "input image float32[batch, 1, 28, 28]" in out
    code, out, _ = run("inspect", MNIST, "--json")
    found = json.loads(out)
    assert found["explainable"] is True and found["opsets"]["ai.onnx"] == 18
    assert {node["coverage"] for node in found["nodes"]} == {"exact"}


def test_inspect_what_cannot_be_explained(run: Any, unknown: Path) -> None:
    code, out, err = run("inspect", unknown)
    assert (code, err) == (0, "") and "my.ops::Foo: foo" in out and "@backtrace_onnx.rule" in out
    assert json.loads(run("inspect", unknown, "--json")[1])["explainable"] is False


def test_ops(run: Any) -> None:
    assert "Gemm" in run("ops")[1]
    assert any(row["operator"] == "Gemm" for row in json.loads(run("ops", "--json")[1]))
    assert run("ops", "--markdown")[1].count("| Gemm | ai.onnx | exact |") == 1


def test_compile(run: Any, tmp_path: Path) -> None:
    code, out, err = run("compile", ADULT, "-o", tmp_path / "c.onnx", "--mode", "contrastive")
    assert (code, err) == (0, "") and f"wrote {tmp_path / 'c.onnx'}" in out
    assert "output logits float32[batch, 2]" in out
    onnx.checker.check_model(tmp_path / "c.onnx")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "onnx", "onnxruntime", "numba", "rich", "matplotlib", "PIL")
    code = (
        "import sys; from backtrace_onnx.cli import main; main(['explain', '--help']); "
        f"sys.exit(', '.join(m for m in {heavy} if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "--on-unsupported" in done.stdout


def test_a_broken_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m backtrace_onnx ops | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("operator")


def test_no_color(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("explain", MNIST, DIGIT)[1]


def test_progress_is_shown_on_a_terminal_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    read, write = os.openpty()
    with os.fdopen(write, "w") as terminal:
        with console.Waiting("Loading", stream=terminal) as waiting:
            time.sleep(0.6)
            waiting.say("Explaining")
            waiting.advance(1, 2)
            time.sleep(0.3)
        shown = os.read(read, 100_000).decode()
    os.close(read)
    assert "Loading" in shown and "Explaining" in shown


def test_progress_is_quiet_when_piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.01)
    with (tmp_path / "err").open("w") as stream, console.Waiting("Loading", stream=stream):
        time.sleep(0.1)
    assert (tmp_path / "err").read_text() == ""


def test_a_box_has_the_bounds_that_the_sidecar_gives(run: Any) -> None:
    """A pixel p of the digit is fed as (p / 255 - 0.1307) / 0.3081."""
    named = f"box({-0.1307 / 0.3081}, {(1 - 0.1307) / 0.3081})"
    maps = []
    for box in ("box", named):
        code, out, _ = run("explain", MNIST, DIGIT, "--json", "--mode", f"first: {box}")
        assert code == 0
        maps.append([part["relevance"] for part in json.loads(out)["samples"][0]["top"]])
    np.testing.assert_allclose(*maps, rtol=1e-5)


def test_several_targets_of_every_sample(run: Any, tmp_path: Path) -> None:
    asked = [MNIST, DIGIT, DIGIT.with_name("digit_5.png"), "--json", "--mode", "gradient"]
    code, out, _ = run("explain", *asked, "--targets", "2", "--targets", "7")
    samples = json.loads(out)["samples"]
    assert code == 0 and [s["target"]["index"] for s in samples] == [2, 7, 2, 7]
    assert [Path(s["source"]).name for s in samples] == ["digit_2.png"] * 2 + ["digit_5.png"] * 2
    code, out, _ = run("explain", *asked, "--target", "7")
    alone = json.loads(out)["samples"]
    assert [s["top"] for s in samples[1::2]] == [s["top"] for s in alone]
    code, out, _ = run("explain", MNIST, DIGIT, "--targets", "all", "--json")
    assert [s["target"]["index"] for s in json.loads(out)["samples"]] == list(range(10))
    code, _, err = run("explain", MNIST, DIGIT, "--targets", "all", "--target", "2")
    assert code == 2 and "--targets explains several" in err


def test_compile_for_several_targets(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("compile", MNIST, "-o", tmp_path / "each.onnx", "--target", "several")
    assert code == 0 and "input targets int64[targets, target samples]: of each target" in out
    assert "output relevance/image float32[targets, batch, 1, 28, 28]" in " ".join(out.split())


def test_compile_what_compares(run: Any, tmp_path: Path) -> None:
    asked = ["compile", MNIST, "-o", tmp_path / "d.onnx", "--mode", "deeplift"]
    code, out, _ = run(*asked)
    assert code == 0 and "(optional): what image is compared with, zeros if left out" in " ".join(
        out.split()
    )
    np.save(tmp_path / "grey.npy", np.full((1, 28, 28), 0.5, np.float32))
    for baseline in ("zeros", "0.5", tmp_path / "grey.npy"):
        code, out, _ = run(*asked, "--baseline", baseline)
        assert code == 0 and "baseline" not in out.replace("target is an", "")
    rows = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    x = {"image": np.random.default_rng(1).random((2, 1, 28, 28), np.float32)}
    wanted = Explainer(MNIST).explain(x, mode="deeplift", baseline=[*rows]).relevance["image"]
    for how in (("--baseline", "rows", "--background"), ("--baseline",)):
        assert run(*asked, *how, tmp_path / "rows.npy")[0] == 0
        found = ort.InferenceSession(tmp_path / "d.onnx").run(["relevance/image"], x)[0]
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    code, _, err = run(*asked, "--baseline", "blur")
    assert code == 2 and "it is zeros, required, a number, mean or rows" in err


def test_compile_holds_a_background(run: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mode, file = "expected_gradients(samples=4)", tmp_path / "e.onnx"
    asked = ("compile", MNIST, "-o", file, "--mode", mode, "--target", "7")
    code, _, err = run(*asked)
    assert code == 2 and "a background is needed" in err
    code, _, err = run(*asked, "--background", tmp_path / "rows.npy")
    assert code == 0, err
    found = ort.InferenceSession(file).run(["relevance/image"], {"image": rows[:1]})[0]
    told = {"mode": mode, "target": 7, "background": rows}
    wanted = Explainer(MNIST).explain(rows[:1], **told).relevance["image"]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * float(np.abs(wanted).max()))
