"""Linear models, support vector machines and what stands around them in ai.onnx.ml."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from backtrace_onnx.expansions.phrases import Array
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
    x = e.float32(x) - offset if offset.any() else e.float32(x)
    return x * scale if len(scale) else x


@expansion("FeatureVectorizer", domain=ML)
def feature_vectorizer(e: Ops, op: Op, *xs: Value) -> Value:
    """Features side by side."""
    dims = op.attribute("inputdimensions", ())
    for i, size in enumerate(dims):
        if op.known_size(i) != size or op.rank(i) > 2:
            raise RuleError(f"input {i} is cut or filled up to {size} features; give it that many")
    laid = [e.Reshape(e.float32(x), ints(-1, n)) for x, n in zip(xs, dims, strict=False)]
    return e.Concat(*laid, axis=1)


@expansion("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(e: Ops, op: Op, x: Value, index: Value) -> Value:
    """Some of the last axis' elements."""
    x = e.Unsqueeze(x, ints(0)) if op.type(0).rank == 1 else x
    return e.Gather(x, e.Reshape(index, ints(-1)), axis=-1)


@expansion("LinearRegressor", domain=ML)
def linear_regressor(e: Ops, op: Op, x: Value) -> Value:
    """x W + b, transformed."""
    targets = op.attribute("targets", 1)
    bias = np.array(op.attribute("intercepts") or [0.0] * targets)
    scores = affine(e, _laid(e, op, x), rows(op, "coefficients", targets), bias)
    # onnxruntime transforms no single target
    return transformed(e, op, scores) if targets > 1 else scores


@expansion("LinearClassifier", domain=ML)
def linear_classifier(e: Ops, op: Op, x: Value) -> tuple[Value, Value]:
    """x W + b, transformed, and the label of the best."""
    labels, bias = class_labels(op), np.array(op.attribute("intercepts", ()), np.float64)
    count = len(bias) or max(len(labels), 1)
    weights, bias = rows(op, "coefficients", count), bias if len(bias) else np.zeros(count)
    x = _laid(e, op, x)
    if count == 1 and len(labels) == 2:
        return of_one_score(e, op, x, weights, bias, labels, mirrored=False)
    if len(labels) != count:
        raise RuleError(f"{len(labels)} labels do not fit its {count} scores")
    scores = affine(e, x, weights, bias)
    return e.Gather(labels, e.ArgMax(scores, axis=1, keepdims=0)), transformed(e, op, scores)


def _laid(e: Ops, op: Op, x: Value) -> Value:
    """x as [samples, features]; a vector is one sample."""
    x = e.float32(x)
    return e.Unsqueeze(x, ints(0)) if op.type(0).rank == 1 else x


# Support vector machines: kernels of the distance or product with every support vector ----------


@expansion("SVMRegressor", domain=ML)
def svm_regressor(e: Ops, op: Op, x: Value) -> Value:
    """Kernels, weighted and summed."""
    count = op.attribute("n_supports", 0)
    similar = _kernels(e, op, x, count) if count else e.float32(x)
    made = affine(e, similar, rows(op, "coefficients", 1), _rho(op)[:1])
    if not op.attribute("one_class", 0):
        return made
    least = np.float32(-np.finfo(np.float32).tiny)  # an inlier scores more than nothing
    return e.Sign(e.Where(made == np.float32(0), least, made))


@expansion("SVMClassifier", domain=ML)
def svm_classifier(e: Ops, op: Op, x: Value) -> tuple[Value, Value]:
    """Kernels, weighted and summed for every pair of classes; the label has most votes."""
    if op.attribute("prob_a"):
        raise RuleError(
            "its probabilities come from an iteration (Wu, Lin and Weng 2004) that standard "
            "operators do not say; export the model without probabilities, or calibrate its scores "
            "(CalibratedClassifierCV)"
        )
    labels, sizes = class_labels(op), op.attribute("vectors_per_class", ())
    if not sizes or not sum(sizes):
        return _one_against_rest(e, op, x, labels)
    pairs = _pairs(rows(op, "coefficients", max(len(sizes) - 1, 1)), sizes)
    similar, rho = _kernels(e, op, x, sum(sizes)), _rho(op)[: len(pairs)]
    if len(sizes) <= 2:  # a positive score is the first class'
        mirrored = op.attribute("post_transform", "NONE") == "NONE"
        return of_one_score(e, op, similar, pairs, rho, labels[1::-1], mirrored=mirrored)
    decisions = affine(e, similar, pairs, rho)
    return e.Gather(labels, _most_votes(e, decisions, len(sizes))), transformed(e, op, decisions)


