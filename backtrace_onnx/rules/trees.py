"""Ensembles of decision trees: path attribution (Saabas 2014), in each of ONNX's three forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from backtrace_onnx.errors import ModelError, RuleError
from backtrace_onnx.graph.traits import is_head
from backtrace_onnx.ops.gates import GATES, HEAD_GATES, Gate
from backtrace_onnx.ops.op import Op
from backtrace_onnx.rules.registry import rule
from backtrace_onnx.structures.base import Structure
from backtrace_onnx.structures.tree_games import TreeGames
from backtrace_onnx.structures.trees import Trees
from backtrace_onnx.trees.forest import Forest, read_listed, read_rooted
from backtrace_onnx.trees.leaf_numbers import ML, listed_numbers, rooted_numbers
from backtrace_onnx.trees.paths import Paths, find_paths

Floats = npt.NDArray[np.float64]
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_SQUASHING = {"LOGISTIC": "sigmoid", "SOFTMAX": "softmax", "SOFTMAX_ZERO": "softmax"}
_MOST_LEAVES = 1 << 24  # numbers that float32 tells apart


@rule("TreeEnsembleRegressor", domain=ML)
def regressor(op: Op) -> Structure:
    """A split's change is its feature's contribution; what is expected at the roots is a bias."""
    forest = read_listed(op.node, "target")
    targets = int(op.attribute("n_targets", 1))
    aggregate = op.attribute("aggregate_function", "SUM")
    base = _base(op, targets)
    transform = op.attribute("post_transform", "NONE")
    trees = _trees(op, forest, _paths(op, forest, targets), base, "target")
    return _regression(op, trees, forest, aggregate, transform)


@rule("TreeEnsemble", domain=ML)
def ensemble(op: Op) -> Structure:
    """A split's change is its feature's contribution; what is expected at the roots is a bias."""
    forest = read_rooted(op.node)
    targets = int(op.attribute("n_targets", 1))
    aggregate = _named(op, "aggregate_function", _AGGREGATES, 1)
    transform = _named(op, "post_transform", _TRANSFORMS, 0)
    paths = _paths(op, forest, targets)
    numbered = rooted_numbers(op.node.attributes, paths)
    games = TreeGames(forest, _who(op))
    trees = Trees("TreeEnsemble", numbered, paths, np.zeros(targets), games)
    return _regression(op, trees, forest, aggregate, transform)


@rule("TreeEnsembleClassifier", domain=ML)
def classifier(op: Op) -> Structure:
    """Scores are shared as a regressor's targets are; the labels carry no relevance."""
    forest = read_listed(op.node, "class")
    labels = op.attribute("classlabels_int64s") or op.attribute("classlabels_strings") or ()
    classes = len(labels)
    if not classes:
        raise ModelError(f"{_who(op)} has no class labels")
    paths = _paths(op, forest, classes)
    transform = op.attribute("post_transform", "NONE")
    if len(op.node.outputs) < 2 or not op.node.outputs[1]:
        raise RuleError("its scores are not an output; only the label is, which has no relevance")
    trees = replace(_trees(op, forest, paths, _base(op, classes), "class"), scores=1, drops=True)
    if classes == 2:
        return _two_classes(op, trees, forest, transform)
    if classes < 2:
        return trees
    squashes = _SQUASHING.get(transform, "")
    return replace(trees, gate=_gate(op, transform, 1), squashes=squashes, transform=transform)


def _trees(op: Op, forest: Forest, paths: Paths, base: Floats, kind: str) -> Trees:
    """The structure of a forest whose paths and base values are known."""
    numbered = listed_numbers(op.node.attributes, paths, kind)
    whole = op.type(0).dtype in (TensorProto.INT64, TensorProto.INT32)
    return Trees("TreeEnsembleRegressor", numbered, paths, base, TreeGames(forest, _who(op)), whole)


def _two_classes(op: Op, trees: Trees, forest: Forest, transform: str) -> Structure:
    """Two classes: onnxruntime makes two scores of one where the leaves vote for one class only."""
    voted = np.unique(forest.votes.target).tolist()
    given = _given_base(op)
    if len(given) > 1 and voted != [0]:
        raise RuleError(
            "two classes with two base values: onnxruntime does not add them as ONNX says"
        )
    if voted == [0] and len(given) < 2:
        return _one_score(trees, forest, given, transform)
    base = np.zeros(2)
    base[: len(given[:1])] = given[:1]
    if voted == [1]:
        base[:] = 0
    squashes = _SQUASHING.get(transform, "")
    gate = _gate(op, transform, 1)
    return replace(trees, base=base, gate=gate, squashes=squashes, transform=transform)


