"""What a structure is, and the simplest structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.vocabulary import Ops, Value
from backtrace_onnx.structures.step import Channels, Pieces, PlannedNode, Reads, Step

__all__ = [
    "CURVED",
    "AsFloats",
    "Channels",
    "Halves",
    "Movement",
    "Nothing",
    "Passes",
    "Pieces",
    "PlannedNode",
    "Reads",
    "Step",
    "Structure",
]

CURVED = 32
"""Points at which the slope of a curved function is averaged between a reference and the sample."""


class Structure:
    """What an operator is to relevance, whatever its name.

    A subclass says with `propagate` what the inputs are sent, and with the attributes below what it
    reads for that; with `slopes` what they are sent where slopes travel, and with `slope_reads`
    what it reads for those. The forward run keeps nothing else.

    Attributes:
        values, results, shapes: indices of the inputs and outputs whose values, and of the inputs
            whose shapes, `propagate` asks the step for.
        broadcasts: indices of inputs that may be sent pieces in the output's shape, because the
            operator broadcasts them; the engine sums these back.
        drops: whether what is not sent on is unassigned without being booked.
        carries: whether the operator's outputs take relevance at all.
        every_output: whether all of them do, not only the first (others hold indices, masks or
            statistics, mostly).
        scores: index of the output that holds the units.
        raises: whether there is a way to give its units another bias, `raised`.
        squashes: "softmax" or "sigmoid" where the operator makes probabilities of them itself.
        has_slopes: whether `slopes` is there.
        held: indices of inputs that the result depends on, and that every method takes as
            constants, such as the places that a sampling reads.
        converts: whether inputs are ids, words or other things that have no slope: they are sent
            relevance, that of the output's slope times its value.
        bounded: whether finite slopes of the outputs make finite slopes of the inputs whatever the
            values are. A logarithm's are not.
        relates: whether `slopes` sends relevance, because the operator has no slopes (trees).
        bare: whether the operator's own softmax or sigmoid has been taken off (`bared`), so that
            relevance starts at its units.
        affine: whether the output is a linear map of the inputs that are data, plus a constant,
            where nothing bends and nothing is left (`bends`, `leaves`).
        selects: whether it is one of its inputs' entries, which others may be elsewhere: what is
            added to all of them changes no choice.
        switches: whether it is max(0, x), whose slope is 1 where it is positive, else 0.
        weighs: whether rules may weigh its contributions by something else (flat, wsquare, box).
        rounds: whether all that it leaves (`leaves`) is what was rounded.
        conserves: whether, whatever the slopes of the output are, what its inputs that are data are
            sent is worth what these are, less what is booked: it lays entries out again, multiplies
            or adds them. Books then need not weigh one of its inputs.
        fills: whether relevance that does not reach the inputs lay on entries that the operator
            itself put there, such as padding. It is then booked as a constant's.
    """

    values: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    shapes: tuple[int, ...] = ()
    broadcasts: tuple[int, ...] = ()
    drops: bool = False
    carries: bool = True
    every_output: bool = False
    scores: int = 0
    raises: bool = False
    squashes: str = ""
    has_slopes: bool = False
    bounded: bool = False
    held: tuple[int, ...] = ()
    converts: bool = False
    fills: bool = False
    relates: bool = False
    bare: bool = False
    affine: bool = False
    selects: bool = False
    switches: bool = False
    weighs: bool = False
    rounds: bool = False
    conserves: bool = False

    def refuses(self, method: Method) -> str | None:
        """Why a method that carries slopes cannot pass here, in words; None where it can."""
        return (
            None
            if self.has_slopes
            else "knows no slope of it; modes default and contrastive explain it"
        )

    def bared(self) -> Structure:
        """The same structure without the softmax or sigmoid of its own (`squashes`)."""
        return self

    def slope_reads(self, node: PlannedNode) -> Reads:
        """What `slopes` asks the step for; unless a subclass says otherwise, all that there is."""
        inputs, outputs = (tuple(range(len(x))) for x in (node.node.inputs, node.node.outputs))
        return Reads(inputs, outputs, inputs, inputs, outputs)

    def bends(self, step: PlannedNode) -> int:
        """On how many points between a reference and the sample the slope is to be averaged.

        0 where it is the same on the whole line, or where `slopes` takes the secant itself.
        """
        return 0

    def masses(self, step: Step) -> tuple[Value, Value | None] | None:
        """The positive and negative mass (p, n) of every unit, 0 exactly where it has no terms.

        n is None where no unit has a negative one. None in place of both where the operator has no
        units that share by mass.
        """
        return None

    def raised(self, ops: Ops, constant: Value) -> Structure:
        """The same structure with `constant`, broadcast to its units, added to their bias."""
        raise NotImplementedError

    def raw_scores(self, step: Step) -> Value:
        """Values of the units, before the operator's own softmax or sigmoid (`squashes`)."""
        raise NotImplementedError

    def compared_scores(self, step: Step) -> Value:
        """The same, less those of the reference where the method compares."""
        return self.raw_scores(step)

    def propagate(self, step: Step) -> Pieces:
        """What each input is sent, by its index, of the relevance that the outputs received.

        What constants absorb and what nobody is given is booked with `step.book`; the engine books
        what is sent.
        """
        raise NotImplementedError

    def slopes(self, step: Step) -> Pieces:
        """Slopes of the inputs; `step.r` is that of the first output."""
        raise NotImplementedError

    def unit(self, step: Step) -> Value | None:
        """How many units of what slopes of the output are of a unit of the float it stands for is;
        None where these are the same."""
        return None

    def leaves(self, step: PlannedNode) -> bool:
        """Whether a rest may be left where slopes travel.

        Relevance is then values times slopes. That of the inputs, and what is booked, need not add
        up to that of the outputs here, and what is missing is booked as unassigned.
        """
        return False


