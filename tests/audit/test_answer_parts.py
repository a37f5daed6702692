"""What is little of all rows is found where it is much of those that get one answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from backtrace_onnx.audit.answer_parts import FEWEST, answer_parts
from tests.audit.audited import linear, one, subject, write_model, write_rows

ONE_SIDED = [(2.0, -2.0), (1.0, -1.0), (0.5, -0.5), (0.0, 1.0)]
"""Weights of a classifier that looks at the leak for "yes" only."""


def test_all_rows_come_first_and_then_answers_that_enough_get(tmp_path: Path) -> None:
    model = write_model(tmp_path, linear())
    every, *others = answer_parts(subject(model, write_rows(tmp_path)))
    assert (every.answer, len(every.rows), every.where) == (None, 200, "")
    assert [part.answer for part in others] == ["no", "yes"]
    assert sorted(np.concatenate([part.rows for part in others])) == [*range(200)]
    few = write_rows(tmp_path, count=FEWEST + 5, name="few.csv")
    assert len(answer_parts(subject(model, few))) == 1


@pytest.mark.parametrize("check", ["sensitive-share", "sensitive-proxies"])
def test_a_feature_that_one_answer_rests_on_counts_as_much_as_there(
    check: str, tmp_path: Path
) -> None:
    model, rows = write_model(tmp_path, linear(ONE_SIDED)), write_rows(tmp_path, 400)
    if check == "sensitive-proxies":  # the feature b is a: it stands for it
        model = write_model(tmp_path, linear([(2, -2), (0, 1), (0.5, -0.5), (0, 0)]))
    feature, named = ("leak", 3) if check == "sensitive-share" else ("a", 1)
    found = one(check, model, rows, sensitive=[feature])
    x = np.loadtxt(rows, delimiter=",", skiprows=1, usecols=range(4))
    w = np.array(ONE_SIDED if named == 3 else [(2, -2), (0, 1), (0.5, -0.5), (0, 0)])
    answer = (x @ w).argmax(1)
    relevance = np.abs(x * w.T[answer])
    shares = relevance[:, named] / relevance.sum(1)
    assert found.value == pytest.approx(shares[answer == 1].mean(), abs=1e-4)
    assert found.evidence[feature]["share"] == pytest.approx(shares.mean(), abs=1e-4)
    assert found.text.endswith("where the answer is yes") and found.confirmed
    assert shares.mean() < 0.7 * shares[answer == 1].mean()


def test_a_mark_that_goes_with_one_class_is_outside_of_the_mask(tmp_path: Path) -> None:
    """Ten classes, each a pixel; that of the last one lies outside: a tenth of all relevance."""
    labels = np.repeat(np.arange(10), 40)
    x = np.zeros((400, 1, 4, 4), np.float32)
    x.reshape(400, 16)[np.arange(400), np.where(labels == 9, 15, labels)] = 1
    x += np.random.default_rng(0).random(x.shape).astype(np.float32) / 100
    w = np.zeros((16, 10), np.float32)
    w[np.arange(9), np.arange(9)] = w[15, 9] = 1
    listed = ", ".join(map(str, w.ravel().tolist()))
    net = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 1, 4, 4] x) => (float[n, 10] y) <float[16, 10] w = {{{listed}}}>
        {{ f = Flatten(x) y = MatMul(f, w) }}"""
    )
    onnx.save(net, tmp_path / "net.onnx")
    image = {"kind": "image", "height": 4, "width": 4, "color": "gray"}
    about = {"inputs": {"x": image}, "outputs": {"y": {"task": "classification"}}}
    (tmp_path / "net.sidecar.json").write_text(json.dumps(about))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "mask.npy", np.arange(16).reshape(4, 4) < 15)
    mask = str(tmp_path / "mask.npy")
    found = one("relevance-outside-mask", tmp_path / "net.onnx", tmp_path / "x.npy", mask=mask)
    assert (found.status, found.confirmed) == ("failed", True)
    assert found.value == pytest.approx(1, abs=1e-3) and "where the answer is 9" in found.text
    assert found.evidence["by_answer"]["(all)"] == pytest.approx(0.1, abs=1e-3)
