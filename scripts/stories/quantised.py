"""A transformer in float32, and two files of it in fewer bits: both keep the answers.

MiniLM judges sentences about films (scripts/examples/movie_reviews.py). The first file is
onnxruntime's dynamic quantisation: weights of matrix products in 8 bits, a scale for each channel.
In the second the table of words has 4 bits and one scale for all of it. Both answer sentences that
the model is sure of as it did; only the first has its reasons. Rows are token ids, arrays as the
model takes them.

    pip install '.[audit,html,text,torch]' transformers
    python scripts/stories/quantised.py [--pictures]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from telling import Story, beside, check_of, failed, tell
from tokenizers import Tokenizer

from backtrace_onnx.testing import assert_same_reasons

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import movie_reviews
from fetching import FETCHED, write_sidecar

ROWS, TOKENS, SHORTEST, SURE = 40, 32, 8, 2.0
"""Sentences, tokens of each, the fewest of them, how far the two scores are apart at least."""
TABLE = "encoder.embeddings.word_embeddings.weight"
STEPS = 7
"""Of 4 bits with a sign."""
SHOWN = (
    "sample-drift",
    "sample-top-features",
    "layer-drift",
    "reason-drift",
    "share-drift",
    "rank-drift",
)
BESIDE = ("answers-kept", "input-drift", "prediction-drift")


def rows(model: Path) -> dict[str, np.ndarray]:
    """Held-out sentences that the model is sure of, as its inputs int64[ROWS, TOKENS]."""
    texts, _ = movie_reviews.reviews()
    tokenizer = Tokenizer.from_file(str(FETCHED / movie_reviews.TOKENIZER))
    tokenizer.enable_padding(length=TOKENS)
    every = [tokenizer.encode(text) for text in texts[4::5][: 10 * ROWS]]
    fits = [e for e in every if len(e.ids) == TOKENS and sum(e.attention_mask) >= SHORTEST]
    ids = np.array([e.ids for e in fits], np.int64)
    mask = np.array([e.attention_mask for e in fits], np.int64)
    feeds = dict(zip(movie_reviews.INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))
    (logits,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds)
    sure = np.flatnonzero(np.abs(logits[:, 0] - logits[:, 1]) >= SURE)[:ROWS]
    return {name: x[sure] for name, x in feeds.items()}


def coarse(source: Path, path: Path) -> None:
    """Write the model with its table of words in 4 bits, by one scale."""
    model = onnx.load(source)
    kept = model.graph.initializer
    table = next(w for w in kept if w.name == TABLE)
    values = numpy_helper.to_array(table)
    scale = np.float32(np.abs(values).max() / STEPS)
    kept.remove(table)
    kept.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), TABLE))
    kept.append(numpy_helper.from_array(scale, "table/scale"))
    at, looked = next((i, n) for i, n in enumerate(model.graph.node) if TABLE in n.input)
    (made,) = looked.output
    looked.output[0] = "table/steps"
    read = helper.make_node("DequantizeLinear", ["table/steps", "table/scale"], [made], "table")
    model.graph.node.insert(at + 1, read)
    onnx.save(model, path)


def models(folder: Path) -> None:
    """Write fp32.onnx, int8.onnx, int4.onnx and rows.npz."""
    if not movie_reviews.MODEL.exists():
        movie_reviews.build()
    source = folder / "fp32.onnx"
    shutil.copyfile(movie_reviews.MODEL, source)
    how = {"per_channel": True, "weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul"]}
    quantize_dynamic(source, folder / "int8.onnx", **how)
    coarse(source, folder / "int4.onnx")
    labels = {"task": "classification", "labels": ["bad", "good"]}
    for name in ("fp32", "int8", "int4"):
        write_sidecar(folder / f"{name}.onnx", {}, {"logits": labels})
    np.savez(folder / "rows.npz", **rows(source))


def story(told: Story) -> list[str]:
    """Quantise, compare, claim."""
    models(told.folder)
    how = ("--data", "rows.npz")
    first = told.run("compare", "fp32.onnx", "int8.onnx", *how, name="story_quantised_first")
    second = told.run("compare", "fp32.onnx", "int4.onnx", *how, name="story_quantised")
    print(f"\n{beside(first, second, (*SHOWN, *BESIDE))}\n")
    told.claim("int8 keeps answers and reasons: every check passes", not failed(first))
    told.claim("int4 keeps answers", not failed(second) & {*BESIDE})
    told.claim("and is stopped: its reasons are others", second["exit_code"] == 1)
    drift = check_of(second, "sample-drift")
    told.claim("row by row", drift["status"] == "failed")
    told.claim("the verdict says so", "other reasons" in second["verdict"])
    old, new = (told.folder / f"{name}.onnx" for name in ("fp32", "int4"))
    off = {"checks": {"layer-drift": {"enabled": False}}}
    try:
        assert_same_reasons(old, new, str(told.folder / "rows.npz"), settings=off)
        told.claim("assert_same_reasons says so, too", False)
    except AssertionError as error:
        told.claim("assert_same_reasons says so, too", "sample-drift" in str(error))
    return ["story_quantised"]


if __name__ == "__main__":
    sys.exit(tell(story, __doc__.partition("\n")[0]))
