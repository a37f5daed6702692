"""What a start reads of an output: magnitudes, signs, and which entries compete."""

from __future__ import annotations

from dataclasses import dataclass

from backtrace_onnx.ops.vocabulary import Ops, Value, ints
from backtrace_onnx.targets.entries import Columns, own_classes
from backtrace_onnx.targets.two_classes import TwoClasses

_FEW = 1e-3
"""Share of the largest score below which a score says nothing by itself."""


@dataclass(frozen=True)
class StartSettings:
    """How a start is made.

    Attributes:
        threshold: of segmentation.
        scaler: total each channel starts from, where its sum is positive; None: as it is.
        single: whether there is one class only.
        classes: axis of [samples, ...] along which an entry's classes lie; None: all that follow.
        columns: which places there are classes; None: all.
        pairs: whether targets are pairs (entry, class), where they do not come as entries.
        signed: whether the mode's relevance has a sign; it starts with the scores, not with what
            the output makes of them.
        logarithmic: whether the output holds logarithms of probabilities.
        binary: whether its one entry stands for two classes.
        constant: whether scores are defined up to a constant, and that of the target is raised by
            one where it is negative (`raising`).
    """

    threshold: float = 0.5
    scaler: float | None = None
    single: bool = False
    classes: int | None = None
    columns: Columns | None = None
    pairs: bool = False
    signed: bool = False
    logarithmic: bool = False
    binary: TwoClasses = ""
    constant: bool = False


@dataclass(frozen=True)
class Scores:
    """What of an output [samples, entries] a start reads.

    Attributes:
        y: the output.
        start: what entries start with: probabilities where y holds their logarithms, in a signed
            mode the scores.
        values: the scores.
        sides: as `Head.sides`; None where it is not known.
        shape: of the output, int64[rank].
    """

    y: Value
    start: Value
    values: Value
    sides: Value | None = None
    shape: Value | None = None

    def rivals(self, e: Ops, chosen: Value, options: StartSettings) -> Value:
        """Boolean: entries along the class axis through the chosen one; that one among them."""
        if options.classes is None:
            return e.GreaterOrEqual(e.Abs(self.y), e.zero())
        hot = e.Reshape(e.Cast(chosen, to=e.float_type), self.shape)
        own = e.Expand(e.ReduceMax(hot, ints(options.classes), keepdims=1), self.shape)
        if options.columns is not None:
            laid = e.Reshape(self.y, self.shape)
            inside = own_classes(e, laid, options.classes, options.columns)
            own = e.Where(inside, own, e.zero())
        return e.Greater(e.Reshape(own, e.Shape(self.y)), e.zero())

    def turned(self, e: Ops, options: StartSettings) -> Value:
        """Boolean: entries that start the opposite channel.

        There relevance goes to the negative contributions of a unit with a negative value, and to
        all contributions of a unit where they have one sign, whatever the bias made of the value.
        """
        if options.constant:
            return below(e, self.sides if self.sides is not None else e.Mul(self.y, e.zero()))
        turned = below(e, self.values)
        if self.sides is None:
            return turned
        return e.Or(e.And(turned, e.LessOrEqual(self.sides, e.zero())), below(e, self.sides))

    def contrary(self, e: Ops) -> Value:
        """Boolean: entries whose bias alone made their sign."""
        if self.sides is None:
            return e.Less(e.Mul(self.y, e.zero()), e.zero())
        return below(e, e.Mul(self.sides, self.values))


def read_scores(
    e: Ops, y: Value, values: Value | None, sides: Value | None, options: StartSettings
) -> Scores:
    """The scores of y[samples, entries]; `values` where they are others than y."""
    values = y if values is None else values
    start = e.Exp(y) if options.logarithmic else y
    own = options.signed and not (values is y and options.logarithmic)
    return Scores(y, values if own else start, values, sides)


def sizes_of(e: Ops, read: Scores, chosen: Value, rivals: Value) -> Value:
    """Magnitudes of the scores. A target's of next to nothing is its distance to the others' mean
    where scores are negative, which shows that their zero means nothing."""
    start = e.Where(rivals, read.start, e.zero())
    sizes, count = e.Abs(start), e.Cast(rivals, to=e.float_type)
    own = e.ReduceSum(e.Where(chosen, start, e.zero()), ints(1), keepdims=1)
    count = e.Max(e.Sub(e.ReduceSum(count, ints(1), keepdims=1), e.scalar(1)), e.scalar(1))
    others = e.Sub(e.ReduceSum(start, ints(1), keepdims=1), own)
    margin = e.Abs(e.Sub(own, e.Div(others, count)))
    limit = e.Mul(e.ReduceMax(sizes, ints(1), keepdims=1), e.scalar(_FEW))
    nothing = e.And(e.Less(e.Abs(own), limit), below(e, e.ReduceMin(start, ints(1), keepdims=1)))
    return e.Where(e.And(chosen, nothing), margin, sizes)


def below(e: Ops, x: Value) -> Value:
    """Boolean: where x is negative."""
    return e.Less(x, e.zero())


__all__ = ["Scores", "StartSettings", "below", "read_scores", "sizes_of"]
