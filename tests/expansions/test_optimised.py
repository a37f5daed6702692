"""Transformers as exported, and as optimisers leave them, are explained alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import Explainer, Explanation
from tests.checks import check_ledger
from tests.expansions.checks import MODES, assert_alike

torch = pytest.importorskip("torch", reason="exports need torch")
transformers = pytest.importorskip("transformers", reason="the models are from transformers")

IDS = np.array([[3, 7, 9, 11, 2, 6], [5, 4, 8, 1, 1, 1]])
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
SIZES = {"vocab_size": 50, "attn_implementation": "eager"}


def bert() -> Any:
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        **SIZES,
    )
    return transformers.BertForSequenceClassification(config)


def gpt2() -> Any:
    config = transformers.GPT2Config(n_positions=16, n_embd=16, n_layer=2, n_head=2, **SIZES)
    return transformers.GPT2LMHeadModel(config)


class First(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A model's first output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        answers = self.model(input_ids, attention_mask=attention_mask, return_dict=False)
        return answers[0]


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def exported(request: Any, tmp_path_factory: Any) -> tuple[str, Path]:
    torch.manual_seed(0)
    model = {"bert": bert, "gpt2": gpt2}[request.param]()
    model.config.use_cache = False
    for weight in model.parameters():
        torch.nn.init.normal_(weight, weight.mean().item() if weight.dim() == 1 else 0, 0.3)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    axes = {0: "batch", 1: "sequence"}
    names = ["input_ids", "attention_mask"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            First(model.eval()),
            (torch.tensor(IDS), torch.tensor(MASK)),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=["y"],
            dynamic_axes=dict.fromkeys((*names, "y"), axes),
        )
    return request.param, path


def optimised(kind: str, path: Path) -> Iterator[tuple[str, Path]]:
    """The model as onnxruntime's levels and its transformer optimiser save it."""
    for level in ("EXTENDED", "ALL"):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
        )
        made = path.with_name(f"{level}.onnx")
        options.optimized_model_filepath = str(made)
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        yield level, made
    from onnxruntime.transformers import optimizer

    fused = optimizer.optimize_model(
        str(path), model_type=kind, num_heads=2, hidden_size=16, opt_level=0
    )
    made = path.with_name("fused.onnx")
    fused.save_model_to_file(str(made))
    yield "transformers", made


def test_optimised_models_are_explained_alike(exported: tuple[str, Path]) -> None:
    kind, path = exported
    plain = {mode: explained(path, kind, mode) for mode in MODES}
    assert not any(e.relevance["input_ids"][1, 3:].any() for e in plain.values())
    assert not any(e.relevance["attention_mask"].any() for e in plain.values())
    seen: set[str] = set()
    for how, made in optimised(kind, path):
        operators = {n.op_type for n in onnx.load(made).graph.node if n.domain}
        assert operators, how
        seen |= operators
        for mode in MODES:
            ours = explained(made, kind, mode)
            np.testing.assert_allclose(ours.outputs["y"], plain[mode].outputs["y"], atol=2e-5)
            assert_alike(ours, plain[mode])
    fused = {"bert": {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"}}
    assert fused.get(kind, {"SkipLayerNormalization", "FastGelu"}) <= seen


def test_batch_of_unequal_lengths_is_explained_as_alone(exported: tuple[str, Path]) -> None:
    kind, path = exported
    together = explained(path, kind, "default")
    alone = Explainer(str(path)).explain(
        {"input_ids": IDS[1:, :3], "attention_mask": MASK[1:, :3]}, **request(kind)
    )
    found, wanted = together.relevance["input_ids"][1, :3], alone.relevance["input_ids"][0]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def request(kind: str) -> dict[str, Any]:
    if kind == "bert":
        return {"target": 1}
    return {"task": "generation", "target": (2, 5)}


def explained(path: Path, kind: str, mode: str) -> Explanation:
    made = Explainer(str(path)).explain(
        {"input_ids": IDS, "attention_mask": MASK}, mode=mode, **request(kind)
    )
    check_ledger(made, each=True)
    return made
