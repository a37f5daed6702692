"""Which boxes or steps of each sample are explained: those asked for, the best, or every letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.commands.target_options import TargetChoice
from backtrace_onnx.errors import InputError, LabelsError, RequestError
from backtrace_onnx.explainer import Explainer
from backtrace_onnx.generation import ROWS, repeated
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.sample_axes import SampleAxes
from backtrace_onnx.inputs.files import Batch
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.targets.boxes import best
from backtrace_onnx.targets.ctc_letters import read_letters, spelled
from backtrace_onnx.targets.entries import CALLED
from backtrace_onnx.targets.entry_reading import Entries
from backtrace_onnx.targets.named_targets import read_target

Array = npt.NDArray[Any]
MANY = 1000  # best entries among which those that lie over each other are left out


@dataclass(frozen=True)
class PickedEntry:
    """One entry of one sample that is explained, and how the report calls the sample.

    Attributes:
        corners: the box, in pixels of the input.
    """

    pair: tuple[int, int]
    source: str
    corners: tuple[float, float, float, float] | None = None


@contextmanager
def labels_named(sidecar: Sidecar | None, output: str | None) -> Iterator[None]:
    """What is said about labels names their place in the sidecar. Raises InputError."""
    try:
        yield
    except LabelsError as error:
        place = f"{sidecar.path}: outputs.{output}.labels: " if sidecar else ""
        raise InputError(f"{place}{error}") from None


def entry_parts(
    explainer: Explainer, batch: Batch, read: Entries, given: Sequence[str], count: int
) -> Iterator[tuple[Batch, TargetChoice, tuple[PickedEntry, ...]]]:
    """Batches of one sample each, repeated for every entry of it that is explained.

    Args:
        read: what the outputs hold for the batch. given: targets of the command line.
        count: boxes that are explained where none is asked for.
    """
    whole = len(read.rows) != len(batch.sources)  # rows of a file that are no samples, but steps
    for sample, source in enumerate((_joint(batch.sources),) if whole else batch.sources):
        picked = _picked(read, sample, source, given, count)
        own = batch.feeds if whole else one_sample(batch, sample, explainer.graph)
        rows = ROWS if _takes_batches(explainer.graph, batch) and not whole else 1
        for at in range(0, len(picked), rows):
            some = picked[at : at + rows]
            feeds = repeated(own, explainer.graph, len(some)) if len(some) > 1 else own
            pictures = {n: (p[sample],) * len(some) for n, p in batch.pictures.items()}
            part = Batch(feeds, tuple(p.source for p in some), pictures=pictures)
            yield part, TargetChoice(read.task, np.array([p.pair for p in some])), tuple(some)


def _joint(sources: Sequence[str]) -> str:
    """What several rows of one file are called together."""
    files = dict.fromkeys(source.rpartition(" row ")[0] or source for source in sources)
    return ", ".join(files)


def one_sample(batch: Batch, sample: int, graph: Graph) -> dict[str, Array]:
    """The feeds of one sample of a batch."""
    axes, found = SampleAxes(graph), {}
    for name, x in batch.feeds.items():
        axis = axes(name)
        several = axis is not None and axis < x.ndim and x.shape[axis] == len(batch.sources)
        found[name] = x.take([sample], axis) if several and axis is not None else x
    return found


def _picked(
    read: Entries, sample: int, source: str, given: Sequence[str], count: int
) -> list[PickedEntry]:
    """The entries of a sample that are explained."""
    if given:
        pairs = [_pair(text, read) for text in given]
        found = [read.resolved(sample, pair) for pair in pairs]
        return [_box(read, sample, pair, source) for pair in found]
    if read.task == "ctc":
        return _letters(read, sample, source)
    chosen = best(read.found(sample, MANY), count)
    return [_box(read, sample, (f.entry, f.label), source) for f in chosen]


def _letters(read: Entries, sample: int, source: str) -> list[PickedEntry]:
    grid = read.grids[sample]
    background = read.columns.background
    letters = read_letters(grid, blank=0 if background is None else background, labels=read.labels)
    text = spelled(letters)
    if not letters:
        pair = read.resolved(sample, (-1, -1))
        return [PickedEntry(pair, f"{source}: no letters; the likeliest")]
    return [
        PickedEntry(
            letter.target, f"{source} “{text}”, letter {i} of {len(letters)} ({letter.place})"
        )
        for i, letter in enumerate(letters, 1)
    ]


def _box(read: Entries, sample: int, pair: tuple[int, int], source: str) -> PickedEntry:
    return PickedEntry(pair, source, read.corners(sample, pair[0]))


def _pair(text: str, read: Entries) -> tuple[int, int]:
    """`13,5`, `13,cat` or `13`: an entry, and its class or its best one."""
    entry, mark, label = text.partition(",")
    called = CALLED[read.task]
    try:
        number = int(entry)
    except ValueError:
        raise RequestError(
            f"target {text!r}: for {read.task} it is {called},class or {called}, such as 13,5"
        ) from None
    if not mark:
        return number, -1
    found = read_target(label.strip(), read.labels)
    if not isinstance(found, int):
        raise RequestError(f"target {text!r} has more than a {called} and a class")
    return number, found


def _takes_batches(graph: Graph, batch: Batch) -> bool:
    """Whether every input takes any number of samples."""
    axes = SampleAxes(graph)
    for name in batch.feeds:
        axis, shape = axes(name), graph.type(name).shape
        if axis is None or shape is None or isinstance(shape[int(axis)], int):
            return False
    return True
