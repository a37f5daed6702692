"""Every check passes on a sound model, and fires where its fault is planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from backtrace_onnx.audit.baseline import Baseline, load_baselines
from backtrace_onnx.audit.check import Case
from backtrace_onnx.audit.checks.catalogue import CHECKS, IDS
from backtrace_onnx.audit.checks.soundness import CHECKS as SOUNDNESS
from backtrace_onnx.audit.histograms import jensen_shannon
from backtrace_onnx.errors import InputError
from tests.audit.audited import COLUMNS, audit, linear, one, subject, write_model, write_rows

LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("audit")
    write_rows(made)
    write_model(made, linear())
    return made


def test_a_sound_model_passes_every_check(folder: Path) -> None:
    model, rows = folder / "net.onnx", folder / "rows.csv"
    np.save(folder / "mask.npy", np.ones(4, bool))
    reason = "[[reasons]]\ncode = 'A'\ntext = 'a'\nfeatures = ['a', 'b', 'c']\n"
    (folder / "reasons.toml").write_text(f"outcome = 'yes'\neveryone = true\n{reason}")
    how: dict[str, Any] = {
        "label": "answer",
        "groups": ["answer"],
        "mask": str(folder / "mask.npy"),
        "reasons": str(folder / "reasons.toml"),
        "checks": {"reason-codes": {"threshold": 0.1}},  # some rows lie between both answers
        "sensitive": ["leak"],
        "top_features": {"required": ["a"], "forbidden": ["leak"]},
        "required": IDS,
    }
    before = Baseline.of(subject(model, rows, **how))
    report = audit(model, rows, before, [subject(model, rows, **how)], **how)
    assert {f.check.id: (f.status, f.text) for f in report.findings if f.status != "passed"} == {}
    assert len(report.findings) == len(CHECKS) == len(set(IDS))
    assert report.exit_code == 0 and report.verdict == f"passed: {len(CHECKS)} passed"


FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("unassigned", linear(), {"checks": {"unassigned": {"threshold": -1.0}}}),
    ("class-sensitivity", linear([(1, 1)] * 4), {}),
    ("deletion", linear(), {"mode": "flat"}),
    ("sensitive-share", linear(LEAKED), {"sensitive": ["le*"]}),
    ("sensitive-proxies", linear([(0, 0), (2, -2), (1, -1), (0, 0)]), {"sensitive": ["a"]}),
    ("required-top-features", linear(LEAKED), {"top_features": {"required": ["b"], "count": 2}}),
    ("forbidden-top-features", linear(LEAKED), {"top_features": {"forbidden": ["leak"]}}),
]


@pytest.mark.parametrize(("check", "text", "how"), FAULTS, ids=[name for name, *_ in FAULTS])
def test_a_fault_is_found(check: str, text: str, how: dict[str, Any], folder: Path) -> None:
    model = write_model(folder, text, "fault")
    found = one(check, model, folder / "rows.csv", **how)
    assert (found.status, found.value is None) == ("failed", False), found.text


def test_an_operator_without_a_rule_is_named(folder: Path) -> None:
    text = (
        "t = Tile(x, times) m = Reshape(t, square) d = Det(m) h = Add(x, d) y = MatMul(h, w)"
        "|int64[2] times = {1, 25}, int64[4] square = {-1, 4, 5, 5}, "
        "float[4, 2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}"
    )
    found = one(
        "operator-coverage", write_model(folder, text, "det"), folder / "rows.csv", mode="default"
    )
    assert (found.status, found.value) == ("failed", 1)
    assert found.evidence["missing"][0]["operator"] == "Det"


def test_rows_that_move_one_another_are_found(folder: Path) -> None:
    kept = linear().partition("|")[2]
    nodes = "k = ReduceMean<keepdims = 1>(x, axis) h = Sub(x, k) y = MatMul(h, w)"
    text = f"{nodes}|int64[1] axis = {{0}}, {kept}"
    found = one("batch-invariance", write_model(folder, text, "mixed"), folder / "rows.csv")
    assert found.status == "failed", found.text


def test_books_that_do_not_close_are_found(folder: Path) -> None:
    case = Case(subject(folder / "net.onnx", folder / "rows.csv"), (), 10)
    whole = case.subject.whole
    case.subject.__dict__["whole"] = replace(
        whole, balance=replace(whole.balance, inputs=whole.balance.inputs * 0.9)
    )
    (check,) = (c for c in SOUNDNESS if c.id == "ledger")
    assert check.run(case).value > 0.01 > check.threshold


def test_explanations_that_differ_each_time_are_found(folder: Path) -> None:
    case = Case(subject(folder / "net.onnx", folder / "rows.csv"), (), 10)
    explain, rng = case.subject.explain, np.random.default_rng(0)

    def shaken(*given: Any, **how: Any) -> Any:
        made = explain(*given, **how)
        return replace(made, relevance={n: r + rng.random() for n, r in made.relevance.items()})

    case.subject.explain = shaken  # type: ignore[method-assign]
    (check,) = (c for c in SOUNDNESS if c.id == "determinism")
    assert check.run(case).value == 10


def test_what_depends_on_scales_only_is_no_explanation_of_weights(folder: Path) -> None:
    """In mode default the largest column has most, whatever the weights."""
    x = np.random.default_rng(0).normal(1, 0.1, (50, 4)) * [1000, 100, 10, 1]
    np.save(folder / "scaled.npy", x.astype(np.float32))
    model = write_model(folder, linear([(1, -1)] * 2 + [(1, -1.01)] * 2), "scaled")
    found = one("parameter-randomisation", model, folder / "scaled.npy", mode="default")
    assert found.status == "failed", found.text


def test_slopes_that_turn_at_once_are_found(folder: Path) -> None:
    kept = linear().partition("|")[2]
    text = f"k = Mul(x, many) h = Sin(k) y = MatMul(h, w)|float[1] many = {{1000.0}}, {kept}"
    model = write_model(folder, text, "waves")
    assert one("max-sensitivity", model, folder / "rows.csv", mode="gradient").status == "failed"


def test_an_intervention_confirms_or_does_not(folder: Path) -> None:
    """What two branches add and take away again moves no answer, but has shares."""
    forbidden: dict[str, Any] = {"top_features": {"forbidden": ["leak"]}, "mode": "default"}
    model = write_model(folder, linear(LEAKED), "leaked")
    found = one("forbidden-top-features", model, folder / "rows.csv", **forbidden)
    assert found.confirmed is True and found.evidence["features"]["leak"]["answers_changed"] > 0.1
    rows = "1.0, -1.0, 0.5, -0.5, 0.0, 0.0"
    text = (
        "h = MatMul(x, w) k = MatMul(x, v) z = Add(h, k) y = Sigmoid(z)"
        f"|float[4, 2] w = {{{rows}, 8.0, 8.0}}, float[4, 2] v = {{{rows}, -8.0, -8.0}}"
    )
    model = write_model(folder, text, "idle")
    found = one("forbidden-top-features", model, folder / "rows.csv", **forbidden)
    assert (found.status, found.confirmed) == ("failed", False)
    assert found.evidence["features"]["leak"]["score_moved"] < 1e-5


def test_what_stands_for_a_sensitive_feature_is_named(folder: Path) -> None:
    """Column b is a; a model that reads b alone rests on a."""
    model = write_model(folder, linear([(0, 0), (2, -2), (1, -1), (0, 0)]), "proxy")
    rows = folder / "rows.csv"
    assert one("sensitive-share", model, rows, sensitive=["a"]).status == "passed"
    found = one("sensitive-proxies", model, rows, sensitive=["a"])
    assert list(found.evidence["a"]["proxies"]) == ["b"] and found.confirmed is True
    sound = one("sensitive-proxies", model, rows, sensitive=["leak"])
    assert (sound.status, sound.value) == ("passed", 0.0)


def test_same_inputs_same_answers_other_reasons(folder: Path) -> None:
    """Columns a and b are one; the second model reads the other of them."""
    rows = folder / "rows.csv"
    first = write_model(folder, linear([(3, -3), (0, 0), (0.5, -0.5), (0, 0)]), "first")
    second = write_model(folder, linear([(0, 0), (3, -3), (0.5, -0.5), (0, 0)]), "second")
    how: dict[str, Any] = {"label": "answer"}
    before = Baseline.of(subject(first, rows, **how))
    report = audit(second, rows, before, **how)
    failed = {f.check.id for f in report.findings if f.status == "failed"}
    assert failed == {"share-drift", "rank-drift", "reason-drift"} and report.exit_code == 1
    assert report.verdict.endswith("Same inputs, same answers, other reasons")
    (answers,) = (f for f in report.findings if f.check.id == "prediction-drift")
    assert answers.text == "every answer is what it was"


def test_other_rows_of_one_population_are_no_drift(folder: Path) -> None:
    model = folder / "net.onnx"
    before = Baseline.of(subject(model, write_rows(folder, 1000, 1, "before.csv")))
    report = audit(model, write_rows(folder, 1000, 2, "after.csv"), before)
    drift = [f.status for f in report.findings if f.check.id.endswith("-drift")]
    assert drift == ["passed"] * 5 + ["skipped"] * 2  # of which the last two take models
    moved = (folder / "after.csv").read_text().splitlines()
    shifted = [",".join([str(float(n) + 1) for n in r.split(",")[:4]] + ["no"]) for r in moved[1:]]
    (folder / "shifted.csv").write_text("\n".join([moved[0], *shifted]))
    assert one("input-drift", model, folder / "shifted.csv", before).status == "failed"
    assert one("prediction-drift", model, folder / "shifted.csv", before).status == "failed"


def test_few_other_rows_tell_nothing(folder: Path) -> None:
    model = folder / "net.onnx"
    before = Baseline.of(subject(model, folder / "rows.csv"))
    few = write_rows(folder, 20, 5, "few.csv")
    found = one("reason-drift", model, few, before)
    assert found.status == "skipped" and "too few rows" in found.text
    found = one("reason-drift", model, few, before, required=["reason-drift"])
    assert found.status == "failed" and found.text.startswith("required, and cannot run")


def seeds(folder: Path, shares: Sequence[float]) -> list[Baseline]:
    """Baselines of models whose relevance is divided between two like columns otherwise."""
    rows, made = folder / "rows.csv", list[Baseline]()
    for a in shares:
        weights = [(a, -a), (3 - a, a - 3), (0.5, -0.5), (0, 0)]
        model = write_model(folder, linear(weights), "seed")
        made.append(Baseline.of(subject(model, rows), made[0] if made else None))
    return made


def test_several_baselines_say_how_much_reasons_move_by_chance(folder: Path) -> None:
    rows, made = folder / "rows.csv", seeds(folder, np.linspace(2.0, 1.2, 9).tolist())
    new = write_model(folder, linear([(1.43, -1.43), (1.57, -1.57), (0.5, -0.5), (0, 0)]), "new")
    assert one("reason-drift", new, rows, made[:1]).status == "failed"
    found = one("reason-drift", new, rows, made)
    assert found.status == "passed" and found.source == "as far as the baselines are apart"
    place = COLUMNS.index(next(iter(found.evidence)))
    shares = [before.features[place].shares for before in made]
    pairs = [jensen_shannon(*pair) for pair in combinations(shares, 2)]
    assert max(pairs) <= found.threshold < np.sqrt(np.log(2)) and found.severity == "warning"
    made_of_two = one("reason-drift", new, rows, [made[0], made[5]])
    wanted = jensen_shannon(*pair_of([made[0], made[5]], made_of_two))
    assert made_of_two.threshold == pytest.approx(wanted)
    strict: dict[str, Any] = {"checks": {"reason-drift": {"threshold": 0.0}}}
    assert one("reason-drift", new, rows, made, **strict).status == "failed"
    other = write_model(folder, linear(LEAKED), "other")
    assert one("rank-drift", other, rows, made).status == "failed"
    assert one("reason-drift", other, rows, made).status == "failed"


def test_a_feature_whose_baselines_lie_too_far_apart_is_not_judged(folder: Path) -> None:
    """Its bound would be more than any rows can be from the nearest: it could not fail."""
    rows, made = folder / "rows.csv", seeds(folder, (2.0, 1.6, 1.2))
    new = write_model(folder, linear([(1.4, -1.4), (1.6, -1.6), (0.5, -0.5), (0, 0)]), "new")
    found = one("reason-drift", new, rows, made)
    judged = {name: told["judged"] for name, told in found.evidence.items()}
    assert judged == {"c": True, "a": False, "b": False}
    assert "not judged, as the baselines are too far apart: a, b" in found.text
    assert found.status == "passed" and found.threshold == 0.1
    gone = write_model(folder, linear([(1.4, -1.4), (1.6, -1.6), (0.0, 0.0), (0, 0)]), "gone")
    assert one("reason-drift", gone, rows, made).status == "failed"  # by c, which is judged
    strict: dict[str, Any] = {"checks": {"reason-drift": {"threshold": 0.0}}}
    told = one("reason-drift", new, rows, made, **strict)
    assert told.status == "failed" and "not judged" not in told.text


def test_where_nothing_can_be_judged_the_check_is_skipped_or_fails(folder: Path) -> None:
    rows, far = folder / "rows.csv", []
    for weights in ([(0, 0), (0, 0), (1, -1), (0, 0)], [(0, 0), (0, 0), (0, 0), (1, -1)]):
        model = write_model(folder, linear(weights), "far")
        far.append(Baseline.of(subject(model, rows), far[0] if far else None))
    only = write_model(folder, linear([(0, 0), (0, 0), (2, -2), (0, 0)]), "only")
    found = one("reason-drift", only, rows, far)
    assert found.status == "skipped" and "so far apart that no rows could be" in found.text
    required = one("reason-drift", only, rows, far, required=["reason-drift"])
    assert required.status == "failed"


def pair_of(two: Any, found: Any) -> list[Any]:
    place = COLUMNS.index(next(iter(found.evidence)))
    return [before.features[place].shares for before in two]


def test_baselines_of_other_bins_are_refused(folder: Path) -> None:
    model = folder / "net.onnx"
    first = Baseline.of(subject(model, folder / "rows.csv"))
    second = subject(model, write_rows(folder, 300, 7, "others.csv"))
    paths = [folder / "1.json", folder / "2.json"]
    paths[0].write_text(first.text())
    paths[1].write_text(Baseline.of(second).text())
    with pytest.raises(InputError, match="other features or bins; write the second with"):
        load_baselines(paths)
    paths[1].write_text(Baseline.of(second, first).text())
    assert load_baselines(paths)[0] == first
    assert load_baselines([]) == ()


@pytest.mark.parametrize(("wrong", "status"), [(4, "passed"), (8, "failed")])
def test_accuracy_of_other_rows_differs_by_chance(folder: Path, wrong: int, status: str) -> None:
    """What samples of 200 rows differ by is no loss; of the same rows each label counts."""
    model, others = folder / "net.onnx", write_rows(folder, 200, seed=7, name="others.csv")
    before = Baseline.of(subject(model, write_rows(folder, 200), label="answer"))
    head, *lines = others.read_text().splitlines()
    swap = {"yes": "no", "no": "yes"}
    for i in range(wrong):
        cells = lines[i].split(",")
        lines[i] = ",".join([*cells[:-1], swap[cells[-1]]])
    others.write_text("\n".join([head, *lines, ""]))
    found = one("accuracy", model, others, before, label="answer")
    part = wrong / 200
    assert found.value == pytest.approx(part) and found.status == status
    wanted = 0.01 + 1.959964 * np.sqrt(part * (1 - part) / 200)
    assert found.threshold == pytest.approx(wanted, rel=1e-5) and "95 %" in found.source
    same = Baseline.of(subject(model, others, label="answer"))
    assert one("accuracy", model, others, same, label="answer").threshold == 0.01


def test_accuracy_that_fell_is_found(folder: Path) -> None:
    rows, how = folder / "rows.csv", {"label": "answer"}
    before = Baseline.of(subject(folder / "net.onnx", rows, **how))
    worse = write_model(folder, linear(LEAKED), "worse")
    found = one("accuracy", worse, rows, before, **how)
    assert found.status == "failed" and before.answers.accuracy == 1.0
    assert one("accuracy", worse, rows, before).status == "skipped"


def test_a_regression_of_several_columns(folder: Path) -> None:
    """Its answers are numbers; checks of classes are skipped with the reason."""
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        g (float[n, 1] a, float[n, 1] b) => (float[n, 1] y)
        { h = Mul(a, a) z = Relu(b) y = Add(h, z) }"""
    )
    onnx.save(model, folder / "columns.onnx")
    how: dict[str, Any] = {"task": "regression", "mode": "default", "sensitive": ["b"]}
    found = subject(folder / "columns.onnx", folder / "rows.csv", **how)
    assert found.features.names == ("a", "b")
    report = audit(folder / "columns.onnx", folder / "rows.csv", Baseline.of(found), **how)
    status = {f.check.id: f.status for f in report.findings}
    skipped = {"class-sensitivity", "parameter-randomisation", "accuracy"}
    skipped |= {"required-top-features", "forbidden-top-features"}
    skipped |= {
        "group-gap",
        "reason-codes",
        "relevance-outside-mask",
        "answers-kept",
        "sample-drift",
        "sample-top-features",
        "layer-drift",
    }
    assert {name for name, s in status.items() if s == "skipped"} == skipped
    assert not report.broken and status["rank-drift"] == status["prediction-drift"] == "passed"
