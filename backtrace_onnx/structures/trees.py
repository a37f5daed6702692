"""Ensembles of decision trees: contributions are what splits change on the way to a leaf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from backtrace_onnx.ops.gates import Gate
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Constant, Ops, Value, ints
from backtrace_onnx.structures.base import Channels, Pieces, PlannedNode, Reads, Step, Structure
from backtrace_onnx.structures.squashing import slopes_between, slopes_of
from backtrace_onnx.structures.tree_games import TreeGames
from backtrace_onnx.trees.leaf_numbers import ML
from backtrace_onnx.trees.paths import Paths


@dataclass(frozen=True, eq=False)
class Trees(Structure):
    """y = base + the sum of what the trees answer.

    A tree's answer is what is expected at its root plus what each split on the way to the leaf
    changes (`trees.paths`). The changes, added by feature, are the contributions of the features;
    the expectations at the roots and the base are the bias.

    Attributes:
        op_type, numbered: an operator and its attributes that answer with the number of the leaf
            that a sample falls into.
        base: float64[units], added to what the trees answer.
        whole: whether inputs are integers; such operators compare them as float32.
        scores: index of the output that holds the units.
        gate: saturation gate of the activation that the operator itself applies.
        constant: what `raised` added to the bias; None: nothing.
        games: those of the leaves, whose Shapley values explain them.
        transform: what the operator makes of the units, by ONNX's name for it.
        squashes: "softmax" or "sigmoid" where the operator's output is that of the units; or "".
        chooses: "Max" or "Min" where a unit is the largest or smallest of the trees' answers.
        changes: those of the paths, by the dtype they were asked for in.
    """

    op_type: str
    numbered: Mapping[str, Any]
    paths: Paths
    base: npt.NDArray[np.float64]
    games: TreeGames
    whole: bool = False
    scores: int = 0
    gate: Gate | None = None
    transform: str = "NONE"
    squashes: str = ""
    bare: bool = False
    raises: bool = True
    constant: Value | None = None
    chooses: Literal["Max", "Min"] | None = None
    values: tuple[int, ...] = (0,)
    shapes: tuple[int, ...] = (0,)
    drops: bool = False
    has_slopes: bool = True
    relates: bool = True
    changes: dict[np.dtype[Any], npt.NDArray[Any]] = field(default_factory=dict, init=False)

    @property
    def every_output(self) -> bool:  # type: ignore[override]
        return self.scores > 0

    def propagate(self, step: Step) -> Pieces:
        r = step.outgoing[self.scores]
        if r is None:
            return self._nothing(step)
        gate = step.gate or (self.gate if step.policy.gated else None)
        changes, bias = self._changes(step)
        pulled = self._shared(step, changes, bias, r, gate)
        return {0: [self._placed(step, x, self.paths.features) for x in pulled]}

    def _nothing(self, step: Step) -> Pieces:
        """Only the labels received relevance, from a table looked up by them; it stays there."""
        axis = step.sample_axis(step.node.outputs[0])
        for channel, got in enumerate(step.outgoing[0] or ()):
            step.book("unassigned", channel, step.ops.total(got, axis))
        return {}

    def masses(self, step: Step) -> tuple[Value, Value | None]:
        parts = step.ops.parts(self._changes(step)[0], "split", False)
        p, n = (step.ops.ReduceSum(parts[sign], ints(1), keepdims=0) for sign in (1, -1))
        return p, n

    def raised(self, ops: Ops, constant: Value) -> Trees:
        return replace(self, constant=constant)

    def bared(self) -> Trees:
        return replace(self, squashes="", bare=True)

    def raw_scores(self, step: Step) -> Value:
        if step.method.carrier == "slope" and self.chooses is None:
            return self._answers(step, step.exact(0))
        changes, bias = self._changes(step)
        return step.ops.Add(step.ops.ReduceSum(changes, ints(1), keepdims=0), bias)

    def compared_scores(self, step: Step) -> Value:
        scores = self.raw_scores(step)
        if not step.method.compares:
            return scores
        return step.ops.Sub(scores, self._answers(step, step.exact_before(0), "/before"))

    def refuses(self, method: Method) -> str | None:
        if method.trees == "refused":
            return "knows no slope of it; modes shap, paths, default and contrastive explain it"
        if method.trees == "paths":
            return None
        if self.chooses is not None:
            return (
                f"adds up what trees answer, and this takes the {self.chooses.lower()}imum; modes "
                "paths, default and contrastive explain it"
            )
        if self.transform == "PROBIT":
            return "knows no margin under PROBIT; modes paths, default and contrastive explain it"
        if method.trees == "visits" and not self.games.counted:
            return (
                "needs to know how often its nodes were visited, which the file does not say: give "
                "background=, rows such as those of the training, or write the counts into the "
                "file with backtrace_onnx.count_visits"
            )
        return None

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads((0,), (), (0,), (0,))

    def slopes(self, step: Step) -> Pieces:
        given = step.outgoing[self.scores]
        if given is None:
            return self._nothing(step)
        m = self._of_units(step, given[0])
        if step.method.trees == "paths":
            changes, bias = self._changes(step)
            each = step.ops.Mul(changes, step.ops.Unsqueeze(m, ints(1)))
            made, features = step.ops.ReduceSum(each, ints(2), keepdims=0), self.paths.features
        else:
            x, units = self._row(step.exact(0), step.ops), len(self.base)
            before = None
            if step.method.trees != "visits":
                before = self._background(step.exact_before(0), step.ops)
            made, expected = self.games.shared(step, self.paths, x, before, m, units)
            bias = (expected + self.base).astype(step.ops.dtype)
            features = self.games.of(self.paths).features
        axis = step.sample_axis(step.node.outputs[self.scores])
        step.book("constants", 0, step.ops.total(step.ops.Mul(m, bias), axis))
        return {0: [self._placed(step, made, features)]}

    def _of_units(self, step: Step, m: Value) -> Value:
        """Slopes of the units, of those of the probabilities that the operator makes of them."""
        if not self.squashes:
            return m
        here = self._answers(step, step.exact(0))
        key = f"{step.node.name}/{step.method.functions}/units"
        if step.method.compares:
            before = self._answers(step, step.exact_before(0), "/before")
            return step.ops.apply(key, slopes_between(self.squashes), here, before, m)
        slope, at_zero = step.ops.apply(key, slopes_of(self.squashes), here, m)
        axis = step.sample_axis(step.node.outputs[self.scores])
        step.book("constants", 0, step.ops.total(at_zero, axis))
        return slope

    def _answers(self, step: Step, x: Value, which: str = "") -> Value:
        """The units' values [samples, units]: the base, and what the leaves answer."""
        ops, paths, name = step.ops, self.paths, step.node.name
        leaves = ops.apply(f"{name}/leaves", self._leaves, x)
        places, values = np.zeros((len(paths.leaves), 1), np.int64), paths.values[:, None]
        tables = (
            Constant(f"{name}@place", places),
            Constant(f"{name}@values", values.astype(ops.dtype)),
        )
        sums = ops.path_sums(leaves, *tables, paths.targets, None, (1, len(self.base)))
        return ops.Add(ops.Squeeze(sums, ints(1)), self.base.astype(ops.dtype))

    def _background(self, x: Value, ops: Ops) -> Value:
        """Rows of a background, or references, as they are compared."""
        if self.whole and isinstance(x, np.ndarray):
            return x.astype(np.float32)
        return self._row(x, ops)

    def _row(self, x: Value, ops: Ops) -> Value:
        """Inputs as they are compared."""
        return ops.Cast(x, to=TensorProto.FLOAT) if self.whole else x

    def _shared(
        self, step: Step, c: Value, bias: Value, r: Channels, gate: Gate | None
    ) -> list[Value]:
        """Relevance [samples, used features] of contributions c[samples, used, units]."""
        ops, reading = step.ops, "split" if gate else step.policy.reading
        axis = step.sample_axis(step.node.outputs[self.scores])
        bias = bias if self.constant is None else ops.Add(bias, self.constant)
        parts = ops.parts(c, reading, False)
        masses = {sign: ops.ReduceSum(part, ints(1), keepdims=0) for sign, part in parts.items()}
        shared = ops.share(step.policy, masses[1], masses.get(-1), bias, r, gate, axis)
        made = []
        for channel, (a_p, a_n) in enumerate(shared.coefficients):
            step.book("constants", channel, shared.to_bias[channel])
            step.book("unassigned", channel, shared.unassigned[channel])
            signed = {1: a_p} if a_n is None else {1: a_p, -1: a_n}
            full = {
                s: ops.Expand(ops.Unsqueeze(a, ints(1)), ops.shape(c)) for s, a in signed.items()
            }
            made.append(ops.ReduceSum(ops.weigh(c, full, reading, False), ints(2), keepdims=0))
        return made

    def _changes(self, step: Step) -> tuple[Value, Value]:
        """Contributions [samples, used features, units], and the units' bias."""
        ops, paths, name = step.ops, self.paths, step.node.name
        leaves = ops.apply(f"{name}/leaves", self._leaves, step.exact(0))
        if ops.dtype not in self.changes:
            self.changes[ops.dtype] = paths.changes.astype(ops.dtype)
        tables = (
            Constant(f"{name}@slots", paths.slots),
            Constant(f"{name}@changes", self.changes[ops.dtype]),
        )
        units = (len(paths.features), len(self.base))
        if self.chooses is None:
            bias = self.base.copy()
            np.add.at(bias, paths.targets, paths.roots)
            return ops.path_sums(leaves, *tables, paths.targets, None, units), bias.astype(
                ops.dtype
            )
        shares = ops.apply(f"{name}/winners", self._winners, leaves)
        changes = ops.path_sums(leaves, *tables, paths.targets, shares, units)
        return changes, ops.apply(f"{name}/bias", self._bias, shares)

    def _leaves(self, e: Ops, x: Value) -> Value:
        """int64[samples, trees]: numbers of the leaves that samples fall into.

        The trees themselves tell, with numbers instead of answers at their leaves.
        """
        x = e.Cast(x, to=TensorProto.FLOAT) if self.whole else x
        return e.Cast(
            e.op(self.op_type, (x,), dict(self.numbered), domain=ML), to=TensorProto.INT64
        )

    def _winners(self, e: Ops, leaves: Value) -> Value:
        """[samples, trees, votes]: 1 over the number of winners for a vote that wins, else 0."""
        votes = e.Gather(self.paths.values.astype(e.dtype), leaves)
        shape, flat = e.Shape(votes), e.Reshape(votes, ints(0, -1))
        index = e.Expand(self.paths.targets.reshape(1, -1), e.Shape(flat))
        count = e.Concat(e.Shape(flat, start=0, end=1), ints(len(self.base)), axis=0)
        lowest = e.scalar(float(np.finfo(e.dtype).min) * (1 if self.chooses == "Max" else -1))
        best = self._scattered(e, e.Expand(lowest, count), index, flat, str(self.chooses).lower())
        wins = e.Equal(flat, e.GatherElements(best, index, axis=1))
        wins = e.Cast(wins, to=e.float_type)
        winners = self._scattered(e, e.Expand(e.zero(), count), index, wins, "add")
        return e.Reshape(e.Div(wins, e.GatherElements(winners, index, axis=1)), shape)

    def _scattered(self, e: Ops, onto: Value, index: Value, x: Value, how: str) -> Value:
        return e.ScatterElements(onto, index, x, axis=1, reduction=how)

    def _bias(self, e: Ops, shares: Value) -> Value:
        """The winners' expectations at their roots, and the base."""
        flat = e.Reshape(e.Mul(shares, self.paths.roots.astype(e.dtype)), ints(0, -1))
        index = e.Expand(self.paths.targets.reshape(1, -1), e.Shape(flat))
        count = e.Concat(e.Shape(flat, start=0, end=1), ints(len(self.base)), axis=0)
        base = e.Expand(self.base.astype(e.dtype), count)
        return self._scattered(e, base, index, flat, "add")

    def _placed(self, step: Step, r: Value, features: npt.NDArray[np.int64]) -> Value:
        """Relevance of the used features, in the input's shape."""
        ops, shape = step.ops, step.shape(0)
        width = ops.Gather(shape, ints(-1))
        rows = ops.Concat(ops.Gather(ops.shape(r), ints(0)), width, axis=0)
        index = ops.Expand(features.reshape(1, -1), ops.shape(r))
        zeros = ops.Expand(ops.zero(), rows)
        return ops.Reshape(ops.ScatterElements(zeros, index, r, axis=1), shape)
