"""The command `audit`: files that it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from backtrace_onnx.audit.checks.catalogue import CHECKS
from backtrace_onnx.report.page import writer
from tests.audit.audited import linear, write_model, write_rows
from tests.command_line import ADULT, ROWS

LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))
FEW = "".join(
    f"[checks.{name}]\nenabled = false\n"
    for name in ("deletion", "parameter-randomisation", "max-sensitivity", "batch-invariance")
)
"""Settings that leave the costly checks out."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 50)
    write_model(tmp_path, linear())
    write_model(tmp_path, linear(LEAKED), "leaked")
    (tmp_path / "audit.toml").write_text(f"top_features.forbidden = ['leak']\n{FEW}")
    return tmp_path


def audited(run: Any, model: str, *options: Any) -> tuple[int, str, str]:
    code, out, err = run("audit", model, "--data", "rows.csv", "--config", "audit.toml", *options)
    return code, out, err


def test_exit_codes_follow_the_checks(run: Any, folder: Path) -> None:
    code, out, _ = audited(run, "net.onnx")
    assert code == 0 and "passed: " in out
    code, out, _ = audited(run, "leaked.onnx")
    assert code == 1 and "1 of those forbidden are among the top 3 (leak)" in out
    assert audited(run, "leaked.onnx", "--fail-on", "never")[0] == 0
    settings = "[checks.forbidden-top-features]\nseverity = 'warning'\n"
    with (folder / "audit.toml").open("a") as file:
        file.write(settings)
    assert audited(run, "leaked.onnx")[0] == 0
    assert audited(run, "leaked.onnx", "--fail-on", "warning")[0] == 1


def test_files_of_the_report(run: Any, folder: Path) -> None:
    files = ("--json", "r.json", "--junit", "r.xml", "--markdown", "r.md")
    code, _, _ = audited(run, "leaked.onnx", *files)
    found = json.loads((folder / "r.json").read_text())
    assert (code, found["exit_code"], found["schema_version"]) == (1, 1, 3)
    by_id = {check["id"]: check for check in found["checks"]}
    leaked = by_id["forbidden-top-features"]
    assert leaked["stops"] and leaked["confirmed"] and leaked["evidence"]["top"][0] == "leak"
    assert len(by_id) == len(CHECKS) - 4
    (suite,) = JUnitXml.fromfile(str(folder / "r.xml"))
    results = {case.name: [type(r) for r in case.result] for case in suite}
    assert results["forbidden-top-features"] == [Failure]
    assert results["rank-drift"] == [Skipped] and results["ledger"] == []
    assert (suite.tests, suite.failures, suite.errors) == (len(by_id), 1, 0)
    text = (folder / "r.md").read_text()
    assert "| forbidden-top-features | failed (error) |" in text
    assert not list(folder.glob("*.part"))


def test_a_baseline_is_written_and_compared_with(run: Any, folder: Path) -> None:
    assert audited(run, "net.onnx", "--write-baseline", "base.json")[0] == 0
    first = (folder / "base.json").read_bytes()
    assert audited(run, "net.onnx", "--write-baseline", "base.json")[0] == 0
    assert (folder / "base.json").read_bytes() == first
    code, out, _ = audited(run, "net.onnx", "--baseline", "base.json")
    assert code == 0 and "every answer is what it was" in out
    (folder / "audit.toml").write_text(FEW)
    code, out, _ = audited(run, "leaked.onnx", "--baseline", "base.json")
    assert code == 1 and "rank-drift" in out


