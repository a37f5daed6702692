"""What a file is compiled to explain where no task is named: what explaining would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import backtrace_onnx as bt
from tests.detectors import LAYOUTS, PICTURES, detector
from tests.targets.entry_models import MODES, quiet_options


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
def test_files_are_compiled_for_the_task_that_explaining_takes(
    layout: str, mode: str, tmp_path: Path
) -> None:
    explainer = bt.Explainer(detector(layout))
    explainer.compile(tmp_path / "m.onnx", mode=mode, target=None)
    session = ort.InferenceSession(tmp_path / "m.onnx", quiet_options())
    made = explainer.explain(PICTURES, mode=mode)
    assert session.get_modelmeta().custom_metadata_map["backtrace.task"] == made.task
    found = session.run(["relevance/x"], {"x": PICTURES})[0]
    np.testing.assert_allclose(found, made.relevance["x"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["yolo8", "rows", "yolo5"])
def test_boxes_whose_number_is_not_known_are_asked_for_by_task(layout: str, tmp_path: Path) -> None:
    proto = detector(layout)
    for dim in proto.graph.output[0].type.tensor_type.shape.dim:
        dim.dim_param = "unknown"
    for dim in proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "side"
    with pytest.raises(bt.RequestError, match=r"'y'.*task='detection'"):
        bt.compile(proto, tmp_path / "m.onnx")
    bt.compile(proto, tmp_path / "m.onnx", task="classification")


def test_rows_of_a_picture_that_are_no_boxes_are_compiled_as_they_are_explained(
    tmp_path: Path,
) -> None:
    proto = detector("rows")
    next(n for n in proto.graph.node if n.op_type == "Sigmoid").op_type = "Tanh"
    explainer = bt.Explainer(proto)
    explainer.compile(tmp_path / "m.onnx")
    session = ort.InferenceSession(tmp_path / "m.onnx", quiet_options())
    found = session.run(["relevance/x"], {"x": PICTURES})[0]
    made = explainer.explain(PICTURES)
    assert made.task == "classification"
    np.testing.assert_allclose(found, made.relevance["x"], rtol=1e-4, atol=1e-5)
