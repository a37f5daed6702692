"""Outputs that are inputs: refused before anything is read, and left as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.audit.audited import linear, write_model, write_rows
from tests.command_line import ADULT, ROWS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for suffix in (".onnx", ".sidecar.json"):
        shutil.copy(Path(ADULT).with_suffix(suffix), tmp_path / f"m{suffix}")
    shutil.copy(ROWS, tmp_path / "rows.csv")
    (tmp_path / "r.toml").write_text('outcome = ">50K"\nreasons = []\n')
    (tmp_path / "mode.toml").write_text("mode = 'lrp'\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("rows.csv", ()),
        ("m.onnx", ()),
        ("m.sidecar.json", ()),
        ("r.toml", ("--reasons", "r.toml")),
        ("mode.toml", ("--mode", "mode.toml")),
        ("rows.csv", ("--background", "rows.csv")),
        ("./rows.csv", ("--mode", "deeplift", "--baseline", "rows.csv")),
    ],
)
def test_a_page_is_not_written_over_what_it_is_of(
    run: Any, folder: Path, file: str, options: tuple[str, ...]
) -> None:
    before = (folder / file).read_bytes()
    code, _, err = run("explain", "m.onnx", "rows.csv", *options, "--html", file)
    assert code == 2 and "is read here, or written twice; name another file" in err
    assert (folder / file).read_bytes() == before


def test_a_file_is_not_compiled_over_what_it_holds(run: Any, folder: Path) -> None:
    before = (folder / "rows.csv").read_bytes()
    code, _, err = run("compile", "m.onnx", "-o", "rows.csv", "--background", "rows.csv")
    assert code == 2 and "rows.csv: is read here" in err
    assert (folder / "rows.csv").read_bytes() == before


@pytest.mark.parametrize("command", ["audit", "compare"])
def test_a_report_is_not_written_over_files_of_the_settings(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 30)
    write_model(tmp_path, linear())
    write_rows(tmp_path, 5, name="others.csv")
    (tmp_path / "a.toml").write_text("background = 'others.csv'\n")
    models = ("net.onnx",) if command == "audit" else ("net.onnx", "net.onnx")
    asked = (command, *models, "--data", "rows.csv", "--config", "a.toml", "--html")
    for file in ("others.csv", "a.toml", "net.sidecar.json", "rows.csv"):
        before = (tmp_path / file).read_bytes()
        code, _, err = run(*asked, file)
        assert code == 2 and f"{file}: is read here" in err
        assert (tmp_path / file).read_bytes() == before
    assert run(*asked, "page.html")[0] in (0, 1)


def test_the_same_baseline_twice_is_no_two_trainings(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 30)
    write_model(tmp_path, linear())
    asked = ("audit", "net.onnx", "--data", "rows.csv", "--fail-on", "never")
    assert run(*asked, "--write-baseline", "a.json")[0] == 0
    shutil.copy("a.json", "b.json")
    code, _, err = run(*asked, "--baseline", "a.json", "--baseline", "b.json")
    assert code == 2 and "b.json and a.json are of one model and the same data" in err


def test_a_required_check_that_cannot_run_stops_the_model(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it means where it runs: group-gap is a warning."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 30)
    write_model(tmp_path, linear())
    (tmp_path / "a.toml").write_text("required = ['group-gap']\n")
    code, out, _ = run("audit", "net.onnx", "--data", "rows.csv", "--config", "a.toml")
    assert code == 1 and "required, and cannot run" in out
