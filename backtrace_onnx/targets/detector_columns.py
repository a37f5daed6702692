"""Which columns of a detector's entries are scores: told by labels, by the graph, else by sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtrace_onnx.errors import LabelsError
from backtrace_onnx.graph.graph import Graph, Node
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.targets.entries import Columns

COORDINATES = 4
_LAYS = frozenset(
    {"Identity", "Transpose", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Cast"}
)  # what comes out is the first input's values
_MOVES = _LAYS | {"Expand", "Slice", "Gather", "GatherElements", "GatherND"}  # some of them
_WRITES = frozenset({"ScatterND", "ScatterElements"})


@dataclass(frozen=True)
class JoinedColumns:
    """Columns that are joined with others: from `first` on, `size` of a tensor."""

    first: int
    size: int
    tensor: str


def joined_columns(graph: Graph, output: str, axis: int) -> list[JoinedColumns]:
    """What the columns of an output are joined of along an axis; [] where that is not known."""
    tensor, along = output, axis
    while (node := graph.producers.get(tensor)) is not None:
        if node.op_type == "Concat" and not node.domain and _axis(graph, node) == along:
            break
        moved = _before(graph, node, tensor, along)
        if moved is None:
            break
        tensor, along = moved
    size = _size(graph, tensor, along)
    if size is None:
        return []
    if node is None or node.op_type != "Concat" or _axis(graph, node) != along:
        return [JoinedColumns(0, size, tensor)]
    found: list[JoinedColumns] = []
    for name in node.inputs:
        own = joined_columns(graph, name, along)
        if not own:
            return []
        first = sum(piece.size for piece in found)
        found += [JoinedColumns(first + p.first, p.size, p.tensor) for p in own]
    return found


def _axis(graph: Graph, node: Node) -> int:
    axis = int(node.attributes.get("axis", 0))
    return axis + (graph.type(node.outputs[0]).rank or 0) if axis < 0 else axis


def _size(graph: Graph, tensor: str, axis: int) -> int | None:
    shape = graph.type(tensor).shape
    size = shape[axis] if shape is not None and axis < len(shape) else None
    return size if isinstance(size, int) else None


def _before(graph: Graph, node: Node, tensor: str, axis: int) -> tuple[str, int] | None:
    """The tensor whose columns an operator only moves, and the axis of them there."""
    if node.op_type == "Concat" and not node.domain:
        return node.inputs[0], axis  # one level of several, along another axis
    if node.op_type not in _MOVES or node.domain:
        return None
    source = node.inputs[0]
    old, new = graph.type(source).shape, graph.type(tensor).shape
    if old is None or new is None:
        return None
    if node.op_type == "Transpose":
        order = node.attributes.get("perm") or range(len(old))[::-1]
        return source, int(tuple(order)[axis])
    behind = axis - len(new) + len(old)
    for place, same in ((axis, old[:axis] == new[:axis]), (behind, old[behind:] == new[axis:])):
        if 0 <= place < len(old) and same and old[place] == new[axis]:
            return source, place
    fits = [i for i, size in enumerate(old) if size == new[axis] and isinstance(size, int)]
    return (source, fits[0]) if len(fits) == 1 else None


def _is_index(graph: Graph, tensor: str) -> bool:
    """Whether a tensor holds whole numbers that a choice made: nothing flows through it."""
    while tensor not in graph.constants:
        kind = graph.type(tensor)
        if kind.dtype and not kind.is_float:
            return True
        node = graph.producers.get(tensor)
        if node is None or node.domain or node.op_type not in _MOVES:
            return False
        tensor = node.inputs[0]
    return False


def end_to_end(graph: Graph, output: str) -> tuple[int, Columns] | None:
    """Class axis and columns of an output whose entries are a box, a score and a class's number.

    Other whole numbers, such as the picture that a box is of, may stand before these.
    """
    rank = graph.type(output).rank or 0
    for axis in dict.fromkeys((rank - 1, 1)):
        marks = _marks(graph, output, axis) if 0 < axis < rank else []
        columns = _numbered(joined_columns(graph, output, axis), marks) if marks else None
        if columns is not None:
            return axis, columns
    return None


def box_columns(graph: Graph, output: str, axis: int) -> tuple[int, ...]:
    """Columns of the coordinates beside a score and a number; () where these are not four."""
    numbered = end_to_end(graph, output)
    if numbered is None or numbered[0] != axis:
        return ()
    apart = {numbered[1].first, *_marks(graph, output, axis)}
    size = _size(graph, output, axis) or 0
    found = tuple(column for column in range(size) if column not in apart)
    return found if len(found) == COORDINATES else ()


def _marks(graph: Graph, output: str, axis: int) -> list[int]:
    """The columns that hold whole numbers."""
    found = [p for p in joined_columns(graph, output, axis) if _is_index(graph, p.tensor)]
    return [p.first + i for p in found for i in range(p.size)]


def _numbered(found: list[JoinedColumns], marks: list[int]) -> Columns | None:
    """Columns of a box, a score and a number, where these are all that there is."""
    floats = [p for p in found if p.first not in marks]
    if sum(p.size for p in floats) != COORDINATES + 1 or len(floats) < 2:
        return None
    first = floats[0].size == 1 and floats[1].size == COORDINATES
    score = floats[0] if first else floats[-1]
    if score.size != 1:
        return None
    return Columns(score.first, score.first + 1, label=marks[-1])


def keeps_boxes(graph: Graph, output: str) -> bool:
    """Whether the rows of an output are a choice of NonMaxSuppression: boxes, not samples."""
    if "NonMaxSuppression" not in graph.operators or graph.type(output).rank not in (1, 2, 3):
        return False
    return any(node.operator == "NonMaxSuppression" for node in graph.ancestors(output))


def joins_boxes(graph: Graph, output: str, axis: int) -> bool:
    """Whether four columns are joined with others along this axis of an output."""
    found = joined_columns(graph, output, axis)
    return any(piece.first == COORDINATES for piece in found)


def likeness(graph: Graph, output: str, samples: int | None) -> tuple[Note, ...]:
    """What is said of an output [N, boxes, columns] that is explained as no detector's, though the
    graph joins four of its columns with others.
    """
    axes = [axis for axis in range(3) if axis != samples]
    if output in graph.classes or not any(joins_boxes(graph, output, axis) for axis in axes):
        return ()
    note = Note(
        f"output {output!r} joins four columns with others, as a detector joins boxes with scores, "
        "but its values are not those of boxes in pixels and scores from 0 to 1: it is explained "
        "as a classification's, coordinates among its entries; if it is a detector's: "
        "task='detection'"
    )
    return (note,)


def class_columns(
    graph: Graph, output: str, axis: int, size: int, labels: int, *, last: bool
) -> tuple[Columns, str]:
    """Which of more than four columns are classes, and that in words.

    Args:
        labels: how many classes have names; 0: that is not known. last: whether the columns lie
            along the last axis, where objectness is assumed if nothing tells.

    Raises:
        LabelsError: there are as many labels as no reading of the columns has classes.
    """
    holds = _holds_objectness(graph, output, axis, size)
    if labels:
        return _by_labels(output, size, labels, holds=holds)
    shown = _shown(graph, output, axis, size)
    has = last and size > COORDINATES + 1 if shown is None else shown
    how = "" if shown is None else ", as they are joined in the graph"
    columns, told = _with(objectness=has, holds=holds)
    return columns, told + how


def _by_labels(output: str, size: int, labels: int, *, holds: bool) -> tuple[Columns, str]:
    how = f", as there are {labels} labels"
    if labels == size:
        return Columns(), f"all of them classes{how}"
    for extra in (0, 1):
        if labels == size - COORDINATES - extra:
            columns, told = _with(objectness=bool(extra), holds=holds)
            return columns, told + how
    several = f"{size - COORDINATES}, or {size - COORDINATES - 1} beside objectness"
    raise LabelsError(
        f"there are {labels} labels, but an entry of output {output!r} has {size} columns, which "
        f"beside 4 coordinates are {several}; name as many, or say which columns are classes"
    )


def _with(*, objectness: bool, holds: bool) -> tuple[Columns, str]:
    """Args: holds: whether the classes' scores are multiplied by objectness already."""
    if objectness and holds:
        told = "0 to 3 coordinates, 4 objectness, those from 5 on classes, multiplied by it already"
        return Columns(COORDINATES + 1), told
    if objectness:
        told = "0 to 3 coordinates, 4 objectness, those from 5 on classes"
        return Columns(COORDINATES + 1, objectness=COORDINATES), told
    return Columns(COORDINATES), "0 to 3 coordinates, those from 4 on classes"