def _one_against_rest(e: Ops, op: Op, x: Value, labels: Array) -> tuple[Value, Value]:
    """Without support vectors: a linear score for every class."""
    count, rho = len(labels), _rho(op)
    if count < 3:
        raise RuleError("it has no support vectors; export the model as a LinearClassifier")
    rho = np.full(count, rho[0]) if len(rho) < count else rho
    similar = _kernels(e, op, x, count, "coefficients")
    scores = affine(e, similar, np.eye(count), rho)
    return e.Gather(labels, e.ArgMax(scores, axis=1, keepdims=0)), transformed(e, op, scores)


def _kernels(e: Ops, op: Op, x: Value, count: int, name: str = "support_vectors") -> Value:
    """How alike samples and vectors are, [samples, vectors], by the names and letters of libsvm."""
    x, vectors, kind = e.float32(x), rows(op, name, count), op.attribute("kernel_type", "LINEAR")
    gamma, coef0, degree = (*op.attribute("kernel_params", ()), 0.0, 0.0, 0.0)[:3]
    if kind == "RBF":
        apart = e.Unsqueeze(x, ints(1)) - vectors.astype(np.float32)[None]
        return e.Exp(e.ReduceSum(apart * apart, ints(2), keepdims=0) * np.float32(-gamma))
    if kind == "LINEAR":
        return e.MatMul(x, vectors.T.astype(np.float32))
    made = affine(e, x, gamma * vectors, np.full(count, coef0))
    if kind not in ("POLY", "SIGMOID"):
        raise RuleError(f"its kernel_type {kind!r} is not known")
    return made ** np.float32(degree) if kind == "POLY" else e.Tanh(made)


def _pairs(coefficients: Array, sizes: tuple[int, ...]) -> Array:
    """Weights [pairs of classes, vectors]: libsvm keeps a vector's weights against each rival."""
    ends = np.cumsum([0, *sizes])
    made = np.zeros((len(sizes) * (len(sizes) - 1) // 2, ends[-1]))
    for row, (i, j) in zip(made, combinations(range(len(sizes)), 2), strict=True):
        row[ends[i] : ends[i + 1]] = coefficients[j - 1, ends[i] : ends[i + 1]]
        row[ends[j] : ends[j + 1]] = coefficients[i, ends[j] : ends[j + 1]]
    return made


def _most_votes(e: Ops, decisions: Value, classes: int) -> Value:
    """The class that wins most of its pairs; of equals the first one."""
    pairs = list(combinations(range(classes), 2))
    first, second = (np.zeros((len(pairs), classes), np.float32) for _ in range(2))
    for p, (i, j) in enumerate(pairs):
        first[p, i] = second[p, j] = 1
    wins = e.float32(decisions > np.float32(0))
    return e.ArgMax(e.Gemm(wins, first - second, second.sum(0)), axis=1, keepdims=0)


def _rho(op: Op) -> Array:
    """The bias of every decision; without any, one that is 0."""
    given = np.array(op.attribute("rho", ()), np.float64)
    return given if len(given) else np.zeros(1)


# Shared -----------------------------------------------------------------------------------------


def affine(e: Ops, x: Value, weights: Array, bias: Array) -> Value:
    """x W^T + b for weights [scores, features]."""
    return e.Gemm(x, weights.T.astype(np.float32), bias.astype(np.float32))


def of_one_score(
    e: Ops, op: Op, x: Value, weights: Array, bias: Array, labels: Array, *, mirrored: bool
) -> tuple[Value, Value]:
    """The label, the second one where the score s is positive, and scores of both classes.

    These are [-s, s] for LOGISTIC and where they are `mirrored`, else [1 - s, s].
    """
    logistic = op.attribute("post_transform", "NONE") == "LOGISTIC"
    shift = 0.0 if mirrored or logistic else 1.0
    both = np.concatenate([-weights, weights]), np.concatenate([shift - bias, bias])
    scores = affine(e, x, *both)
    second = e.Gather(scores, np.int64(1), axis=1) > np.float32(0)
    label = e.Where(second, labels[1:2], labels[:1])
    return label, transformed(e, op, scores) if logistic else scores


def transformed(e: Ops, op: Op, scores: Value) -> Value:
    """Scores after `post_transform`. Raises RuleError where no standard operator says it."""
    how = op.attribute("post_transform", "NONE")
    if how in ("LOGISTIC", "SOFTMAX"):
        return e.Sigmoid(scores) if how == "LOGISTIC" else e.Softmax(scores, axis=1)
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
    return np.array(
        strings or op.attribute("classlabels_ints", ()), object if strings else np.int64
    )
