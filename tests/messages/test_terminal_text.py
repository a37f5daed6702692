"""Names of strangers' files never steer the terminal, and who reads no further is no error."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx.cli import main
from backtrace_onnx.messages.terminal_text import visible, visible_json
from tests.graphs import FLOAT, model, node

EVIL = "a\x1b]0;owned\x07\x1b[2J\n\rforged\u202ec\x9b1m\u2066"
STEERS = set("\x1b\x07\r\x9b\u202e\u2066")
ROOT = Path(__file__).parents[2]


def test_what_is_no_letter_is_spelled_out() -> None:
    assert visible("a\x1b[2J\n\u202e\t\x9b\u2028") == "a\\x1b[2J\\n\\u202e\\t\\x9b\\u2028"
    assert visible("two\nlines\r", lines=True) == "two\nlines\\r"
    plain = "größe 模型 🙂 e\u0301 👩\u200d🔬"
    assert visible(plain) == plain


def test_json_is_the_same_json() -> None:
    value = {EVIL: [EVIL, "\U000e0041\x7f"]}
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value and not STEERS & set(text)


def evil(op_type: str = "Relu", domain: str = "") -> onnx.ModelProto:
    return model(
        [
            node("Gemm", [EVIL, "w"], ["hidden" + EVIL], "gemm" + EVIL),
            node(op_type, ["hidden" + EVIL], ["y" + EVIL], "node" + EVIL, domain=domain),
        ],
        {EVIL: (FLOAT, [1, 3])},
        {"y" + EVIL: (FLOAT, [1, 2])},
        {"w": np.ones((3, 2), np.float32)},
        domains={domain: 1} if domain else {},
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Models with names that steer, an input, and a sidecar with such labels."""
    known, unknown = tmp_path / "known.onnx", tmp_path / "unknown.onnx"
    known.write_bytes(evil().SerializeToString())
    unknown.write_bytes(evil("Odd" + EVIL, "do" + EVIL).SerializeToString())
    meaning = {"outputs": {"y" + EVIL: {"task": "classification", "labels": [EVIL, "b" + EVIL]}}}
    (tmp_path / "known.sidecar.json").write_text(json.dumps(meaning))
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0, 3.0]], np.float32))
    return {p.stem: str(p) for p in (known, unknown, tmp_path / "x.npy")}


@pytest.mark.parametrize(
    "command",
    [
        "inspect known",
        "inspect known --json",
        "inspect unknown",
        "explain known x",
        "explain known x --json",
        "explain known",
        "explain known x --output nothing",
        "explain known x --target nothing",
        "explain unknown x",
        "compile known -o made.onnx",
        "compile unknown -o made.onnx",
    ],
)
@pytest.mark.parametrize("color", [False, True])
def test_names_never_steer_the_terminal(
    command: str,
    color: bool,
    files: dict[str, str],
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if color:
        monkeypatch.setenv("FORCE_COLOR", "1")
    main([files.get(word, word) for word in command.split()])
    shown = "".join(capsys.readouterr())
    if color:
        shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)  # the styles of rich
    assert not STEERS & set(shown), repr(shown)
    assert "\\x1b" in shown or "\\u001b" in shown or "nothing" in command or "made" in command
    assert "\nforged" not in shown  # what follows the line end in a name begins no line


@pytest.mark.parametrize(
    "command", ["inspect models/orientation.onnx", "ops", "ops --json", "--help", "explain --help"]
)
def test_who_reads_one_line_gets_one(command: str) -> None:
    tool = f"{shlex.quote(sys.executable)} -m backtrace_onnx {command}"
    script = f"set -o pipefail; {tool} | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_an_error_that_nobody_reads_is_quiet() -> None:
    tool = f"{shlex.quote(sys.executable)} -m backtrace_onnx inspect nothing.onnx"
    done = subprocess.run(["bash", "-c", f"{tool} 2>&1 | true"], capture_output=True, text=True)
    assert done.stderr == ""
