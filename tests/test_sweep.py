"""The sweep's own parts: what it says of a file, how it goes on, and its table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from backtrace_onnx.propagation.ledger import Balance, Entry, Ledger, Sizes
from tests.graphs import model, node

MATRIX = Path(__file__).parents[1] / "scripts" / "matrix"


@pytest.fixture(scope="module")
def part() -> Iterator[Any]:
    """A module of the script, by name."""
    sys.path.insert(0, str(MATRIX))
    try:
        yield import_module
    finally:
        sys.path.remove(str(MATRIX))


def written(kind: str, folder: Path) -> Path:
    made = model(
        [node("MatMul", ["x", "w"], ["z"]), node(kind, ["z"], ["y"])],
        {"x": (TensorProto.FLOAT, ["N", 3])},
        {"y": (TensorProto.FLOAT, ["N", 2])},
        {"w": np.arange(6, dtype=np.float32).reshape(3, 2)},
    )
    onnx.save(made, folder / "m.onnx")
    return folder / "m.onnx"


def test_a_file_is_explained_refused_or_not_exported(part: Any, tmp_path: Path) -> None:
    check, feeds = part("checking").check, {"x": np.ones((2, 3), np.float32)}
    found = check(written("Relu", tmp_path), feeds)
    assert found["outcome"] == "explained" and found["compiled"] == "agrees"
    assert found["residual"] < 1e-6 and found["engines"] < 1e-6
    assert check(written("NoSuch", tmp_path), feeds)["outcome"] == "not exported"
    refused = check(written("Relu", tmp_path), {"x": np.ones((2, 4), np.float32)})
    assert refused["outcome"] == "refused" and "x" in refused["reason"]


def test_it_goes_on_where_it_stopped(part: Any) -> None:
    wanted = part("sweep")._is_wanted
    asked = argparse.Namespace(again=False, failed=False, since=10.0)
    done, failed = {"begun": 5.0, "outcome": "explained"}, {"begun": 5.0, "outcome": "wrong"}
    assert not wanted(done, asked) and not wanted(failed, asked)
    asked.failed = True
    assert not wanted(done, asked) and wanted(failed, asked)
    asked.again = True
    assert wanted(done, asked) and not wanted({**failed, "begun": 11.0}, asked)


def test_the_table_counts_what_came_out(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, sweep = part("sweep_table"), part("sweep")
    monkeypatch.setattr(table, "DOCUMENT", tmp_path / "sweep.md")
    base = {"family": "f", "exporter": "e", "begun": 1.0}
    good = {"outcome": "explained", "residual": 0, "engines": 0, "compiled": "agrees"}
    good |= {"reached": {"default": 1.0}, "notes": ["lrp: no slope (node A, B) of it", "a note"]}
    rows = [
        {**base, "name": "f / A / e", "network": "A", "outcome": "begun"},
        {**base, "name": "f / A / e", "network": "A", **good},
        {**base, "name": "f / B / e", "network": "B", "outcome": "wrong", "reason": "x | y"},
        {**base, "name": "f / C / e", "network": "C", "outcome": "not finished", "reason": ""},
        {**base, "name": "f / D / e", "network": "D", "outcome": "begun"},
        {**base, "name": "f / F / e", "network": "F", **good, "compiled": "refused: as it is"},
        {**base, "name": "f / gone / e", "network": "gone", **good},
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    listed = [part("cases").Case("f", name, "e", lambda path: {}) for name in "BADCEF"]
    monkeypatch.setattr(table, "EXPORTERS", ("onnx",))
    records = sweep.read(tmp_path / "r.jsonl")
    assert table.write_table(records, listed) == 1
    text = (tmp_path / "sweep.md").read_text()
    assert "| f | e | 2 |  | 1 |  |" in text and "3 exports" in text and "gone" not in text
    assert "| yes | 1, -, -, -, -, - |" in text
    assert "| default | 2 |  |" in text and "| lrp | 0 | 2: no slope of it |" in text
    assert "## Explained, not compiled\n\n- F (e): refused: as it is" in text
    assert "- B (e): x / y" in text and "counted nowhere: C (e)." in text
    assert "Of 6 exports 2 did not run**: D (e), E (e)." in text
    assert table.write_table(records, listed[1:2]) == 0
    assert "All 1 exports of the list ran." in (tmp_path / "sweep.md").read_text()


def test_what_is_computed_in_float16_or_8_bits_may_differ_more(part: Any, tmp_path: Path) -> None:
    checking = part("checking")
    path = written("Relu", tmp_path)
    assert not checking._is_coarse(path)
    nodes = [node("Cast", ["x"], ["h"], to=10), node("Relu", ["h"], ["z"])]
    made = model(
        [*nodes, node("Cast", ["z"], ["y"], to=1)],
        {"x": (TensorProto.FLOAT, ["N", 3])},
        {"y": (TensorProto.FLOAT, ["N", 3])},
    )
    onnx.save(made, path)
    assert checking._is_coarse(path)
    onnx.save(model([node("QLinearConv", ["x"] * 8, ["y"])], {}, {}), path)
    assert checking._is_coarse(path)


def test_what_cancels_counts_in_what_moved(part: Any) -> None:
    """A total of 5 out of sums of 1e8 is rounded as these are."""
    one = np.ones((1, 1))
    balance = Balance(3 * one, 5 * one, 0 * one, 0 * one)
    assert part("checking")._residual(Ledger({}, balance)) == 0.4
    sizes = Sizes(3 * one, 1e8 * one, 3 * one, 1e8 * one)
    assert part("checking")._residual(Ledger({}, balance, sizes=sizes)) == 2e-8
    node = Entry("n", "Add", -1e8 * one, -1e8 * one, 0 * one, 0 * one)
    assert part("checking")._residual(Ledger({"n": node}, balance)) == 2e-8


def test_reasons_are_plain_text(part: Any) -> None:
    error = ValueError("\x1b[96mfailed\x1b[0m:\n  /tmp/folder/model.onnx | x")
    assert part("checking")._words(error) == "failed: model.onnx | x"


def test_what_is_rounded_to_nearly_nothing_is_no_difference(part: Any) -> None:
    apart, one = part("checking")._apart, np.array([1e-7, 0.0])
    assert apart(one, 0 * one) == 1.0
    assert apart(one, 0 * one, 1e-6) == 0.0
    assert apart(one + 1, one, 1e-6) > 0.9