def _shown(graph: Graph, output: str, axis: int, size: int) -> bool | None:
    """Whether a column of objectness is joined before the classes; None where it is not seen.

    What one tensor was only split into, box and all, tells nothing: its parts are joined as they
    lay (YOLOv5 splits 2 | 2 | 1 + C).
    """
    found = joined_columns(graph, output, axis)
    ends = {piece.first: piece.first + piece.size for piece in found}
    if ends.get(COORDINATES) == COORDINATES + 1 < size and ends.get(COORDINATES + 1) == size:
        return True
    if ends.get(COORDINATES) != size:
        return None
    maker = graph.producers.get(found[-1].tensor)
    return None if maker is None or maker.op_type in ("Split", "Slice") else False


def _holds_objectness(graph: Graph, output: str, axis: int, size: int) -> bool:
    """Whether a column of objectness is a factor of the classes' scores beside it.

    They are joined behind the product, or it is written into the rows in place.
    """
    found = {piece.first: piece for piece in joined_columns(graph, output, axis)}
    first = COORDINATES + 1
    if {COORDINATES, first} <= found.keys():
        factors = _factors(graph, found[first].tensor)
        return any(_alike(graph, x, found[COORDINATES].tensor) for x in factors)
    whole = found.get(0)
    node = graph.producers.get(whole.tensor) if whole is not None and whole.size == size else None
    if node is None or node.operator not in _WRITES:
        return False
    sizes = [(graph.type(x).shape or (None,))[-1] for x in _factors(graph, node.inputs[2])]
    return sorted(n for n in sizes if isinstance(n, int)) == sorted((1, size - first))


