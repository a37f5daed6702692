"""Random trees in ONNX's three forms, and path attribution as plainly as possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
ML = "ai.onnx.ml"
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")


@dataclass
class Tree:
    """A split with two ways, or a leaf with votes (target, weight)."""

    votes: list[tuple[int, float]] = field(default_factory=list)
    feature: int = 0
    mode: str = "LEQ"
    value: float = 0.0
    members: tuple[float, ...] = ()
    missing: bool = False
    yes: Tree | None = None
    no: Tree | None = None
    hits: float = 1.0

    def leaves(self) -> Iterator[Tree]:
        if self.yes is None or self.no is None:
            yield self
        else:
            yield from self.yes.leaves()
            yield from self.no.leaves()

    def asks(self, x: Array) -> Tree:
        v = x[self.feature]
        answers = {
            "LEQ": v <= self.value,
            "LT": v < self.value,
            "GTE": v >= self.value,
            "GT": v > self.value,
            "EQ": v == self.value,
            "NEQ": v != self.value,
            "MEMBER": v in self.members,
        }
        taken = answers[self.mode] or (self.missing and np.isnan(v))
        way = self.yes if taken else self.no
        assert way is not None
        return way

    def expected(self, targets: int) -> Array:
        """Mean of the leaves below; weighted by hits where they say anything."""
        leaves = list(self.leaves())
        told = len({node.hits for node in nodes(self)}) > 1
        said = np.zeros((len(leaves), targets))
        for row, leaf in zip(said, leaves, strict=True):
            for target, weight in leaf.votes:
                row[target] += weight
        weights = [leaf.hits for leaf in leaves] if told else None
        return np.asarray(np.average(said, axis=0, weights=weights))


def nodes(tree: Tree) -> list[Tree]:
    """All nodes, a split before what it leads to."""
    found = [tree]
    for way in (tree.yes, tree.no):
        if way is not None:
            found += nodes(way)
    return found


def grow(
    rng: np.random.Generator,
    depth: int,
    features: int,
    targets: Sequence[int],
    modes: Sequence[str] = ("LEQ",),
    positive: bool = False,
) -> Tree:
    """A random tree; its leaves vote for all `targets`."""
    if depth == 0 or rng.random() < 0.15:
        weights = rng.normal(size=len(targets))
        weights = np.abs(weights) if positive else weights
        return Tree([(t, float(np.float32(w))) for t, w in zip(targets, weights, strict=True)])
    mode = str(rng.choice(modes))
    whole = mode in ("EQ", "NEQ", "MEMBER")
    value = float(rng.integers(-2, 3)) if whole else float(np.float32(rng.normal()))
    return Tree(
        feature=int(rng.integers(features)),
        mode=mode,
        value=value,
        members=(1.0, 2.0, 4.0) if value > 0 else (2.0, 3.0),
        missing=bool(rng.integers(2)),
        yes=grow(rng, depth - 1, features, targets, modes, positive),
        no=grow(rng, depth - 1, features, targets, modes, positive),
    )


def attribution(trees: Sequence[Tree], x: Array, targets: int) -> tuple[Array, Array]:
    """(c[samples, targets, features], bias[targets]): one walk per sample and tree."""
    c = np.zeros((len(x), targets, x.shape[1]))
    for tree in trees:
        for sample, row in zip(c, x, strict=True):
            here = tree
            while here.yes is not None:
                after = here.asks(row)
                sample[:, here.feature] += after.expected(targets) - here.expected(targets)
                here = after
    return c, np.asarray(sum((tree.expected(targets) for tree in trees), np.zeros(targets)))


def listed(trees: Sequence[Tree], votes: str, *, double: bool = False) -> dict[str, Any]:
    """Attributes of TreeEnsembleRegressor ("target") or TreeEnsembleClassifier ("class")."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    names += ("missing_value_tracks_true", "hitrates")
    made: dict[str, Any] = {f"nodes_{name}": [] for name in names}
    made |= {f"{votes}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for t, tree in enumerate(trees):
        every = nodes(tree)
        number = {id(node): i for i, node in enumerate(every)}
        for i, node in enumerate(every):
            leaf = node.yes is None
            row = (t, i, node.feature, "LEAF" if leaf else f"BRANCH_{node.mode}", node.value)
            row += (number.get(id(node.yes), 0), number.get(id(node.no), 0))
            row += (int(node.missing), node.hits)
            for name, entry in zip(names, row, strict=True):
                made[f"nodes_{name}"].append(entry)
            for target, weight in node.votes:
                for name, entry in zip(
                    ("treeids", "nodeids", "ids", "weights"), (t, i, target, weight), strict=True
                ):
                    made[f"{votes}_{name}"].append(entry)
    if double:
        for name in ("nodes_values", f"{votes}_weights", "nodes_hitrates"):
            made[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(made.pop(name)))
    return made


def rooted(trees: Sequence[Tree], dtype: npt.DTypeLike = np.float32) -> dict[str, Any]:
    """Attributes of a TreeEnsemble."""
    splits = [n for tree in trees for n in nodes(tree) if n.yes is not None]
    leaves = [n for tree in trees for n in nodes(tree) if n.yes is None]
    number = {id(n): i for group in (splits, leaves) for i, n in enumerate(group)}
    members: list[float] = []
    for split in splits:
        if split.mode == "MEMBER":
            members += [*split.members, float("nan")]
    array = numpy_helper.from_array
    made = {
        "tree_roots": [number[id(tree)] for tree in trees],
        "nodes_featureids": [n.feature for n in splits],
        "nodes_modes": array(np.array([MODES.index(n.mode) for n in splits], np.uint8)),
        "nodes_splits": array(np.array([n.value for n in splits], dtype)),
        "nodes_missing_value_tracks_true": [int(n.missing) for n in splits],
        "leaf_targetids": [n.votes[0][0] for n in leaves],
        "leaf_weights": array(np.array([n.votes[0][1] for n in leaves], dtype)),
    }
    for side, way in (("true", "yes"), ("false", "no")):
        to = [getattr(n, way) for n in splits]
        made[f"nodes_{side}nodeids"] = [number[id(n)] for n in to]
        made[f"nodes_{side}leafs"] = [int(n.yes is None) for n in to]
    if members:
        made["membership_values"] = array(np.array(members, dtype))
    return made


def ensemble(
    op_type: str,
    attributes: dict[str, Any],
    features: int | None,
    *,
    version: int = 3,
    x: int = TensorProto.FLOAT,
    y: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of one such node: x[N, features] -> y, and the label of a classifier."""
    labels = ["label"] if op_type == "TreeEnsembleClassifier" else []
    node = helper.make_node(op_type, ["x"], [*labels, "y"], "trees", domain=ML, **attributes)
    outputs = [helper.make_tensor_value_info("y", y, ["N", None])]
    outputs += [helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])] if labels else []
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", x, ["N", features])], outputs
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