class Movement(Structure):
    """An operator that is linear and has no weights: slopes go back the way relevance does."""

    has_slopes: bool = True
    bounded: bool = True
    affine: bool = True

    def slopes(self, step: Step) -> Pieces:
        return self.propagate(step)

    def slope_reads(self, node: PlannedNode) -> Reads:
        return Reads(self.values, self.results, self.shapes)


@dataclass(frozen=True)
class Passes(Movement):
    """Relevance passes unchanged to the input with index `data`."""

    data: int = 0
    converts: bool = False
    held: tuple[int, ...] = ()

    def propagate(self, step: Step) -> Pieces:
        return {self.data: step.r}


@dataclass(frozen=True)
class Nothing(Structure):
    """The outputs carry no relevance; what starts at them stays there."""

    carries: bool = False
    drops: bool = True

    def propagate(self, step: Step) -> Pieces:
        return {}


@dataclass(frozen=True)
class Halves(Structure):
    """Operands that are data get equal parts of the relevance; constants and gates get none.

    A product of two tensors is linear in each of them while the other is held. Either reading would
    give all relevance to one operand; their average gives each half.
    """

    operands: tuple[int, ...] = (0, 1)

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.operands

    broadcasts = shapes

    def takers(self, step: PlannedNode) -> list[int]:
        """The operands that share: those that carry, gates only where all of them are."""
        data = [i for i in self.operands if step.carries(i)]
        return [i for i in data if not step.is_gate(i)] or data  # a product of masks, say

    def propagate(self, step: Step) -> Pieces:
        takers = self.takers(step)
        if len(takers) == 1:
            return {takers[0]: step.r}
        share = [step.ops.Mul(r, step.ops.scalar(1 / len(takers))) for r in step.r]
        return dict.fromkeys(takers, share)


@dataclass(frozen=True)
class AsFloats(Structure):
    """The structure `inner` of operands that are integers: these and the result are read as
    floats.
    """

    inner: Structure
    operands: tuple[int, ...]

    @property
    def values(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.inner.values

    @property
    def results(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.inner.results

    @property
    def shapes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.inner.shapes

    @property
    def broadcasts(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.inner.broadcasts

    def propagate(self, step: Step) -> Pieces:
        return self.inner.propagate(cast(Step, _Floating(step, self.operands)))


class _Floating:
    """A step whose operands, and output, are floats."""

    def __init__(self, step: Step, operands: tuple[int, ...]) -> None:
        self._step, self._operands = step, operands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def weighed(self, i: int) -> Value:
        return self._as_float(i, self._step.weighed(i))

    def condition(self, i: int) -> Value:
        return self._as_float(i, self._step.condition(i))

    def _as_float(self, i: int, x: Value) -> Value:
        return self._float(x) if i in self._operands else x

    def result(self, i: int = 0) -> Value:
        return self._float(self._step.result(i))

    def _float(self, x: Value) -> Value:
        return self._step.ops.Cast(x, to=self._step.ops.float_type)
