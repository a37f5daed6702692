"""From transformers models, made here with random weights, to .onnx."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtrace_onnx as bt
from backtrace_onnx import ExportError
from backtrace_onnx.exporters import from_transformers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL, intermediate_size=32, num_labels=3)
    folder = tmp_path_factory.mktemp("bert")
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_folder(bert: Path, tmp_path: Path) -> None:
    made = from_transformers(bert, "text-classification", tmp_path / "b.onnx")
    assert made.inputs == {
        "input_ids": "int64[batch, sequence]",
        "attention_mask": "int64[batch, sequence]",
    }
    assert list(made.outputs) == ["logits"] and made.verified
    feeds = {"input_ids": np.array([[3, 5, 7]]), "attention_mask": np.ones((1, 3), np.int64)}
    explained = bt.explain(tmp_path / "b.onnx", feeds)
    assert explained.ledger.total().relative_residual < 1e-4
    paths = explained.modules()
    assert paths[""].kind == "BertForSequenceClassification" and "classifier" in paths
    assert any(path.startswith("bert.encoder.layer.0.attention") for path in paths)


def test_a_language_model_object(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SMALL, intermediate_size=32, num_key_value_heads=1)
    model = transformers.LlamaForCausalLM(config)
    made = from_transformers(model, None, tmp_path / "l.onnx")
    assert list(made.outputs) == ["logits"] and made.inputs["input_ids"] == "int64[batch, sequence]"
    assert model.config.use_cache and model.training is not None


def test_pictures(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
    )
    model = transformers.ViTForImageClassification(config)
    made = from_transformers(model, None, tmp_path / "v.onnx", exporter="dynamo")
    assert made.inputs == {"pixel_values": "float32[batch, 3, 16, 16]"}


def test_refusals(bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ExportError, match=r"task is one of feature-extraction, .*not 'x'"):
        from_transformers(bert, "x", path)
    with pytest.raises(ExportError, match="holds no transformers model"):
        from_transformers(tmp_path, "fill-mask", path)
    with pytest.raises(ExportError, match="takes a model or its folder, not Linear"):
        from_transformers(torch.nn.Linear(2, 2), None, path)
    with pytest.raises(ExportError, match="cannot be loaded for image-classification"):
        from_transformers(bert, "image-classification", path)
    speech: Any = transformers.Wav2Vec2Config
    model = type("Odd", (), {"config": speech(), "main_input_name": "input_values"})()
    with pytest.raises(ExportError, match="Odd takes input_values: give an example"):
        from_transformers(model, None, path)
    assert not list(tmp_path.iterdir())
