"""What docs/ci.md and the files beside it say to pipelines is carried out, as far as it goes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from tests.audit.audited import SOUND, linear, write_model, write_rows

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "ci.md").read_text("utf-8")
SETTINGS = "top_features.forbidden = ['leak']\nchecks.deletion.enabled = false\n"
LEAKED = ((0.5, -0.5), (0.0, 0.0), (0.0, 0.0), (3.0, -3.0))


def section(name: str, language: str) -> str:
    text = TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the examples name, and the command on the path."""
    monkeypatch.chdir(tmp_path)
    for name in ("models", "data", "audits", "bin"):
        (tmp_path / name).mkdir()
    write_rows(tmp_path / "data", 60, name="held_out.csv")
    write_model(tmp_path / "models", linear())
    (tmp_path / "audit.toml").write_text(SETTINGS)
    script = tmp_path / "bin" / "backtrace-onnx"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m backtrace_onnx "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def write_baseline(run: Any, *names: str) -> None:
    """Each of a model that is a little other, as one that was trained anew is."""
    how = ("audit", "models/net.onnx", "--data", "data/held_out.csv", "--config", "audit.toml")
    like: tuple[str, ...] = ()
    for i, name in reversed([*enumerate(names)]):
        scaled = tuple(tuple(w * (1 + i / 1000) for w in row) for row in SOUND)
        write_model(Path("models"), linear(scaled))
        file = f"audits/{name}.json"
        assert run(*how, *like, "--write-baseline", file)[0] == 0
        like = like or ("--baseline", file)


def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))


def act(folder: Path, **given: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The step of the action, run as a runner runs it: inputs become the step's environment."""
    made = action()
    inputs = {name: entry.get("default", "") for name, entry in made["inputs"].items()} | given
    step = made["runs"]["steps"][-1]
    own = {
        key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], value)
        for key, value in step["env"].items()
    }
    for name in ("output", "summary"):
        (folder / name).write_text("")
    own |= {
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(folder),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(
        command, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    lines = (folder / "output").read_text().splitlines()
    return done, dict(line.split("=", 1) for line in lines)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_action_stops_a_model_and_tells_why(run: Any, folder: Path) -> None:
    job = yaml.safe_load(section("GitHub", "yaml"))["jobs"]["reasons"]
    (own,) = (step for step in job["steps"] if step.get("id") == "reasons")
    assert set(own["with"]) <= set(action()["inputs"])
    write_baseline(run, "seed1", "seed2", "seed3")
    done, outputs = act(folder, **own["with"])
    assert done.returncode == 0, done.stderr
    assert outputs == {
        "exit-code": "0",
        "report": "audit/report.json",
        "sarif": "audit/report.sarif",
    }
    assert "## Audit of models/net.onnx" in (folder / "summary").read_text()
    names = {"report.json", "report.xml", "report.sarif", "report.md", "model-card.md"}
    assert {file.name for file in (folder / "audit").iterdir()} == names
    write_model(folder / "models", linear(LEAKED))
    done, outputs = act(folder, **own["with"])
    assert done.returncode == 1 and outputs["exit-code"] == "1"
    assert "::error file=audit.toml,line=1,title=audit%3A forbidden-top-features::" in done.stdout
    done, outputs = act(folder, **{**own["with"], "model": "none.onnx; touch hacked"})
    assert done.returncode == 2 and not (folder / "hacked").exists()


def test_the_action_hands_on_what_it_says() -> None:
    made = action()
    assert made["runs"]["using"] == "composite"
    names = set(re.findall(r"steps\.audit\.outputs\.([\w-]+)", str(made["outputs"])))
    assert names == set(made["outputs"]) == {"exit-code", "report", "sarif"}
    for step in made["runs"]["steps"]:
        assert "inputs." not in step["run"]  # text of others is no part of a script
    used = set(re.findall(r"inputs\.([\w-]+)", str(made["runs"])))
    assert used == set(made["inputs"])


def test_the_example_for_gitlab(run: Any, folder: Path) -> None:
    job = yaml.safe_load(section("GitLab", "yaml"))["reasons"]
    write_baseline(run, "seed1")
    install, *lines = job["script"]
    assert install.startswith("pip install ")
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "backtrace-onnx" and run(*arguments)[0] == 0
    for file in (job["artifacts"]["reports"]["junit"], *job["artifacts"]["paths"]):
        assert (folder / file).is_file()


def test_the_hook_for_pre_commit(run: Any, folder: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    (repo,) = yaml.safe_load(section("pre-commit", "yaml"))["repos"]
    (used,) = repo["hooks"]
    assert used["id"] == hook["id"] and not hook["pass_filenames"]
    assert re.search(hook["files"], "models/net.onnx") and not re.search(hook["files"], "a.py")
    name, *command = shlex.split(hook["entry"])
    assert name == "backtrace-onnx" and run(*command, *used["args"])[0] == 0
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert hook["additional_dependencies"] == project["optional-dependencies"]["audit"]


def test_the_tests_for_pytest_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found: dict[str, Any] = {}
    exec(compile(section("pytest", "python"), "docs/ci.md", "exec"), found)
    tests = [value for name, value in found.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow-skinny is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_logs_and_serves_an_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    rows = np.random.default_rng(0).normal(size=(3, 65)).astype(np.float32)
    found: dict[str, Any] = {"rows": rows}
    exec(compile(section("MLflow", "python"), "docs/ci.md", "exec"), found)
    wanted = bt.Explainer(ROOT / "models" / "adult_mlp.onnx").explain(rows, mode="epsilon")
    answer = found["answer"]
    np.testing.assert_allclose(answer["logits"], wanted.outputs["logits"], rtol=1e-5)
    own = wanted.relevance["features"]
    np.testing.assert_allclose(answer["relevance/features"], own, rtol=1e-4, atol=1e-5)
