"""Small detectors with the output layouts of well-known ones; all compute the same boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.graphs import FLOAT, model, node, normal

Array = npt.NDArray[Any]
LAYOUTS = ("yolo8", "rows", "yolo5", "apart")
SIZE, CELLS, CLASSES = 16, 16, 3
PICTURES = np.abs(normal(2, 3, SIZE, SIZE, seed=4))


def detector(layout: str) -> onnx.ModelProto:
    """x[N, 3, 16, 16] -> boxes cxcywh in pixels and three classes' scores of 16 cells.

    Layouts: "yolo8" [N, 4 + C, A], "rows" [N, A, 4 + C], "yolo5" [N, A, 5 + C] with objectness,
    "apart" boxes[N, A, 4] and scores[N, A, C].
    """
    weights: dict[str, Any] = {
        "wb": normal(4, 3, 4, 4, seed=1),
        "bb": np.full(4, 8, np.float32),
        "wc": normal(CLASSES, 3, 4, 4, seed=2) * np.float32(0.3),
        "bc": normal(CLASSES, seed=3),
        "wo": normal(1, 3, 4, 4, seed=5) * np.float32(0.3),
        "flat": np.array([0, 0, -1]),
    }
    nodes = [
        node("Conv", ["x", "wb", "bb"], ["b4"], "boxes", strides=[4, 4]),
        node("Conv", ["x", "wc", "bc"], ["c4"], "classes", strides=[4, 4]),
        node("Sigmoid", ["c4"], ["s4"]),
        node("Reshape", ["b4", "flat"], ["b"]),
        node("Reshape", ["s4", "flat"], ["s"]),
    ]
    columns = 4 + CLASSES
    if layout == "apart":
        nodes += [
            node("Transpose", ["b"], ["boxes"], perm=[0, 2, 1]),
            node("Transpose", ["s"], ["scores"], perm=[0, 2, 1]),
        ]
        outputs: dict[str, Any] = {
            "boxes": (FLOAT, ["N", CELLS, 4]),
            "scores": (FLOAT, ["N", CELLS, CLASSES]),
        }
        return model(nodes, {"x": (FLOAT, ["N", 3, SIZE, SIZE])}, outputs, weights)
    parts = ["b", "s"]
    if layout == "yolo5":
        nodes += [
            node("Conv", ["x", "wo"], ["o4"], "objects", strides=[4, 4]),
            node("Sigmoid", ["o4"], ["p4"]),
            node("Reshape", ["p4", "flat"], ["o"]),
        ]
        parts, columns = ["b", "o", "s"], columns + 1
    joined = "y" if layout == "yolo8" else "t"
    nodes.append(node("Concat", parts, [joined], axis=1))
    shape = ["N", columns, CELLS]
    if layout != "yolo8":
        nodes.append(node("Transpose", ["t"], ["y"], perm=[0, 2, 1]))
        shape = ["N", CELLS, columns]
    if layout != "yolo5":
        del weights["wo"]
    return model(nodes, {"x": (FLOAT, ["N", 3, SIZE, SIZE])}, {"y": (FLOAT, shape)}, weights)


def end_to_end(form: str) -> onnx.ModelProto:
    """x[N, 3, 16, 16] -> entries of a box, a score and its class's number, that an ArgMax chose.

    Forms: "all" [N, 16, 6], "best" [N, 5, 6] behind a TopK, "kept" [n, 7] behind
    NonMaxSuppression, of one picture: its number, the box, the class, the score.
    """
    whole = detector("apart")
    nodes: list[Any] = [
        *whole.graph.node,
        node("ReduceMax", ["scores", "last"], ["p"]),
        node("ArgMax", ["scores"], ["i"], axis=2),
        node("Cast", ["i"], ["c"], to=FLOAT),
    ]
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in whole.graph.initializer}
    weights["last"] = np.array([2])
    shape, parts, axis = ["N", CELLS, 6], ["boxes", "p", "c"], 2
    if form == "best":
        shape, parts = ["N", 5, 6], ["kb", "kp", "kc"]
        weights |= {"k": np.array([5]), "four": np.array([1, 1, 4])}
        nodes += [
            node("TopK", ["p", "k"], ["kp", "ki"], axis=1),
            node("Expand", ["ki", "four"], ["ki4"]),
            node("GatherElements", ["boxes", "ki4"], ["kb"], axis=1),
            node("GatherElements", ["c", "ki"], ["kc"], axis=1),
        ]
    if form == "kept":
        shape, parts, axis = ["n", 7], ["n1", "nb", "nc", "np"], 1
        nodes += _suppressed(weights)
    nodes.append(node("Concat", parts, ["y"], axis=axis))
    first = 1 if form == "kept" else "N"
    return model(nodes, {"x": (FLOAT, [first, 3, SIZE, SIZE])}, {"y": (FLOAT, shape)}, weights)


def _suppressed(weights: dict[str, Any]) -> list[Any]:
    """n1, nb, nc and np: picture, box, class and score of what NonMaxSuppression keeps."""
    corners = np.stack([np.arange(CELLS) * 10] * 4, 1) + np.array([0, 0, 5, 5])
    weights |= {
        "grid": corners.astype(np.float32)[None],
        "most": np.array([3]),
        "over": np.array([0.5], np.float32),
        "at": np.array([0.3], np.float32),
        "two": np.array([2]),
        "none": np.array([0]),
        "minus": np.array([1]),
    }
    nodes = [
        node("Add", ["boxes", "grid"], ["placed"]),
        node("Transpose", ["p"], ["pt"], perm=[0, 2, 1]),
        node("NonMaxSuppression", ["placed", "pt", "most", "over", "at"], ["kept"]),
        node("Gather", ["kept", "two"], ["which1"], axis=1),
        node("Squeeze", ["which1", "minus"], ["which"]),
        node("Gather", ["kept", "none"], ["n0"], axis=1),
        node("Cast", ["n0"], ["n1"], to=FLOAT),
    ]
    for source, out in (("placed", "nb"), ("c", "nc"), ("p", "np")):
        nodes += [
            node("Squeeze", [source, "none"], [f"{out}0"]),
            node("Gather", [f"{out}0", "which"], [out], axis=0),
        ]
    return nodes


def _written(weights: dict[str, Any]) -> list[Any]:
    """rows -> written: scores times objectness, in their own columns."""
    columns = np.arange(5, 5 + CLASSES)
    weights |= {
        "places": np.stack(np.meshgrid(np.arange(CELLS), columns, indexing="ij"), 2),
        "from": np.array([4]),
        "to": np.array([5]),
        "end": np.array([99]),
    }
    return [
        node("Slice", ["rows", "from", "to", "minus"], ["own"]),
        node("Slice", ["rows", "to", "end", "minus"], ["classes_only"]),
        node("Mul", ["classes_only", "own"], ["product"]),
        node("ScatterND", ["rows", "places", "product"], ["written"]),
    ]


def chosen(form: str) -> onnx.ModelProto:
    """x[1, 3, 16, 16] -> the rows that NonMaxSuppression keeps of boxes and classes' scores.

    Forms: "joined" y[n, 4 + C]; "multiplied" the same, scores times objectness; "both" y[n, 5 + C],
    objectness beside these; "written" the same, in place; "apart" boxes[n, 4], scores[n, C].
    """
    whole = detector("yolo5")
    made = list(whole.graph.node)[:-2]  # up to b, o and s, [1, columns, cells]
    weights: dict[str, Any] = {
        w.name: onnx.numpy_helper.to_array(w) for w in whole.graph.initializer
    }
    grid = np.stack([np.arange(CELLS) * 10] * 4, 0) + np.array([[0], [0], [5], [5]])
    weights |= {
        "grid": grid.astype(np.float32)[None],
        "most": np.array([2]),
        "over": np.array([0.5], np.float32),
        "at": np.array([1e-6], np.float32),
        "two": np.array([2]),
        "none": np.array([0]),
        "minus": np.array([1]),
        "last": np.arange(CLASSES) + 5,
    }
    nodes: list[Any] = [
        *made,
        node("Add", ["b", "grid"], ["placed"]),
        node("Transpose", ["placed"], ["corners"], perm=[0, 2, 1]),
        node("Mul", ["s", "o"], ["so"]),
        node("NonMaxSuppression", ["corners", "so", "most", "over", "at"], ["kept"]),
        node("Gather", ["kept", "two"], ["which1"], axis=1),
        node("Squeeze", ["which1", "minus"], ["which"]),
    ]
    joined = {"joined": ["placed", "s"], "multiplied": ["placed", "so"]}
    parts = joined.get(form, ["placed", "o", "s" if form == "written" else "so"])
    nodes += [
        node("Concat", parts, ["t"], axis=1),
        node("Transpose", ["t"], ["rows3"], perm=[0, 2, 1]),
        node("Squeeze", ["rows3", "none"], ["rows"]),
    ]
    if form == "written":
        nodes += _written(weights)
    source = "written" if form == "written" else "rows"
    nodes.append(node("Gather", [source, "which"], ["y"], axis=0))
    x = {"x": (FLOAT, [1, 3, SIZE, SIZE])}
    if form == "apart":
        return model([*nodes[:-1], *_APART], x, _APART_OUTPUTS, weights)
    y = (FLOAT, ["n", 4 + CLASSES + (form in ("both", "written"))])
    return model(nodes, x, {"y": y}, weights)


_APART = [
    node("Transpose", ["so"], ["scores3"], perm=[0, 2, 1]),
    node("Squeeze", ["scores3", "none"], ["flat_scores"]),
    node("Squeeze", ["corners", "none"], ["flat_boxes"]),
    node("Gather", ["flat_boxes", "which"], ["boxes"], axis=0),
    node("Gather", ["flat_scores", "which"], ["scores"], axis=0),
]
_APART_OUTPUTS: dict[str, Any] = {"boxes": (FLOAT, ["n", 4]), "scores": (FLOAT, ["n", CLASSES])}


def one_score(form: str) -> onnx.ModelProto:
    """boxes beside one score for each, that of its best class.

    Forms: "all" boxes[N, 16, 4] and scores[N, 16]; "kept" boxes[n, 4] and scores[n] behind
    NonMaxSuppression, of one picture.
    """
    whole = detector("apart") if form == "all" else chosen("apart")
    for found in whole.graph.node:
        for names in (found.input, found.output):
            names[:] = ["every" if name == "scores" else name for name in names]
    whole.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "over_classes"))
    whole.graph.node.append(node("ReduceMax", ["every", "over_classes"], ["scores"], keepdims=0))
    boxes = next(o for o in whole.graph.output if o.name == "boxes")
    shape = ["N", CELLS] if form == "all" else ["n"]
    scores = onnx.helper.make_tensor_value_info("scores", FLOAT, shape)
    del whole.graph.output[:]
    whole.graph.output.extend([boxes, scores])
    return whole
