"""A dozen kinds of transformers, exported by torch: explained whole, by both engines alike.

`scripts/matrix` holds the networks and measures all of them.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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
Exported = Callable[[str], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def matrix() -> Any:
    """The script's names."""
    sys.path.insert(0, str(MATRIX))
    try:
        yield runpy.run_path(str(MATRIX / "__main__.py"), run_name="matrix")
    finally:
        sys.path.remove(str(MATRIX))


@pytest.fixture(scope="module")
def exported(matrix: Any, tmp_path_factory: Any) -> Exported:
    """Path of an exported network, and its example inputs; each is exported once."""

    @cache
    def export(name: str) -> tuple[Path, dict[str, Any]]:
        path = tmp_path_factory.mktemp(name) / "model.onnx"
        return path, matrix["export"](matrix["ARCHITECTURES"][name](), path)

    return export


@pytest.mark.parametrize("name", NAMES)
def test_a_transformer_is_explained_whole(name: str, exported: Exported) -> None:
    path, given = exported(name)
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


@pytest.mark.parametrize("name", ["BERT", "Llama", "ViT", "Whisper"])
def test_fused_for_onnxruntime_it_is_explained_alike(
    name: str, exported: Exported, tmp_path: Path
) -> None:
    fusions = pytest.importorskip("onnxscript.rewriter.ort_fusions")
    ir = pytest.importorskip("onnx_ir")
    (path, given), fused = exported(name), tmp_path / "fused.onnx"
    ir.save(fusions.optimize_for_ort(ir.load(path))[0], fused)
    norms = [n for n in onnx.load(fused).graph.node if n.op_type.startswith("Skip")]
    assert any(all(node.output) and len(node.output) == 4 for node in norms)
    explainers = Explainer(path), Explainer(fused)
    feeds = {k: x for k, x in given.items() if k in explainers[0].graph.inputs}
    plain, ours = (explainer.explain(feeds) for explainer in explainers)
    for tensor, r in plain.relevance.items():
        np.testing.assert_allclose(ours.relevance[tensor], r, atol=ALIKE * (np.abs(r).max() or 1))
