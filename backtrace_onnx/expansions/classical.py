"""Linear models, scalers and what stands around them in ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.errors import RuleError
from backtrace_onnx.expansions.registry import Op, Ops, Value, expansion, refuse
from backtrace_onnx.ops.vocabulary import ints

ML = "ai.onnx.ml"
Array = npt.NDArray[Any]

refuse(
    dict.fromkeys(
        ("DictVectorizer", "CastMap"),
        "its input is a map, and only tensors can be explained; give the model a tensor",
    ),
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
            raise RuleError(
                f"FeatureVectorizer node {op.node.name!r}: input {i} is cut or filled up to "
                f"{size} features; give it that many"
            )
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
    targets = int(op.attribute("targets", 1))
    weights = rows(op, "coefficients", targets)
    intercepts = op.attribute("intercepts", ())
    scores = affine(e, _laid(e, op, x), weights, np.array(intercepts or [0.0] * targets))
    # onnxruntime transforms no single target
    return transformed(e, op, scores) if targets > 1 else scores


@expansion("LinearClassifier", domain=ML)
def linear_classifier(e: Ops, op: Op, x: Value) -> tuple[Value, Value]:
    """x W + b, transformed, and the label of the best."""
    labels = class_labels(op, "classlabels_ints")
    intercepts = np.array(op.attribute("intercepts", ()), np.float64)
    count = len(intercepts) or max(len(labels), 1)
    weights = rows(op, "coefficients", count)
    intercepts = intercepts if len(intercepts) else np.zeros(count)
    x = _laid(e, op, x)
    if count == 1 and len(labels) == 2:
        weights, intercepts = in_two(op, weights, intercepts, mirrored=False)
        scores = affine(e, x, weights, intercepts)
        positive = e.Greater(e.Gather(scores, np.int64(1), axis=1), np.float32(0))
        best = e.Cast(positive, to=TensorProto.INT64)
    else:
        scores = affine(e, x, weights, intercepts)
        best = e.ArgMax(scores, axis=1, keepdims=0)
    if len(labels) != len(weights):
        raise RuleError(
            f"LinearClassifier node {op.node.name!r}: {len(labels)} labels do not fit its "
            f"{len(weights)} scores"
        )
    doubled = count == 1 and len(labels) == 2
    if doubled and op.attribute("post_transform", "NONE") != "LOGISTIC":
        return e.Gather(labels, best), scores
    return e.Gather(labels, best), transformed(e, op, scores)


# Shared with the support vector machines ------------------------------------------------------


def single(e: Ops, x: Value) -> Value:
    """x as these operators compute it, whatever its type."""
    return e.Cast(x, to=TensorProto.FLOAT)


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
            f"{op.node.operator} node {op.node.name!r}: post_transform {how} cannot be written in "
            "standard operators; export the model with NONE, LOGISTIC or SOFTMAX"
        )
    return scores


def rows(op: Op, name: str, count: int) -> Array:
    """A list attribute as [count, ...]."""
    flat = np.array(op.attribute(name, ()), np.float64)
    if not len(flat) or len(flat) % count:
        raise RuleError(
            f"{op.node.operator} node {op.node.name!r}: {len(flat)} {name} do not make {count} rows"
        )
    return flat.reshape(count, -1)


def class_labels(op: Op, whole: str) -> Array:
    """The class labels, int64 or strings; none where there are none."""
    strings = op.attribute("classlabels_strings", ())
    if strings:
        return np.array(strings, object)
    return np.array(op.attribute(whole, ()), np.int64)


def _laid(e: Ops, op: Op, x: Value) -> Value:
    """x as [samples, features]; a vector is one sample."""
    x = single(e, x)
    return e.Unsqueeze(x, ints(0)) if op.type(0).rank == 1 else x