def _factors(graph: Graph, tensor: str) -> tuple[str, ...]:
    """The two tensors whose product is only moved into this one; () where there are none."""
    node = graph.producers.get(tensor)
    while node is not None and not node.domain and node.op_type in _MOVES:
        node = graph.producers.get(node.inputs[0])
    both = node is not None and node.operator == "Mul"
    return node.inputs if node is not None and both else ()


def _bare(graph: Graph, tensor: str) -> str:
    """The tensor whose values are only laid out otherwise in this one."""
    node = graph.producers.get(tensor)
    while node is not None and not node.domain and node.op_type in _LAYS:
        tensor = node.inputs[0]
        node = graph.producers.get(tensor)
    return tensor


def _alike(graph: Graph, one: str, other: str) -> bool:
    """Whether two tensors hold the same values in some layout, computed alike of the same."""
    one, other = _bare(graph, one), _bare(graph, other)
    if one == other:
        return True
    known = [graph.constants.get(name) for name in (one, other)]
    if known[0] is not None and known[1] is not None:
        return bool(np.array_equal(known[0], known[1]))
    made = [graph.producers.get(name) for name in (one, other)]
    if made[0] is None or made[1] is None or made[0].operator != made[1].operator:
        return False
    same = made[0].attributes == made[1].attributes and len(made[0].inputs) == len(made[1].inputs)
    same = same and made[0].outputs.index(one) == made[1].outputs.index(other)
    pairs = zip(made[0].inputs, made[1].inputs, strict=False)
    return same and all(_alike(graph, x, y) for x, y in pairs)
