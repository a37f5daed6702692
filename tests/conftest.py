"""Fixtures that several files share."""

from __future__ import annotations

from typing import Any

import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.cli import main
from tests.language_models import SIZE
from tests.text.made import language_model


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line here: exit code, stdout, stderr."""

    def runner(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return runner


@pytest.fixture(scope="module")
def plain() -> Explainer:
    """A language model without a cache."""
    return Explainer(language_model(size=SIZE))
