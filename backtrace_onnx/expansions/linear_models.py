"""Linear models, scalers and what stands around them in ai.onnx.ml."""

from __future__ import annotations

import numpy as np

from backtrace_onnx.expansions.phrases import FLOAT, INT64, Array
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints, refuse

ML = "ai.onnx.ml"

refuse(
    "DictVectorizer CastMap",
    "its input is a map, and only tensors can be explained; give the model a tensor",
    domain=ML,
)


@expansion("Scaler", domain=ML)
def scaler(e: Ops, op: Op, x: Value) -> Value:
    """(x - offset) * scale: the offset is a bias, the scale passes."""
    offset, scale = (np.array(op.attribute(n, ()), np.float32) for n in ("offset", "scale"))
    shifted = e.Sub(single(e, x), offset) if offset.any() else single(e, x)
    return e.Mul(shifted, scale) if len(scale) else shifted


@expansion("FeatureVectorizer", domain=ML)
def feature_vectorizer(e: Ops, op: Op, *xs: Value) -> Value:
    """Features side by side."""
    dims = op.attribute("inputdimensions", ())
    for i, size in enumerate(dims):
        known = (op.type(i).shape or (None,))[-1]
        if known != size or op.rank(i) > 2:
            raise RuleError(f"input {i} is cut or filled up to {size} features; give it that many")
    laid = [e.Reshape(single(e, x), ints(-1, n)) for x, n in zip(xs, dims, strict=False)]
    return e.Concat(*laid, axis=1)


@expansion("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(e: Ops, op: Op, x: Value, index: Value) -> Value:
    """Some of the last axis' elements."""
    if op.type(0).rank == 1:
        x = e.Unsqueeze(x, ints(0))
    return e.Gather(x, e.Reshape(index, ints(-1)), axis=-1)


@expansion("LinearRegressor", domain=ML)
def linear_regressor(e: Ops, op: Op, x: Value) -> Value:
    """x W + b, transformed."""
    targets = op.attribute("targets", 1)
    weights = rows(op, "coefficients", targets)
    bias = np.array(op.attribute("intercepts") or [0.0] * targets)
    scores = affine(e, _laid(e, op, x), weights, bias)
    # onnxruntime transforms no single target
    return transformed(e, op, scores) if targets > 1 else scores


@expansion("LinearClassifier", domain=ML)
def linear_classifier(e: Ops, op: Op, x: Value) -> tuple[Value, Value]:
    """x W + b, transformed, and the label of the best."""
    labels = class_labels(op)
    bias = np.array(op.attribute("intercepts", ()), np.float64)
    count = len(bias) or max(len(labels), 1)
    weights, bias = rows(op, "coefficients", count), bias if len(bias) else np.zeros(count)
    doubled = count == 1 and len(labels) == 2
    if doubled:
        weights, bias = in_two(op, weights, bias, mirrored=False)
    if len(labels) != len(weights):
        raise RuleError(f"{len(labels)} labels do not fit its {len(weights)} scores")
    scores = affine(e, _laid(e, op, x), weights, bias)
    if not doubled:
        best = e.ArgMax(scores, axis=1, keepdims=0)
        return e.Gather(labels, best), transformed(e, op, scores)
    # Of two classes made of one score, the second one wins where that is positive.
    best = e.Cast(e.Greater(e.Gather(scores, np.int64(1), axis=1), np.float32(0)), to=INT64)
    logistic = op.attribute("post_transform", "NONE") == "LOGISTIC"
    return e.Gather(labels, best), transformed(e, op, scores) if logistic else scores


# Shared with the support vector machines ------------------------------------------------------


def single(e: Ops, x: Value) -> Value:
    """x as these operators compute it, whatever its type."""
    return e.Cast(x, to=FLOAT)


def affine(e: Ops, x: Value, weights: Array, bias: Array) -> Value:
    """x W^T + b for weights [scores, features]."""
    return e.Gemm(x, weights.T.astype(np.float32), bias.astype(np.float32))


def in_two(op: Op, weights: Array, bias: Array, *, mirrored: bool) -> tuple[Array, Array]:
    """Rows of two classes' scores made of one s: [-s, s] for LOGISTIC, or [1 - s, s]."""
    mirrored = mirrored or op.attribute("post_transform", "NONE") == "LOGISTIC"
    shift = 0.0 if mirrored else 1.0
    return np.concatenate([-weights, weights]), np.concatenate([shift - bias, bias])


def transformed(e: Ops, op: Op, scores: Value) -> Value:
    """Scores after `post_transform`. Raises RuleError where no standard operator says it."""
    how = op.attribute("post_transform", "NONE")
    if how == "LOGISTIC":
        return e.Sigmoid(scores)
    if how == "SOFTMAX":
        return e.Softmax(scores, axis=1)
    if how != "NONE":
        raise RuleError(
            f"post_transform {how} cannot be written in standard operators; export the model with "
            "NONE, LOGISTIC or SOFTMAX"
        )
    return scores


def rows(op: Op, name: str, count: int) -> Array:
    """A list attribute as [count, ...]."""
    flat = np.array(op.attribute(name, ()), np.float64)
    if not len(flat) or len(flat) % count:
        raise RuleError(f"{len(flat)} {name} do not make {count} rows")
    return flat.reshape(count, -1)


def class_labels(op: Op) -> Array:
    """The class labels, int64 or strings; none where there are none."""
    strings = op.attribute("classlabels_strings", ())
    if strings:
        return np.array(strings, object)
    return np.array(op.attribute("classlabels_ints", ()), np.int64)


def _laid(e: Ops, op: Op, x: Value) -> Value:
    """x as [samples, features]; a vector is one sample."""
    x = single(e, x)
    return e.Unsqueeze(x, ints(0)) if op.type(0).rank == 1 else x
