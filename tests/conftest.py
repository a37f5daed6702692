"""Fixtures that several files share."""

from __future__ import annotations

from typing import Any

import pytest

from backtrace_onnx.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line here: exit code, stdout, stderr."""

    def runner(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return runner
