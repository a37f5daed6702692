"""A dozen kinds of transformers, exported by torch: explained whole, by both engines alike.

`scripts/matrix` holds the networks and measures all of them.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtrace_onnx import Explainer

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that export

MATRIX = Path(__file__).parents[1] / "scripts" / "matrix"
NAMES = (
    "BERT",
    "DeBERTa-v2",
    "T5",
    "GPT-2",
    "Llama",
    "Mixtral",
    "Mamba",
    "ViT",
    "Swin",
    "SegFormer",
    "CLIP",
    "Whisper",
)
CLOSED, ALIKE = 1e-4, 1e-5


@pytest.fixture(scope="module")
def matrix() -> Any:
    """The script's names."""
    sys.path.insert(0, str(MATRIX))
    try:
        yield runpy.run_path(str(MATRIX / "__main__.py"), run_name="matrix")
    finally:
        sys.path.remove(str(MATRIX))


@pytest.mark.parametrize("name", NAMES)
def test_a_transformer_is_explained_whole(name: str, matrix: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    given = matrix["export"](matrix["ARCHITECTURES"][name](), path)
    explainer, compiled = Explainer(path), Explainer(path, engine="onnxruntime")
    feeds = {k: x for k, x in given.items() if k in explainer.graph.inputs}
    for mode in ("default", "contrastive"):
        eager = explainer.explain(feeds, mode=mode)
        assert eager.ledger.total().relative_residual < CLOSED
        again = compiled.explain(feeds, mode=mode)
        for tensor, r in eager.relevance.items():
            top = np.abs(r).max() or 1.0
            np.testing.assert_allclose(again.relevance[tensor], r, atol=ALIKE * top)
        assert any(np.abs(r).max() > 0 for r in eager.relevance.values())
        if "attention_mask" in feeds:
            padding = feeds["attention_mask"] == 0
            assert not eager.relevance["attention_mask"].any()
            if eager.outputs["output"].ndim == 2:  # else the answer may stand at the padding itself
                assert not eager.relevance["input_ids"][padding].any(), "padding has relevance"
