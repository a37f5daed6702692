"""Sums of groups: with what is left of every input they are all the relevance that reached it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from backtrace_onnx import Explainer, Explanation, InputError, RequestError
from backtrace_onnx.cli import commands, main
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.ranking import rank
from tests.column_models import people
from tests.graphs import mlp, normal
from tests.report.made import explanation

ROOT = Path(__file__).parents[2]


ROWS = [{"age": 30.0, "hours": 40, "job": "pilot"}, {"age": 41.5, "hours": 20, "job": "cook"}]


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
@pytest.mark.parametrize("mode", ["default", "contrastive", "epsilon(absolute=1e-6)", "lrp"])
def test_groups_and_rest_are_all_that_reached_the_inputs(mode: str, engine: Any) -> None:
    made = Explainer(people(), engine=engine).explain(ROWS, mode=mode)
    found = made.groups({"work": ["hours", "job"]})
    assert list(found) == ["work"] and list(found.rest) == ["age"]
    own = made.relevance["hours"] + made.relevance["job"]
    np.testing.assert_allclose(found["work"].relevance, own[:, 0], rtol=1e-6)
    total = made.ledger.total().inputs
    signed = total[0] - total[1] if len(total) > 1 else total[0]
    np.testing.assert_allclose(found.total, signed, rtol=1e-5, atol=1e-6)
    positive = found["work"].positive + found.rest["age"].positive
    np.testing.assert_allclose(positive, total[0], rtol=1e-5, atol=1e-6)
    assert found["work"].entries.tolist() == [2, 2] and found["work"].members == ("hours", "job")
    names = [name for name, _ in found.top(sample=1)]
    assert sorted(names) == ["age", "work"]
    with pytest.raises(RequestError, match="no sample 2; there are 2"):
        found.top(sample=2)


def test_groups_of_features_and_of_pixels() -> None:
    made = Explainer(mlp()).explain(normal(3, 4, seed=2), mode="epsilon(absolute=1e-6)")
    found = made.groups({"first": ["x[0:2]"], "last": ["x[3]"]})
    np.testing.assert_allclose(
        found["first"].relevance, made.relevance["x"][:, :2].sum(1), rtol=1e-5
    )
    np.testing.assert_allclose(found.rest["x"].relevance, made.relevance["x"][:, 2], rtol=1e-5)
    whole = made.groups({"all": ["x"]})
    assert not whole.rest and whole["all"].entries.tolist() == [4, 4, 4]
    picture = explanation({"image": np.ones((1, 3, 16, 12))})
    found = picture.groups({"sky": ["image[0:5, :]"]})
    want = picture.relevance["image"][0, :, :5].sum()
    np.testing.assert_allclose(found["sky"].relevance, [want])
    with pytest.raises(RequestError, match="give groups, or a sidecar"):
        picture.groups()


SHAPES: dict[str, tuple[tuple[int, ...], str, int]] = {
    "picture": ((1, 3, 16, 16), "x[0:8, 3:9]", 56),
    "gray": ((1, 1, 1, 16, 16), "x[0:8, 2:4]", 60),
    "rows": ((1, 6, 5), "x[1:3]", 4),
    "entries": ((1, 7), "x[2:4]", 5),
    "volume": ((1, 2, 3, 4, 5), "x[0]", 60),
    "past": ((1, 2, 5, 4), "past_x[:, 1:3]", 3),
}


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_ranking_tells_every_entry_once(kind: str, two: bool) -> None:
    shape, member, count = SHAPES[kind]
    name = member.partition("[")[0]
    arrays = {name: normal(*shape, seed=3), "other": normal(1, 2, seed=4)}
    made = explanation(arrays, against={n: np.abs(x) for n, x in arrays.items()} if two else None)
    subject = ExplainedSample(made, groups={"g": [member], "h": ["other[1]"]})
    parts = rank(subject)
    whole = sum(float(r.sum()) for r in made.relevance.values())
    np.testing.assert_allclose(sum(part.relevance for part in parts), whole, rtol=1e-5, atol=1e-6)
    group = next(part for part in parts if part.name == "g")
    found = made.groups(subject.groups)
    np.testing.assert_allclose(group.relevance, found["g"].relevance[0], rtol=1e-6)
    assert group.members == (member,) and group.input == name
    assert len([part for part in parts if part.input == name and part.members is None]) == count
    assert abs(sum(part.share for part in parts) - 1) < 1e-6


def test_a_part_that_a_group_holds_in_part_is_told_without_it() -> None:
    sidecar = Sidecar.load(ROOT / "models" / "adult_mlp.sidecar.json")
    x = sidecar.encode("features", ROOT / "models" / "samples" / "adult.csv")
    made = Explainer(ROOT / "models" / "adult_mlp.onnx").explain(x, sidecar=sidecar)
    groups = {"study": ["education", "education-num"], "private": ["workclass=Private"]}
    subject = ExplainedSample(made, 2, sidecar=sidecar, groups=groups)
    parts = {part.name: part for part in rank(subject)}
    assert "education" not in parts and "workclass" in parts and "age" in parts
    slots = {n: i for i, n in enumerate(sidecar.names()["features"])}
    row = made.relevance["features"][2]
    np.testing.assert_allclose(parts["private"].relevance, row[slots["workclass=Private"]])
    own = [i for n, i in slots.items() if n.startswith(("education=", "education-num"))]
    np.testing.assert_allclose(parts["study"].relevance, row[own].sum(), rtol=1e-5)
    rest = [i for n, i in slots.items() if n.startswith("workclass=") and "Private" not in n]
    np.testing.assert_allclose(parts["workclass"].relevance, row[rest].sum(), atol=1e-6)
    found = made.groups(groups, sidecar=sidecar)
    np.testing.assert_allclose(found["study"].relevance[2], row[own].sum(), rtol=1e-5)


def people_files(folder: Path, groups: Any = None) -> list[str]:
    onnx.save(people(), folder / "m.onnx")
    (folder / "rows.json").write_text(json.dumps(ROWS))
    if groups is not None:
        (folder / "m.sidecar.json").write_text(json.dumps({"groups": groups}))
    return ["explain", str(folder / "m.onnx"), str(folder / "rows.json")]


def run(arguments: list[str]) -> str:
    return CliRunner().invoke(commands, arguments, catch_exceptions=False).stdout


def test_the_command_line(tmp_path: Path) -> None:
    arguments = [*people_files(tmp_path), "--group", "work=hours,job"]
    found = json.loads(run([*arguments, "--json"]))["samples"][1]["top"]
    made = Explainer(people()).explain(ROWS, mode="auto")
    group = next(part for part in found if part["members"])
    assert group["name"] == "work" and group["members"] == ["hours", "job"]
    assert group["input"] == "hours, job"
    want = made.groups({"work": ["hours", "job"]})["work"].relevance[1]
    assert group["relevance"] == pytest.approx(want, rel=1e-6)
    assert [part["name"] for part in found if not part["members"]] == ["age"]
    shown = run([*arguments, "--out", str(tmp_path / "out")])
    assert "work (hours, job)" in shown and "age = 30" in shown and "job = " not in shown
    assert (tmp_path / "out" / "relevance_1.png").stat().st_size > 1000


def test_groups_of_the_sidecar_unless_the_command_line_has_some(tmp_path: Path) -> None:
    arguments = [*people_files(tmp_path, {"who": ["age", "job"]}), "--json"]
    names = {part["name"] for part in json.loads(run(arguments))["samples"][0]["top"]}
    assert names == {"who", "hours"}
    arguments += ["--group", "time=hours", "--group", "who=age"]
    names = {part["name"] for part in json.loads(run(arguments))["samples"][0]["top"]}
    assert names == {"time", "who", "job"}
    made = Explainer(tmp_path / "m.onnx").explain(ROWS)
    assert list(made.groups(sidecar=tmp_path / "m.sidecar.json")) == ["who"]


def test_errors_of_the_command_line_come_first(tmp_path: Path, capsys: Any) -> None:
    arguments = people_files(tmp_path)
    for option, words in (
        ("g=jbo", "did you mean: job?"),
        ("g=AGE", "did you mean: age?"),
        ("g=age,age", "names 'age' twice"),
        ("age=job", "group 'age' is called like an input or column"),
        ("g", "a group is NAME=MEMBER"),
    ):
        assert main([*arguments, "--group", option]) == 2
        out, error = capsys.readouterr()
        assert words in error and not out
    for wrong in ({"g": []}, {"g": "age"}, ["g"]):
        (tmp_path / "m.sidecar.json").write_text(json.dumps({"groups": wrong}))
        with pytest.raises(InputError, match=r"m\.sidecar\.json: groups"):
            Sidecar.load(tmp_path / "m.sidecar.json")


def test_pictures_show_groups_and_the_rest(tmp_path: Path) -> None:
    made: Explanation = explanation({"image": normal(1, 1, 16, 16), "row": normal(1, 3)})
    made.plot(tmp_path / "p.svg", groups={"top": ["image[0:8, :]"], "two": ["row[0:2]"]})
    drawn = (tmp_path / "p.svg").read_text("utf-8")
    for label in ("top (image[0:8, :])", "two (row[0:2])", "rest of image", "groups"):
        assert f"<!-- {label} -->" in drawn
    with pytest.raises(RequestError, match="nothing is called 'rwo'"):
        made.plot(tmp_path / "q.png", groups={"g": ["rwo"]})
    assert not (tmp_path / "q.png").exists()
