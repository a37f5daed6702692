"""What an output means, as the sidecar says: its task, its classes, its axes, its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from backtrace_onnx.graph.graph import Shape
from backtrace_onnx.inputs.json_object import Settings
from backtrace_onnx.targets.axis_search import GivenAxes
from backtrace_onnx.targets.boxes import FORMATS, Boxes
from backtrace_onnx.targets.entries import TASKS as ENTRY_TASKS
from backtrace_onnx.targets.entries import Columns
from backtrace_onnx.targets.output_axes import SampleChoice
from backtrace_onnx.targets.start import TASKS


@dataclass(frozen=True)
class OutputMeaning:
    """What an output means: its task, the label of every class, the threshold of a mask, its axes.

    Attributes:
        sample_axis, class_axis: as in `Explainer.explain`.
        columns: which columns of an entry are classes, of a detector or of steps.
        boxes: how a detector's coordinates are read.
    """

    task: str | None = None
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    sample_axis: SampleChoice = None
    class_axis: int | None = None
    columns: Columns | None = None
    boxes: Boxes | None = None

    @classmethod
    def of(cls, entry: Settings) -> OutputMeaning:
        """The keys of a sidecar. Raises InputError naming the key that is wrong."""
        task = entry.choice("task", TASKS, default="")
        labels = entry.texts("labels")
        threshold = entry.number("threshold", default=np.nan)
        samples: SampleChoice = entry.axis("sample_axis", "none")
        classes = entry.axis("class_axis")
        columns, boxes = _columns(entry, task), None
        if entry.has("boxes"):
            _only(entry, "boxes", task, "detection")
            boxes = _boxes(entry.section("boxes"))
        entry.finish()
        limit = None if np.isnan(threshold) else threshold
        return cls(task or None, labels, limit, samples, classes, columns, boxes)

    def over(self, other: OutputMeaning) -> OutputMeaning:
        """What this says, and of what it leaves open (None, or no labels) what the other says."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(other, **{k: v for k, v in own.items() if v is not None and v != ()})

    def axes(self, shape: Shape | None) -> GivenAxes:
        """What this says of the axes of an output of that shape."""
        classes = self.class_axis
        if classes is None:
            classes = labelled_axis(self.labels, shape)
        columns = self.columns if (self.task or "detection") in ENTRY_TASKS else None
        return GivenAxes(self.sample_axis, classes, columns, len(self.labels))


def labelled_axis(labels: Sequence[str], shape: Shape | None) -> int | None:
    """The only axis, of two or more behind the first, that is as long as there are labels."""
    found = [axis for axis, n in enumerate(shape or ()) if n == len(labels) and axis]
    return found[0] if len(found) == 1 and labels and len(shape or ()) > 2 else None


def _columns(entry: Settings, task: str) -> Columns | None:
    """Which columns are classes, where a key says it."""
    if task == "ctc":
        blank = entry.number("blank", default=0)
        if blank != int(blank):
            raise entry.wrong("blank", "must be the number of a class")
        return Columns(background=int(blank))
    _only(entry, "blank", task, "ctc")
    keys = ("classes", "objectness", "background", "class_column")
    if not entry.has(*keys):
        return None
    for key in keys:
        _only(entry, key, task, "detection")
    first, last = entry.wholes("classes", 2) if entry.has("classes") else (0, None)
    if last is not None and first >= last:
        raise entry.wrong("classes", "must be the first class column and the one after the last")
    objectness = entry.whole("objectness", 0) if entry.has("objectness") else None
    background = entry.whole("background", 0) if entry.has("background") else None
    number = entry.whole("class_column", 0) if entry.has("class_column") else None
    if number is not None and (last is None or last - first != 1):
        raise entry.wrong("class_column", "goes with one column of scores: classes [4, 5]")
    return Columns(first, last, objectness, background, number)


def _boxes(entry: Settings) -> Boxes:
    """The keys of `boxes`."""
    relative = entry.flag("relative", False)
    if relative and entry.has("scale"):
        raise entry.wrong("scale", "coordinates that are relative have none")
    scale = entry.number("scale", default=1.0)
    stride = entry.number("stride", default=1.0)
    cell = entry.number("cell") if entry.has("cell") else None
    for key, value in (("scale", scale), ("stride", stride), ("cell", cell)):
        if value is not None and value <= 0:
            raise entry.wrong(key, "must be greater than 0")
    form = entry.choice("format", FORMATS)
    if form == "offsets" and cell is None:
        raise entry.wrong("cell", "is missing: offsets are those of a cell")
    columns = entry.wholes("columns", 4) if entry.has("columns") else (0, 1, 2, 3)
    output = entry.text("output") if entry.has("output") else None
    entry.finish()
    return Boxes(output, columns, form, None if relative else scale, stride, cell)


def _only(entry: Settings, key: str, task: str, wanted: str) -> None:
    if entry.has(key) and task != wanted:
        raise entry.wrong(key, f"belongs to the task {wanted}")