WRONG = [
    (("none.onnx", "--data", "rows.csv"), "none.onnx"),
    (("net.onnx", "--data", "none.csv"), "none.csv: no such file"),
    (("net.onnx",), "Missing option '--data'"),
    (("net.onnx", "--data", "rows.csv", "--config", "none.toml"), "none.toml: cannot be read"),
    (("net.onnx", "--data", "rows.csv", "--baseline", "audit.toml"), "audit.toml: no baseline"),
    (("net.onnx", "--data", "rows.csv", "--config", "sensitive.toml"), "did you mean 'leak'"),
    (("net.onnx", "--data", "rows.csv", "--config", "label.toml"), "did you mean: answer?"),
    (
        ("net.onnx", "--data", "odd.csv", "--label-column", "answer"),
        "odd.csv: line 3, column 'answer': label 'maybe' is none of the model's classes: no, yes",
    ),
    (
        ("net.onnx", "--data", "rows.csv", "--label-column", "c"),
        "column 'c' is an input of the model, and cannot be a label",
    ),
    (("net.onnx", "--data", "rows.csv", "--json", "no/such.json"), "cannot be written"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_use_exits_2(run: Any, folder: Path, arguments: Any, words: str) -> None:
    (folder / "sensitive.toml").write_text("sensitive = ['leek']")
    (folder / "label.toml").write_text("label = 'anser'")
    (folder / "odd.csv").write_text((folder / "rows.csv").read_text().replace(",yes", ",maybe", 1))
    code, _, err = run("audit", *arguments, "--write-baseline", "made.json")
    assert code == 2 and words in err and "Traceback" not in err


def test_a_check_that_breaks_exits_3(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("backtrace_onnx.audit.checks.feature_rules.replace_features", fail)
    code, out, _ = audited(run, "leaked.onnx", "--junit", "r.xml", "--fail-on", "never")
    assert code == 3 and "unexpected ZeroDivisionError: oops" in out and "not completed" in out
    (suite,) = JUnitXml.fromfile(str(folder / "r.xml"))
    assert [type(r) for c in suite for r in c.result if c.name.startswith("forbid")] == [Error]


def test_a_crash_exits_3(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("backtrace_onnx.audit.calls.run_audit", fail)
    code, _, err = audited(run, "net.onnx")
    assert code == 3 and "the audit failed: unexpected ZeroDivisionError: oops" in err


def test_what_is_not_installed_is_named(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backtrace_onnx.commands.audit_options.NEEDED", ("not_there",))
    code, _, err = audited(run, "net.onnx")
    assert code == 2 and "pip install 'backtrace-onnx[audit]'" in err


def test_the_census_model_passes(run: Any, tmp_path: Path) -> None:
    """The run that docs/audit.md shows."""
    config = tmp_path / "audit.toml"
    config.write_text("label = 'loan'\nsensitive = ['gender', 'ethnicity']\n")
    code, out, _ = run("audit", ADULT, "--data", ROWS, "--config", config)
    assert code == 0 and "passed: 11 passed, 16 skipped" in out


def test_a_page_for_those_who_sign_off(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, _ = audited(run, "leaked.onnx", "--html", "r.html")
    text = (folder / "r.html").read_text("utf-8")
    assert code == 1 and "leaked.onnx" in text and "Stopped" in text
    assert audited(run, "leaked.onnx", "--html", "r.html")[0] == 1
    assert (folder / "r.html").read_text("utf-8") == text
    code, _, err = audited(run, "absent.onnx", "--html", ".")
    assert code == 2 and "is a folder" in err
    monkeypatch.setattr(writer, "find_spec", lambda name: None)
    code, _, err = audited(run, "absent.onnx", "--html", "new.html")
    assert code == 2 and "backtrace-onnx[html]" in err and not (folder / "new.html").exists()


@pytest.mark.parametrize("option", ["--write-baseline", "--json", "--html"])
@pytest.mark.parametrize("read", ["net.onnx", "rows.csv", "./audit.toml"])
def test_nothing_that_is_read_is_written_over(
    run: Any, folder: Path, option: str, read: str
) -> None:
    before = (folder / read).read_bytes()
    code, _, err = audited(run, "net.onnx", option, read)
    assert code == 2 and "is read here" in err
    assert (folder / read).read_bytes() == before


def test_a_file_is_written_once(run: Any, folder: Path) -> None:
    code, _, err = audited(run, "net.onnx", "--json", "r", "--markdown", "r")
    assert code == 2 and "written twice" in err
    assert not (folder / "r").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('"mode": "lrp"', '"mode": "default"', "is of mode default"), ('"c"', '"d"', "others: c, d")],
)
def test_a_baseline_that_says_nothing_of_this_model_lets_none_through(
    run: Any, folder: Path, old: str, new: str, said: str
) -> None:
    assert audited(run, "net.onnx", "--write-baseline", "base.json")[0] == 0
    text = (folder / "base.json").read_text()
    assert old in text
    (folder / "base.json").write_text(text.replace(old, new))
    code, _, err = audited(run, "net.onnx", "--baseline", "base.json")
    assert code == 2 and said in err


def _changed(text: str, change: Any) -> str:
    content = json.loads(text)
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b["features"].append(b["features"][0]), "feature 'a' is there twice"),
        (lambda b: b["data"].update(rows=0), "data.rows: "),
        (lambda b: b["data"].update(rows=7), "'a': shares count 50 row(s), and there are 7"),
        (lambda b: b["features"][1]["inputs"]["counts"].__setitem__(0, 3), "'b': inputs count "),
        (lambda b: b["answers"]["predictions"]["counts"].__setitem__(0, 1), "'answers': predic"),
        (lambda b: b["features"][2].update(share=1.5), "features.2.share: "),
        (lambda b: b["features"][2].update(share=-0.1), "features.2.share: "),
        (lambda b: b["features"][0].update(share=0.9), "shares are "),
        (lambda b: b["features"][0].update(signed=0.99), "signed (0.99) is more than share"),
        (lambda b: b["answers"].update(accuracy=1.2), "answers.accuracy: "),
        (lambda b: b["features"][0]["shares"].update(edges=[3, 2, 1]), "features.0.shares: "),
        (lambda b: b["features"][0].update(share=float("nan")), "features.0.share: "),
    ],
)
def test_a_baseline_that_cannot_be_is_refused(
    run: Any, folder: Path, change: Any, said: str
) -> None:
    assert audited(run, "net.onnx", "--write-baseline", "base.json")[0] == 0
    base = folder / "base.json"
    base.write_text(_changed(base.read_text(), change))
    code, _, err = audited(run, "net.onnx", "--baseline", "base.json")
    assert code == 2 and "base.json: no baseline (" in err and said in " ".join(err.split())


def test_a_baseline_of_texts_lets_no_table_through(run: Any, folder: Path) -> None:
    assert audited(run, "net.onnx", "--write-baseline", "base.json")[0] == 0
    text = (folder / "base.json").read_text()
    (folder / "base.json").write_text(_changed(text, lambda b: b.update(features=[])))
    code, _, err = audited(run, "net.onnx", "--baseline", "base.json")
    assert code == 2 and "the baseline's features are others: a, b, c, leak" in err
