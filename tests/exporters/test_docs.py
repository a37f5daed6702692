"""What the pages about frameworks show is what happens."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {
    "pytorch": ("torch", "onnxscript"),
    "keras": ("tensorflow", "keras", "tf2onnx"),
    "tensorflow": ("tensorflow", "tf2onnx"),
    "tflite": ("tensorflow", "tf2onnx"),
    "scikit-learn": ("sklearn", "skl2onnx"),
    "transformers": ("torch", "onnxscript", "transformers"),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter.*:UserWarning"),
]


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in PAGES[page]:
            pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)
    made = names["made"]
    assert made.verified and made.path.is_file()  # type: ignore[attr-defined]
    assert names["explanation"].ledger.total().relative_residual < 1e-4  # type: ignore[attr-defined]
