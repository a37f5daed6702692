"""`--through` on the command line: what passes, what is cut, and what is no such thing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from backtrace_onnx.cli import main
from tests.command_line import DIGIT, MNIST

TENSOR = "relu1/Relu_output"


def test_what_is_cut_is_in_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["explain", str(MNIST), str(DIGIT), "--mode", "lrp", "--through", f"{TENSOR}=0,3"]
    assert main([*asked, "--json"]) == 0
    (sample,) = json.loads(capsys.readouterr().out)["samples"]
    books = sample["ledger"]["positive"]
    parts = books["inputs"] + books["constants"] + books["unassigned"] + books["cut"]
    assert books["cut"] and abs(books["start"] - parts) < 1e-4 * abs(books["start"])
    assert any(f"2 of 16 parts of '{TENSOR}'" in note for note in sample["notes"])
    assert main(asked) == 0
    assert f"cut by through at {TENSOR}" in " ".join(capsys.readouterr().out.split())


def test_a_file_is_compiled_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.onnx"
    asked = ["compile", str(MNIST), "-o", str(file), "--mode", "lrp", "--through", f"{TENSOR}=1"]
    assert main([*asked, "--target", "2"]) == 0
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((1, 1, 28, 28)).astype(np.float32)
    (found,) = session.run(["relevance/image"], {"image": x})
    made = bt.explain(MNIST, x, mode="lrp", target=2, through={TENSOR: [1]})
    np.testing.assert_allclose(found, made.relevance["image"], rtol=1e-3, atol=1e-6)
    capsys.readouterr()


@pytest.mark.parametrize("text", ["relu1", "relu1=", "=1,2", "relu1=a", "relu1=1,,2"])
def test_what_is_no_condition(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(MNIST), str(DIGIT), "--through", text]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--through is TENSOR=1,5,7: a tensor and its channels" in told
