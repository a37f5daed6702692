"""What classes are called, as files tell it in several ways."""

from __future__ import annotations

import onnx
import pytest
from onnx import parser

from backtrace_onnx import Explainer

ML = '<ir_version: 10, opset_import: ["": 18, "ai.onnx.ml": 3]>'
PLAIN = '<ir_version: 10, opset_import: ["": 18]> g (float[n, 2] x) => (float[n, 2] y) {BODY}'
LINEAR = """g (float[n, 2] x) => (LABEL[n] label, float[n, 2] p) {
    label, p = ai.onnx.ml.LinearClassifier <NAMES, coefficients = [1.0, 0.0, 0.0, 1.0],
        intercepts = [0.0, 0.0]> (x) }"""


def labels(text: str, **metadata: str) -> tuple[str, ...]:
    model = parser.parse_model(text)
    onnx.helper.set_model_props(model, metadata)
    return Explainer(model, on_unsupported="pass").class_labels


def test_a_classifier_tells_its_labels() -> None:
    strings = LINEAR.replace("NAMES", 'classlabels_strings = ["no", "yes"]')
    assert labels(ML + strings.replace("LABEL", "string")) == ("no", "yes")
    numbers = LINEAR.replace("NAMES", "classlabels_ints = [3, 7]")
    assert labels(ML + numbers.replace("LABEL", "int64")) == ("3", "7")


def test_a_zip_map_tells_its_labels_first() -> None:
    text = LINEAR.replace("NAMES", "classlabels_ints = [0, 1]").replace("LABEL", "int64")
    text = text.replace("label, p =", "label, s =").replace(
        "(x) }", '(x) p = ai.onnx.ml.ZipMap <classlabels_strings = ["low", "high"]> (s) }'
    )
    model = parser.parse_model(ML + text)
    kind = onnx.helper.make_map_type_proto(
        onnx.TensorProto.STRING, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    )
    model.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    assert Explainer(model).class_labels == ("low", "high")


def test_classes_from_which_the_answer_is_taken() -> None:
    """As skl2onnx writes pipelines of operators: labels [classes], of which one is picked."""
    text = """g (float[n, 2] x) => (string[1, n] label, float[n, 2] p)
        <string[3] classes = {"a", "b", "c"}, string[2] other = {"q", "r"}> {
            p = Softmax (x)
            i = ArgMax <axis = 1, keepdims = 0> (x)
            z = ai.onnx.ml.ArrayFeatureExtractor (other, i)
            label = ai.onnx.ml.ArrayFeatureExtractor (classes, i) }"""
    assert labels(ML + text) == ("a", "b", "c")


METADATA = [
    ({"names": "{0: 'cat', 1: 'dog'}"}, ("cat", "dog")),
    ({"id2label": '{"1": "dog", "0": "cat"}'}, ("cat", "dog")),
    ({"classes": '["cat", "dog"]'}, ("cat", "dog")),
    ({"names": "{1: 'cat', 2: 'dog'}"}, ()),
    ({"labels": "cats and dogs"}, ()),
    ({"author": '["cat", "dog"]'}, ()),
    ({}, ()),
]


@pytest.mark.parametrize(("told", "wanted"), METADATA)
def test_metadata_lists_names_or_numbers_them(
    told: dict[str, str], wanted: tuple[str, ...]
) -> None:
    assert labels(PLAIN.replace("BODY", " y = Relu (x) "), **told) == wanted
