"""Caches of keys and values: which inputs they are, and that empty ones change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from backtrace_onnx import Explainer
from backtrace_onnx.errors import InputError
from backtrace_onnx.text.kv_cache import empty_caches
from tests.checks import check_ledger, gap
from tests.graphs import FLOAT, INT64, mlp, model, node, normal
from tests.language_models import IDS, MODES, SIZE, channels, feeds
from tests.text.made import byte_pairs, language_model


@pytest.fixture(scope="module")
def plain() -> Explainer:
    return Explainer(language_model(size=SIZE))


@pytest.fixture(scope="module")
def cached() -> Explainer:
    return Explainer(language_model(cache=True, size=SIZE))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_empty_caches_change_nothing(
    plain: Explainer, cached: Explainer, mode: str, engine: Any
) -> None:
    explainer = (
        cached
        if engine == "numba"
        else Explainer(language_model(cache=True, size=SIZE), engine=engine)
    )
    empty = empty_caches(explainer.graph)
    assert {name: x.shape for name, x in empty.items()} == dict.fromkeys(
        ("past_key", "past_value"), (1, 2, 0, 3)
    )
    made = explainer.explain({**feeds(), **empty}, mode=mode, task="generation")
    want = plain.explain(feeds(), mode=mode, task="generation")
    assert gap(made.relevance["input_ids"], want.relevance["input_ids"]) < 1e-5
    assert made.relevance["past_key"].shape == (1, 2, 0, 3)
    check_ledger(made)


def unnamed(*, size: int = SIZE, returned: bool = False) -> onnx.ModelProto:
    """The model with caches whose names and sizes do not say so; perhaps they are returned."""
    proto = language_model(cache=True, size=size)
    renamed = {"past_key": "m0", "past_value": "m1"}
    for value in proto.graph.input:
        value.name = renamed.get(value.name, value.name)
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "past_length":
                dim.dim_param = "n"
    for reader in proto.graph.node:
        reader.input[:] = [renamed.get(name, name) for name in reader.input]
    if not returned:
        del proto.graph.output[1:]
    return proto


def test_an_empty_input_is_a_cache_whatever_it_is_called(plain: Explainer) -> None:
    proto = unnamed()
    empty = {name: np.zeros((1, 2, 0, 3), np.float32) for name in ("m0", "m1")}
    made = Explainer(proto).explain({**feeds(), **empty}, task="generation")
    want = plain.explain(feeds(), task="generation")
    assert gap(made.relevance["input_ids"], want.relevance["input_ids"]) < 1e-5
    assert made.relevance["m0"].shape == (1, 2, 0, 3)
    with pytest.raises(InputError, match=r"input 'm0' is empty"):
        Explainer(proto).explain({**feeds(), **empty, "m0": np.zeros((0, 2, 0, 3), np.float32)})


@pytest.mark.parametrize("engine", ["numba", "onnxruntime"])
def test_a_cache_that_is_returned_longer_may_be_left_out(engine: Any, tmp_path: Path) -> None:
    """Its output of the same rank and sizes holds it, and more: whatever both are called."""
    explainer = Explainer(unnamed(size=262, returned=True), engine=engine)
    shapes = {name: x.shape for name, x in empty_caches(explainer.graph, 2).items()}
    assert shapes == dict.fromkeys(("m0", "m1"), (2, 2, 0, 3))
    tokenizer = byte_pairs(tmp_path)
    made = explainer.explain(["good", "so good"], tokenizer=tokenizer)
    want = Explainer(language_model()).explain(["good", "so good"], tokenizer=tokenizer)
    assert gap(made.relevance["input_ids"], want.relevance["input_ids"]) < 1e-5
    check_ledger(made)


@pytest.mark.parametrize("length", ["p", 4])
def test_a_cache_that_is_returned_as_a_window_of_its_end_is_one(length: Any) -> None:
    """Joined with what is new and cut to the last four; one of a fixed size cannot be empty."""
    ends = {"first": [-4], "last": [2**63 - 1], "axis": [1]}
    nodes = [
        node("Gather", ["table", "ids"], ["new"]),
        node("Concat", ["m", "new"], ["both"], axis=1),
        node("Slice", ["both", "first", "last", "axis"], ["kept"]),
        node("ReduceMean", ["both", "axis"], ["y"], keepdims=0),
    ]
    proto = model(
        nodes,
        {"ids": (INT64, ["n", "t"]), "m": (FLOAT, ["n", length, 5])},
        {"y": (FLOAT, ["n", 5]), "kept": (FLOAT, ["n", length, 5])},
        {"table": normal(7, 5), **{k: np.array(v, np.int64) for k, v in ends.items()}},
    )
    explainer = Explainer(proto)
    shapes = {name: x.shape for name, x in empty_caches(explainer.graph, 2).items()}
    assert shapes == ({"m": (2, 0, 5)} if length == "p" else {})
    if length == "p":
        feeds = {"ids": np.array([[1, 2], [3, 4]]), **empty_caches(explainer.graph, 2)}
        assert explainer.explain(feeds).relevance["ids"].all()


def test_what_is_not_joined_with_more_is_no_cache() -> None:
    """Nor by the shape of an output alone, which hidden states share with an encoder's."""
    assert empty_caches(Explainer(unnamed()).graph) == {}
    kinds = {"x": (FLOAT, ("n", "t", 3)), "memory": (FLOAT, ("n", "s", 3))}
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["memory"], ["z"])]
    outputs = {"y": (FLOAT, ("n", "t", 3)), "z": (FLOAT, ("n", "s", 3))}
    assert empty_caches(Explainer(model(nodes, kinds, outputs)).graph) == {}


