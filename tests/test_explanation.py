"""What an explanation holds and how it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer, Explanation, InputError, Note, RequestError
from backtrace_onnx.propagation.ledger import KINDS
from tests.graphs import FLOAT, STRING, mlp, model, node, normal

X = normal(3, 4, seed=5)


def _alike(a: Explanation, b: Explanation) -> None:
    for group in ("relevance", "positive", "negative", "inputs", "outputs"):
        left, right = getattr(a, group), getattr(b, group)
        assert list(left) == list(right)
        for name in left:
            assert left[name].dtype == right[name].dtype
            assert np.array_equal(left[name], right[name]), (group, name)
    for key in ("output", "mode", "task", "names", "axes", "notes"):
        assert getattr(a, key) == getattr(b, key)
    assert np.array_equal(a.target, b.target)  # type: ignore[arg-type]
    assert list(a.ledger) == list(b.ledger)
    for name, entry in a.ledger.items():
        assert entry.operator == b.ledger[name].operator
        for kind in KINDS:
            assert np.array_equal(getattr(entry, kind), getattr(b.ledger[name], kind))
    for kind in ("start", "inputs", "constants", "unassigned"):
        assert np.array_equal(getattr(a.ledger.total(), kind), getattr(b.ledger.total(), kind))


@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)"])
@pytest.mark.parametrize("name", ["e.npz", "no suffix", "e.explanation"])
def test_what_is_saved_is_loaded_exactly(tmp_path: Path, mode: str, name: str) -> None:
    found = Explainer(mlp()).explain(X, mode=mode, keep="all")
    found.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    _alike(found, Explanation.load(tmp_path / name))


def test_notes_are_kept(tmp_path: Path) -> None:
    notes = (Note("the classes lie along axis 1"), Note("the score is 0", sample=2))
    found = replace(Explainer(mlp()).explain(X), notes=notes)
    found.save(tmp_path / "e.npz")
    assert Explanation.load(tmp_path / "e.npz").notes == notes
    assert str(notes[1]) == "sample 2: the score is 0"


def test_tensor_names_may_be_anything(tmp_path: Path) -> None:
    odd = "/a/../b\\c.npy:\u00fc"
    proto = model([node("Relu", [odd], ["y/"])], {odd: (FLOAT, ["N"])}, {"y/": (FLOAT, ["N"])})
    found = Explainer(proto).explain(np.ones(2), start=np.ones(2))
    found.save(tmp_path / "e.npz")
    _alike(found, Explanation.load(tmp_path / "e.npz"))


def test_text_is_kept(tmp_path: Path) -> None:
    proto = model(
        [node("Relu", ["x"], ["y"]), node("Identity", ["s"], ["t"])],
        {"x": (FLOAT, ["N"]), "s": (STRING, ["N"])},
        {"y": (FLOAT, ["N"]), "t": (STRING, ["N"])},
    )
    found = Explainer(proto).explain({"x": [1, 2.5], "s": ["a", "\u00fc"]})
    found.save(tmp_path / "e.npz")
    _alike(found, Explanation.load(tmp_path / "e.npz"))


def test_saving_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    path.write_bytes(b"old")
    Explainer(mlp()).explain(X).save(path)
    assert Explanation.load(path).mode == "default"
    assert [p.name for p in tmp_path.iterdir()] == ["e.npz"]


def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    found = Explainer(mlp()).explain(X)
    with pytest.raises(RequestError, match=r"gone/e\.npz: cannot be written \(No such file"):
        found.save(tmp_path / "gone" / "e.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestError, match="is a folder"):
        found.save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("place", ["", "/"])
def test_a_folder_is_no_file(place: str) -> None:
    with pytest.raises(RequestError, match="is a folder; name a file"):
        Explainer(mlp()).explain(X).save(place)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(RequestError, match="cannot be written"):
        Explainer(mlp()).explain(X).save(tmp_path / "file" / "e.npz")


def _npz(path: Path, **arrays: Any) -> bytes:
    np.savez(path, **arrays)
    return path.read_bytes()


def test_rubbish_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    Explainer(mlp()).explain(X).save(path)
    good = path.read_bytes()
    about = np.frombuffer(json.dumps({"format": 99}).encode(), np.uint8)
    rubbish = [
        b"",
        b"text",
        good[: len(good) // 2],
        _npz(path, a=np.ones(2)),
        _npz(path, about=np.ones(2)),
        _npz(path, about=about),
    ]
    for data in rubbish:
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"e\.npz: not a saved explanation"):
            Explanation.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Explanation.load(tmp_path / "none.npz")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    np.savez(path, about=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="not a saved explanation"):
        Explanation.load(path)


def test_the_largest_contributions() -> None:
    found = Explainer(mlp()).explain(X)
    for sample in range(3):
        rows = found.top(sample=sample)
        values = found.relevance["x"][sample]
        assert [r.relevance for r in rows] == sorted(values.tolist(), key=abs, reverse=True)
        assert all(found.relevance["x"][r.index] == r.relevance for r in rows)
        assert rows[0].name == f"x[{rows[0].index[1]}]"
    assert len(found.top(2)) == 2
    assert found.top(0) == []
    assert found.top(input="x") == found.top()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 3}, "no sample 3 of input 'x', which has 3"),
        ({"sample": -1}, "no sample -1"),
        ({"input": "z"}, "no input 'z'; there are: x"),
        ({"n": -1}, "not -1"),
    ],
)
def test_contributions_that_do_not_exist(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Explainer(mlp()).explain(X).top(**options)


def test_an_input_without_samples_is_taken_whole() -> None:
    proto = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [4])},
        {"y": (FLOAT, [3])},
        {"w": normal(4, 3)},
    )
    found = Explainer(proto).explain(X[0])
    assert found.axes == {"x": None}
    assert len(found.top()) == 4


def test_samples_may_lie_along_another_axis() -> None:
    proto = model(
        [node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=0), node("Relu", ["m"], ["y"])],
        {"x": (FLOAT, ["steps", "batch", 4])},
        {"y": (FLOAT, ["batch", 4])},
        opset=17,
    )
    found = Explainer(proto).explain(normal(5, 2, 4))
    assert found.axes == {"x": 1}
    rows = found.top(100, sample=1)
    assert len(rows) == 20
    assert {row.index[1] for row in rows} == {1}
