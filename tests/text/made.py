"""Small tokenizers, and small models that read their ids, written node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.graphs import FLOAT, INT64, Array, model, node

tokenizers = pytest.importorskip("tokenizers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "good",
    "bad",
    "film",
    "##s",
    "##ly",
    "!",
]
VOCABULARY = {word: i for i, word in enumerate(WORDS)}
SIZE = len(WORDS)


def word_pieces(folder: Path, **padding: Any) -> Path:
    """A tokenizer.json as BERT's: [CLS] text [SEP], ## within words."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=50)
    )
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.decoder = tokenizers.decoders.WordPiece()
    made.add_special_tokens(WORDS[:5])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    if padding:
        made.enable_padding(**padding)
        made.enable_truncation(4)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def byte_pairs(folder: Path) -> Path:
    """A tokenizer.json as GPT-2's: all bytes, and a few merges."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "g"), ("o", "o"), ("Ġg", "oo"), ("Ġgoo", "d")]
    vocabulary = {piece: i for i, piece in enumerate([*letters, *("".join(m) for m in merges)])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<|end|>"])
    made.save(str(folder / "bytes.json"))
    return folder / "bytes.json"


def weights(*shape: int, seed: int) -> Array:
    """Random weights."""
    return np.random.default_rng(seed).normal(0, 0.7, shape).astype(np.float32)


def classifier(length: int | str = "sequence", ids: int = INT64) -> onnx.ModelProto:
    """Embeddings, one attention with a padding mask, the masked mean, two classes."""
    shape = ("batch", length)
    return model(
        [
            node("Gather", ["words", "input_ids"], ["e0"]),
            node("Gather", ["kinds", "token_type_ids"], ["e1"]),
            node("Add", ["e0", "e1"], ["x"]),
            *attention("x", "seen"),
            node("Cast", ["attention_mask"], ["m"], to=FLOAT),
            node("Equal", ["attention_mask", "zero"], ["hidden"]),
            node("Unsqueeze", ["hidden", "axis1"], ["h1"]),
            node("Where", ["h1", "low", "scores"], ["kept"]),
            node("Unsqueeze", ["m", "axis2"], ["m2"]),
            node("Mul", ["seen", "m2"], ["present"]),
            node("ReduceSum", ["present", "axis1"], ["sum"], keepdims=0),
            node("ReduceSum", ["m", "axis1"], ["count"], keepdims=1),
            node("Div", ["sum", "count"], ["mean"]),
            node("Gemm", ["mean", "head", "bias"], ["logits"]),
        ],
        dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (ids, shape)),
        {"logits": (FLOAT, ("batch", 2))},
        {
            "words": weights(SIZE, 6, seed=0),
            "kinds": weights(2, 6, seed=1),
            **{w: weights(6, 6, seed=k) for k, w in enumerate(("wq", "wk", "wv"), 2)},
            "scale": np.float32(6**-0.5),
            "zero": np.array(0, np.int64 if ids == INT64 else np.int32),
            "low": np.float32(np.finfo(np.float32).min),
            "axis1": np.array([1]),
            "axis2": np.array([2]),
            "head": weights(6, 2, seed=6),
            "bias": weights(2, seed=7),
        },
    )


def attention(x: str, y: str) -> list[onnx.NodeProto]:
    """y = x + softmax(q k^T) v, with `scores` masked elsewhere to `kept`."""
    return [
        node("MatMul", [x, "wq"], ["q"]),
        node("MatMul", [x, "wk"], ["k"]),
        node("MatMul", [x, "wv"], ["v"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["qk"]),
        node("Mul", ["qk", "scale"], ["scores"]),
        node("Softmax", ["kept"], ["a"], axis=-1),
        node("MatMul", ["a", "v"], ["o"]),
        node("Add", [x, "o"], [y]),
    ]


def language_model(*, cache: bool = False, size: int = 262) -> onnx.ModelProto:
    """One causal attention over a cache and the text, without positions; logits of every token."""
    shape = ("batch", "sequence")
    past = ("batch", 2, "past_length", 3)
    nodes = [
        node("Gather", ["words", "input_ids"], ["x"]),
        *(part for letter in "qkv" for part in _heads(letter)),
        node("Concat", ["past_key", "kh"], ["keys"], axis=2),
        node("Concat", ["past_value", "vh"], ["values"], axis=2),
        node("Transpose", ["keys"], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["qh", "kt"], ["scores"]),
        *_causal(),
        node("Where", ["allowed", "scores", "low"], ["kept"]),
        node("Softmax", ["kept"], ["a"], axis=-1),
        node("MatMul", ["a", "values"], ["o"]),
        node("Transpose", ["o"], ["o1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "flat"], ["o2"]),
        node("Add", ["x", "o2"], ["h"]),
        node("MatMul", ["h", "head"], ["logits"]),
    ]
    inputs = {"input_ids": (INT64, shape), "attention_mask": (INT64, ("batch", "total"))}
    outputs = {"logits": (FLOAT, (*shape, size))}
    constants: dict[str, Any] = {
        "words": weights(size, 6, seed=0),
        **{w: weights(6, 6, seed=k) for k, w in enumerate(("wq", "wk", "wv"), 2)},
        "split": np.array([0, 0, 2, 3]),
        "flat": np.array([0, 0, 6]),
        "low": np.float32(np.finfo(np.float32).min),
        **{f"i{k}": np.array(k) for k in range(2)},
        "axes12": np.array([1, 2]),
        "axis1": np.array([1]),
        "false": np.array(0),
        "head": weights(6, size, seed=6),
    }
    if cache:
        inputs |= {"past_key": (FLOAT, past), "past_value": (FLOAT, past)}
        present = ("batch", 2, "total", 3)
        outputs |= {"keys": (FLOAT, present), "values": (FLOAT, present)}
    else:
        nodes = [_without_past(n) for n in nodes]
    return model(nodes, inputs, outputs, constants)


def _heads(letter: str) -> list[onnx.NodeProto]:
    return [
        node("MatMul", ["x", f"w{letter}"], [letter]),
        node("Reshape", [letter, "split"], [f"{letter}4"]),
        node("Transpose", [f"{letter}4"], [f"{letter}h"], perm=[0, 2, 1, 3]),
    ]


def _causal() -> list[onnx.NodeProto]:
    """allowed[batch, 1, query, key]: the key is no padding and not behind the query."""
    return [
        node("Shape", ["keys"], ["total"], start=2, end=3),
        node("Shape", ["x"], ["new"], start=1, end=2),
        node("Squeeze", ["total"], ["t"]),
        node("Squeeze", ["new"], ["n"]),
        node("Range", ["i0", "t", "i1"], ["key_place"]),
        node("Sub", ["t", "n"], ["before"]),
        node("Range", ["before", "t", "i1"], ["query_place"]),
        node("Unsqueeze", ["query_place", "axis1"], ["query_column"]),
        node("LessOrEqual", ["key_place", "query_column"], ["causal"]),
        node("Greater", ["attention_mask", "false"], ["real"]),
        node("Unsqueeze", ["real", "axes12"], ["real4"]),
        node("And", ["causal", "real4"], ["allowed"]),
    ]


def _without_past(n: onnx.NodeProto) -> onnx.NodeProto:
    if n.op_type != "Concat":
        return n
    return node("Identity", [n.input[1]], [n.output[0]])