def _one_score(trees: Trees, forest: Forest, given: Floats, transform: str) -> Structure:
    """Scores of two classes made of one: [-s, s], with LOGISTIC of both, or [1 - s, s]."""
    if transform == "PROBIT":
        raise RuleError("PROBIT of one score for two classes: onnxruntime leaves one of them out")
    base = float(given.sum())
    mirrored = transform == "LOGISTIC" or bool((forest.votes.weight < 0).any())
    paths = trees.paths
    both = replace(
        paths,
        targets=np.concatenate([paths.targets, paths.targets + 1], axis=1),
        changes=np.concatenate([-paths.changes, paths.changes], axis=2),
        roots=np.concatenate([-paths.roots, paths.roots], axis=1),
        values=np.concatenate([-paths.values, paths.values], axis=1),
    )
    gate = GATES["Sigmoid"] if transform == "LOGISTIC" else None
    squashes = "sigmoid" if transform == "LOGISTIC" else ""
    base_values = np.array([float(not mirrored) - base, base])
    return replace(trees, paths=both, base=base_values, gate=gate, squashes=squashes)


def _regression(op: Op, trees: Trees, forest: Forest, aggregate: str, transform: str) -> Structure:
    """The structure of regression trees, by how their votes are aggregated and transformed."""
    paths = trees.paths
    if len(trees.base) > 1:  # onnxruntime transforms no single target
        squashes = _SQUASHING.get(transform, "")
        gate = _gate(op, transform, 0)
        trees = replace(trees, gate=gate, squashes=squashes, transform=transform)
    if aggregate == "AVERAGE":
        share = 1 / len(forest.roots)
        scaled = replace(
            paths,
            changes=paths.changes * share,
            roots=paths.roots * share,
            values=paths.values * share,
        )
        return replace(trees, paths=scaled)
    if aggregate not in _AGGREGATES:
        raise ModelError(f"{_who(op)}: unknown aggregate_function {aggregate!r}")
    if aggregate == "SUM":
        return trees
    if len(forest.votes.at) != paths.values.size or _has_twice(forest):
        raise RuleError(f"{aggregate} of trees whose leaves do not all vote for the same targets")
    return replace(trees, chooses="Max" if aggregate == "MAX" else "Min")


def _has_twice(forest: Forest) -> bool:
    """Whether a leaf votes twice for one target."""
    pairs = np.stack([forest.votes.at, forest.votes.target])
    return bool(np.unique(pairs, axis=1).shape[1] < pairs.shape[1])


def _paths(op: Op, forest: Forest, targets: int) -> Paths:
    """The forest's paths, after a look at what they ask for and vote for."""
    who, votes = _who(op), forest.votes
    width = (op.type(0).shape or (None,))[-1]
    asked = forest.feature[~forest.leaves]
    most = width if isinstance(width, int) else np.iinfo(np.int64).max
    if ((asked < 0) | (asked >= most)).any():
        raise ModelError(f"{who}: a split asks for a feature its input does not have")
    if ((votes.target < 0) | (votes.target >= targets)).any():
        raise ModelError(f"{who}: a leaf votes for a target that does not exist")
    if not np.isfinite(votes.weight).all():
        raise ModelError(f"{who}: the weight of a vote is NaN or Inf")
    if (forest.leaves).sum() > _MOST_LEAVES:
        raise RuleError("it has more leaves than float32 can number")
    return find_paths(forest, who)


def _given_base(op: Op) -> Floats:
    """The base values that the node gives, in either of their two attributes."""
    tensor = op.attribute("base_values_as_tensor")
    given = op.attribute("base_values", ()) if tensor is None else numpy_helper.to_array(tensor)
    return np.array(given, np.float64).ravel()


def _base(op: Op, targets: int) -> Floats:
    """float64[targets]; a classifier of two classes reads its own."""
    given = _given_base(op)
    if len(given) == targets:
        return given
    if len(given) and not (targets == 2 and len(given) == 1):
        raise ModelError(f"{_who(op)}: {len(given)} base values do not fit {targets} targets")
    return np.zeros(targets)


def _gate(op: Op, transform: str, scores: int) -> Gate | None:
    """The gate of the operator's own activation."""
    if transform == "LOGISTIC":
        return GATES["Sigmoid"]
    at_head = transform == "SOFTMAX" and is_head(op.node.outputs[scores], op.graph)
    return HEAD_GATES["Softmax"] if at_head else None


def _named(op: Op, name: str, names: tuple[str, ...], default: int) -> str:
    """The name that a number among the attributes stands for."""
    number = int(op.attribute(name, default))
    if not 0 <= number < len(names):
        raise ModelError(f"{_who(op)}: {name} is {number}, not one of 0 to {len(names) - 1}")
    return names[number]


def _who(op: Op) -> str:
    """The node, as messages name it."""
    return f"{op.node.operator} node {op.node.name!r}"