@pytest.mark.parametrize("mode", ["default", "contrastive"])
def test_a_given_past_gets_what_its_tokens_would(
    plain: Explainer, cached: Explainer, mode: str
) -> None:
    """Tokens after the cut get the same relevance; the past's keys and values all that is left."""
    before = cached.explain({**feeds(IDS[:, :4]), **empty_caches(cached.graph)})
    past = {"past_key": before.outputs["keys"], "past_value": before.outputs["values"]}
    given = {"input_ids": IDS[:, 4:], "attention_mask": np.ones_like(IDS), **past}
    made = cached.explain(given, mode=mode, task="generation")
    whole = plain.explain(feeds(), mode=mode, task="generation")
    assert gap(made.outputs["logits"], whole.outputs["logits"][:, 4:]) < 1e-5
    for part, want, name in zip(
        channels(made), channels(whole), ("positive", "negative"), strict=False
    ):
        assert gap(part, want[:, 4:]) < 1e-4
        held = sum(getattr(made, name)[p].sum(axis=(1, 3)) for p in past)
        assert gap(np.asarray(held), want[:, :4]) < 1e-4


def test_batches_of_empty_caches(cached: Explainer) -> None:
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    given = {**feeds(ids), **empty_caches(cached.graph, 2)}
    made = cached.explain(given, task="generation")
    for k in range(2):
        one = {**feeds(ids[k : k + 1]), **empty_caches(cached.graph)}
        want = cached.explain(one, task="generation").relevance["input_ids"]
        assert gap(made.relevance["input_ids"][k : k + 1], want) < 1e-5


@pytest.mark.parametrize(
    "shape", [("batch", 2, 5, 3), ("batch", "heads", "past_length", 3), (1, 2)]
)
def test_caches_that_cannot_be_empty(shape: Any) -> None:
    kinds = {"x": (FLOAT, ("n", 3)), "past": (FLOAT, shape)}
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["past"], ["z"])]
    graph = Explainer(model(nodes, kinds, {"y": (FLOAT, ("n", 3)), "z": (FLOAT, shape)})).graph
    if len(shape) < 3:
        assert empty_caches(graph) == {}
        return
    with pytest.raises(InputError, match="which of its axes is the past"):
        empty_caches(graph)


def test_other_inputs_stay_full() -> None:
    explainer = Explainer(mlp())
    with pytest.raises(InputError, match="is empty"):
        explainer.explain(np.zeros((0, 4), np.float32))


@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_exported_llama_with_a_cache(tmp_path: Path) -> None:
    """A tiny Llama of transformers: padding is nothing, empty caches change nothing."""
    exported = tiny_llama(tmp_path)
    explainer = Explainer(exported)
    ids = np.array([[5, 6, 7, 8, 9]])
    empty = empty_caches(explainer.graph)
    assert [x.shape for x in empty.values()] == [(1, 2, 0, 8)] * 2
    made = explainer.explain({**feeds(ids), **empty}, mode="contrastive", task="generation")
    check_ledger(made)
    padded = np.array([[5, 6, 7, 8, 9, 0, 0]])
    mask = (padded > 0).astype(np.int64)
    given = {"input_ids": padded, "attention_mask": mask, **empty}
    longer = explainer.explain(
        given, mode="contrastive", task="generation", target=(4, int(made.target[0, 1]))
    )
    for part, want in zip(channels(longer), channels(made), strict=True):
        assert not part[0, 5:].any()
        assert gap(part[:, :5], want) < 2e-4


def tiny_llama(folder: Path) -> Path:
    """One layer, grouped queries and rotary positions, exported with its cache as inputs."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",
    )
    inner = transformers.LlamaForCausalLM(config).eval()

    class Cached(torch.nn.Module):
        """The model with its cache as plain tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: Any, mask: Any, key: Any, value: Any) -> Any:
            cache = transformers.DynamicCache(((key, value),))
            return self.inner(
                input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True
            ).logits

    axes = {0: "batch", 1: "sequence"}
    past = {0: "batch", 2: "past"}
    ids, held = torch.ones((2, 3), dtype=torch.int64), torch.randn(2, 2, 4, 8)
    path = folder / "llama.onnx"
    torch.onnx.export(
        Cached().eval(),
        (ids, torch.ones((2, 7), dtype=torch.int64), held, held),
        str(path),
        input_names=["input_ids", "attention_mask", "past_key", "past_value"],
        output_names=["logits"],
        dynamic_shapes=(axes, {0: "batch", 1: "total"}, past, past),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path
