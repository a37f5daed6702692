"""Finding the sample axis and the class axis of an output: in the graph, else by sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.axis_names import is_called_batch
from backtrace_onnx.graph.class_axes import find_class_axis
from backtrace_onnx.graph.graph import Graph, Shape
from backtrace_onnx.graph.sample_axes import data_sized
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.entries import Columns
from backtrace_onnx.targets.output_axes import OutputAxes, SampleChoice

Sizes = tuple[int, ...]
_NONE = -1  # inputs without an axis for samples
STEPS = "where axis 0 holds the steps of one sample, sample_axis=1 (--sample-axis 1) says so"


@dataclass(frozen=True)
class GivenAxes:
    """What a caller says of an output's axes; None where it is to be found.

    Attributes:
        labels: how many of its classes have names; 0: that is not known.
        single: whether its class axis may be the one after the last: every entry is one score.
    """

    samples: SampleChoice = None
    classes: int | None = None
    columns: Columns | None = None
    labels: int = 0
    single: bool = False


SEARCH = GivenAxes()


def find_axes(
    graph: Graph,
    output: str,
    said: GivenAxes = SEARCH,
    *,
    shape: Sizes | None = None,
    fed: Mapping[str, Sizes] | None = None,
) -> OutputAxes:
    """Where the samples and the classes of an output lie.

    Args:
        said: what the caller knows, which goes above all else.
        shape, fed: the output's and the inputs' shapes in a run; without them, as declared.

    Raises:
        RequestError: an axis is named that the output does not have.
    """
    known: Shape | None = shape if shape is not None else graph.type(output).shape
    rank = None if known is None else len(known)
    notes: list[Note] = []
    if said.samples == "none":
        samples = None
    elif said.samples is not None:
        samples = _checked("sample_axis", said.samples, output, rank)
    else:
        samples = _SampleAxis(graph, output, known, fed, notes).find()
    classes: int | None
    if said.classes is not None:
        after = said.classes == rank and said.single
        classes = rank if after else _checked("class_axis", said.classes, output, rank)
        if classes == samples:
            raise RequestError(f"axis {classes} of output {output!r} holds samples, not classes")
    else:
        classes = find_class_axis(graph, output, known, samples, notes)
    return OutputAxes(samples, classes, rank, tuple(notes), said.columns)


def may_hold_steps(graph: Graph, output: str, samples: int | None) -> bool:
    """Whether what is taken for samples, [n, 1, classes] of an input [n, 1, features], may be the
    steps of the one sample along axis 1."""
    shapes = [graph.type(name).shape or () for name in (output, *graph.inputs)]
    laid = [len(shape) == 3 and shape[1] == 1 and shape[0] != 1 for shape in shapes]
    return samples == 0 and laid[0] and any(laid[1:])


def _checked(what: str, axis: int, output: str, rank: int | None) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise RequestError(f"{what} is the number of an axis, not {axis!r}")
    if rank is not None and not -rank <= axis < rank:
        raise RequestError(f"{what} is {axis}, but output {output!r} has {rank} axes")
    return axis + (rank or 0) if axis < 0 else axis


@dataclass(frozen=True)
class _SampleAxis:
    """The search for the sample axis of an output of a shape that is known as far as it is."""

    graph: Graph
    output: str
    shape: Shape | None
    fed: Mapping[str, Sizes] | None
    notes: list[Note]

    def find(self) -> int | None:
        """The axis, or None where the output is one sample."""
        axis = self.graph.samples.get(self.output)
        if self.shape == () or (axis is None and data_sized(self.graph, self.output)):
            return None
        if axis is not None and axis.alone:
            return self._assumed(int(axis))
        batch = self._batch()
        if axis and axis.inner == 1 and self.shape and batch in (None, self.shape[axis]):
            return self._assumed(int(axis))  # one after the other, and as many as there are
        if axis is not None and (axis or axis.mixed):
            return self._merged()
        if self.shape is None or batch is None:
            return 0 if axis is not None or self.shape is None or len(self.shape) > 1 else None
        if axis is not None:  # known to lie there, perhaps with more
            return self._assumed(0) if self.shape[0] == batch else self._merged()
        return self._by_size(batch)

    def _merged(self) -> int | None:
        if self._batch() != 1:
            self._note(
                f"the samples of the batch cannot be told apart in output {self.output!r}: it is "
                "explained as one sample"
            )
        return None

    def _by_size(self, batch: int) -> int | None:
        """An axis as long as the inputs' batch: the first, or the second of three."""
        shape, declared = self.shape or (), self.graph.type(self.output).shape or ()
        if len(shape) == 1:
            open_ = not declared or not isinstance(declared[0], int)
            fits = shape[0] == batch and (open_ or self._fixed)
            return self._assumed(0, batch) if fits else self._alone()
        if not isinstance(shape[0], int):
            return 0
        for axis in range(2 if len(shape) == 3 else 1):
            if shape[axis] == batch or declared[axis : axis + 1] == (1,):
                return self._assumed(axis, batch)
        return self._alone()

    def _alone(self) -> int | None:
        """One sample; with a note where other inputs than the first seem to hold as many."""
        shape = self.shape or ()
        for name, n in self._counts():
            axis = next((a for a in range(len(shape[:2])) if shape[a] == n > 1), None)
            if axis is not None:
                self._note(
                    f"output {self.output!r} is explained as one sample, as its inputs seem to "
                    f"hold different numbers of them{self._unlike(0, '')}; sample_axis={axis} "
                    f"takes its axis {axis} for {n} samples, as many as in {name!r}"
                )
                return None
        self._like_open()
        return None

    def _like_open(self) -> None:
        """A note where the output lost the symbol of an axis as long as an open one of an input."""
        declared = self.graph.type(self.output).shape or ()
        for name in self.graph.inputs:
            sizes, symbols = self._shape(name) or (), self.graph.type(name).shape or ()
            opened = [i for i, n in enumerate(symbols[:2]) if i and not isinstance(n, int)]
            for at in opened if len(sizes) > 1 else []:
                if (self.shape or (0,))[0] != sizes[at] or sizes[at] == 1:
                    continue
                if declared and (isinstance(declared[0], int) or declared[0] in symbols):
                    continue
                self._note(
                    f"output {self.output!r} is explained as one sample; its axis 0 is as long as "
                    f"the open axis {at} of input {name!r}: if it holds samples, sample_axis=0 "
                    "(--sample-axis 0) says so"
                )
                return

    @property
    def _fixed(self) -> bool:
        """Whether the number of samples is written in the file."""
        kinds = ((n, self.graph.type(n).shape) for n in self.graph.inputs)
        sizes = [s[self.graph.samples.get(n, 0)] for n, s in kinds if s and len(s) > 1]
        return all(isinstance(size, int) for size in sizes)

    def _assumed(self, axis: int, batch: int | None = None) -> int:
        """The axis; where nothing but a size speaks for it, with a note."""
        size = (self.shape or (1,))[axis]
        if not isinstance(size, int) or size < 2:
            return axis
        steps = may_hold_steps(self.graph, self.output, axis)
        if batch is not None or self._fixed:
            other = f"; {STEPS}" if steps else ""
            self._note(
                f"axis {axis} of output {self.output!r} is taken for {size} samples, as many as "
                f"the inputs seem to hold{self._unlike(size)}; sample_axis='none' explains it as "
                f"one sample{other}"
            )
        elif steps and not self._is_named:
            self._note(f"axis 0 of output {self.output!r} is taken for {size} samples; {STEPS}")
        return axis

    @property
    def _is_named(self) -> bool:
        """Whether the first axis of the output is called like a batch."""
        first = (self.graph.type(self.output).shape or (None,))[0]
        return isinstance(first, str) and is_called_batch(first)

    def _unlike(self, size: int, but: str = "but ") -> str:
        """Which inputs seem to hold another number of samples, in words."""
        found = [f"{name!r} {n}" for name, n in self._counts() if n != size]
        return f" ({but}{', '.join(found)})" if found else ""

    def _counts(self) -> list[tuple[str, int]]:
        """How many samples every input seems to hold, where that is known."""
        found: list[tuple[str, int]] = []
        for name in self.graph.inputs:
            axis, shape = int(self.graph.samples.get(name, 0)), self._shape(name) or ()
            n = shape[axis] if len(shape) > max(axis, 1) else None
            found += [(name, n)] if isinstance(n, int) else []
        return found

    def _note(self, text: str) -> None:
        self.notes.append(Note(text))

    def _batch(self) -> int | None:
        """How many samples the inputs hold; None where that is not known."""
        graph = self.graph
        for name in graph.inputs:
            axis, shape = graph.samples.get(name), self._shape(name)
            if axis is not None and shape is not None and axis < len(shape):
                return _number(shape[axis])
        if graph.samples:
            return None
        shapes = [self._shape(name) for name in graph.inputs]
        firsts = [shape[0] for shape in shapes if shape is not None and len(shape) > 1]
        return _number(firsts[0]) if firsts else None if None in shapes else _NONE

    def _shape(self, name: str) -> Shape | None:
        if self.fed is not None and name in self.fed:
            return self.fed[name]
        return self.graph.type(name).shape


def _number(size: int | str | None) -> int | None:
    return size if isinstance(size, int) else None
