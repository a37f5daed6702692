"""Support vector machines: kernels of the distance or product with every support vector."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from backtrace_onnx.expansions.linear_models import (
    ML,
    affine,
    class_labels,
    in_two,
    rows,
    single,
    transformed,
)
from backtrace_onnx.expansions.phrases import FLOAT, Array
from backtrace_onnx.expansions.registry import Op, Ops, RuleError, Value, expansion, ints


@expansion("SVMRegressor", domain=ML)
def svm_regressor(e: Ops, op: Op, x: Value) -> Value:
    """Kernels, weighted and summed."""
    count = op.attribute("n_supports", 0)
    similar = kernels(e, op, x, count) if count else single(e, x)
    made = affine(e, similar, rows(op, "coefficients", 1), _rho(op)[:1])
    if not op.attribute("one_class", 0):
        return made
    least = np.float32(-np.finfo(np.float32).tiny)  # an inlier scores more than nothing
    return e.Sign(e.Where(e.Equal(made, np.float32(0)), least, made))


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
        return _one_against_rest(e, op, x)
    pairs = _pairs(rows(op, "coefficients", max(len(sizes) - 1, 1)), sizes)
    similar, rho = kernels(e, op, x, sum(sizes)), _rho(op)[: len(pairs)]
    if len(sizes) > 2:
        decisions = affine(e, similar, pairs, rho)
        label = e.Gather(labels, _most_votes(e, decisions, len(sizes)))
        return label, transformed(e, op, decisions)
    mirrored = op.attribute("post_transform", "NONE") == "NONE"
    scores = affine(e, similar, *in_two(op, pairs, rho, mirrored=mirrored))
    first = e.Greater(e.Gather(scores, np.int64(1), axis=1), np.float32(0))
    label = e.Where(first, labels[:1], labels[1:2])
    logistic = op.attribute("post_transform", "NONE") == "LOGISTIC"
    return label, transformed(e, op, scores) if logistic else scores


def _one_against_rest(e: Ops, op: Op, x: Value) -> tuple[Value, Value]:
    """Without support vectors: a linear score for every class."""
    labels = class_labels(op)
    if len(labels) < 3:
        raise RuleError("it has no support vectors; export the model as a LinearClassifier")
    weights = rows(op, "coefficients", len(labels))
    rho = _rho(op)
    rho = np.full(len(labels), rho[0]) if len(rho) < len(labels) else rho
    scores = affine(e, _kernel(e, op, single(e, x), weights), np.eye(len(labels)), rho)
    return e.Gather(labels, e.ArgMax(scores, axis=1, keepdims=0)), transformed(e, op, scores)


def kernels(e: Ops, op: Op, x: Value, count: int) -> Value:
    """How alike samples and support vectors are, [samples, vectors]."""
    return _kernel(e, op, single(e, x), rows(op, "support_vectors", count))


def _kernel(e: Ops, op: Op, x: Value, vectors: Array) -> Value:
    """The kernel of every sample with every vector, by the names and letters of libsvm."""
    kind = op.attribute("kernel_type", "LINEAR")
    gamma, coef0, degree = (*op.attribute("kernel_params", ()), 0.0, 0.0, 0.0)[:3]
    if kind == "RBF":
        apart = e.Sub(e.Unsqueeze(x, ints(1)), vectors.astype(np.float32)[None])
        distance = e.ReduceSum(e.Mul(apart, apart), ints(2), keepdims=0)
        return e.Exp(e.Mul(distance, np.float32(-gamma)))
    if kind == "LINEAR":
        return e.MatMul(x, vectors.T.astype(np.float32))
    made = affine(e, x, gamma * vectors, np.full(len(vectors), coef0))
    if kind == "POLY":
        return e.Pow(made, np.float32(degree))
    if kind == "SIGMOID":
        return e.Tanh(made)
    raise RuleError(f"its kernel_type {kind!r} is not known")


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
    wins = e.Cast(e.Greater(decisions, np.float32(0)), to=FLOAT)
    return e.ArgMax(e.Gemm(wins, first - second, second.sum(0)), axis=1, keepdims=0)


def _rho(op: Op) -> Array:
    """The bias of every decision; without any, one that is 0."""
    given = np.array(op.attribute("rho", ()), np.float64)
    return given if len(given) else np.zeros(1)
