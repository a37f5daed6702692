"""The attention of exported transformers has the slopes that torch has there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import backtrace_onnx as bt
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
Array = npt.NDArray[Any]
WORDS = 24


def _bert() -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
    config = transformers.BertConfig(**sizes, intermediate_size=32, num_labels=3)
    config._attn_implementation = "eager"
    return transformers.BertForSequenceClassification(config).eval()


def _gpt() -> Any:
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": WORDS, "n_positions": 16}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    config._attn_implementation = "eager"
    return transformers.GPT2LMHeadModel(config).eval()


def _torch_slopes(net: Any, feeds: dict[str, Array], pick: Any) -> list[Array]:
    """Gradients of an entry of the logits at every attention's weights."""
    given = {name: torch.from_numpy(x) for name, x in feeds.items()}
    made = net(**given, output_attentions=True)
    for weights in made.attentions:
        weights.retain_grad()
    pick(made.logits).backward()
    return [weights.grad.numpy() for weights in made.attentions]


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_the_slopes_of_attention_are_torchs(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, task = (_bert(), "text-classification") if kind == "bert" else (_gpt(), None)
    from_transformers(net, task, tmp_path / "m.onnx")
    ids = np.array([[3, 5, 7, 11, 13]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    explainer = bt.Explainer(tmp_path / "m.onnx")
    target = 1 if kind == "bert" else (4, 2)
    made = explainer.explain(feeds, mode="gradient", target=target, keep="attention")
    pick = (lambda y: y[0, 1]) if kind == "bert" else (lambda y: y[0, 4, 2])
    wanted = _torch_slopes(net, feeds, pick)
    assert len(made.attention) == len(wanted) == 2
    for found, want in zip(made.attention, wanted, strict=True):
        assert found.relevance.shape == want.shape
        if kind == "gpt":  # a masked weight is 0 whatever comes before it
            want = np.tril(want)
            assert not np.triu(
                bt.tensor_values(explainer, feeds, [found.tensor])[found.tensor], 1
            ).any()
        near = {"rtol": 1e-3, "atol": 1e-5 * float(np.abs(want).max())}
        shown = np.tril(found.relevance) if kind == "gpt" else found.relevance
        np.testing.assert_allclose(shown, want, **near)
