"""Loading: every kind of source, and every kind of broken file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from backtrace_onnx import BacktraceError, Explainer, ModelError, explain
from backtrace_onnx.model.loading import load
from backtrace_onnx.model.sessions import MAX_IR, newest_opset
from backtrace_onnx.model.topology import renamed, subgraphs
from tests.graphs import changed, mlp, normal

X = normal(2, 4, seed=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The MLP as a file."""
    file = tmp_path / "mlp.onnx"
    file.write_bytes(mlp().SerializeToString())
    return file


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data.pkl"), b"x" * 100)  # of no time: a test's name
    return file.getvalue()


def test_every_source_explains_alike(path: Path) -> None:
    proto, data = mlp(), path.read_bytes()
    wanted = explain(proto, X).relevance["x"]
    for source in (path, str(path), data, bytearray(data), memoryview(data)):
        assert np.array_equal(explain(source, X).relevance["x"], wanted)


def test_a_given_proto_is_not_changed() -> None:
    proto = mlp()
    before = proto.SerializeToString()
    explain(proto, X)
    assert proto.SerializeToString() == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is a text file\n" * 9, "not an ONNX model"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (_zip(), "zip archive"),
        (bytes(1000), "not an ONNX model"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"broken\.onnx") as caught:
        load(file)
    assert message in str(caught.value)


def test_random_bytes_are_refused() -> None:
    for seed in range(50):
        with pytest.raises(ModelError):
            load(np.random.default_rng(seed).bytes(500))


def test_every_truncation_is_refused() -> None:
    data = mlp().SerializeToString()
    for length in range(len(data)):
        with pytest.raises(ModelError):
            load(data[:length])


def test_flipped_bytes_never_escape_as_other_errors() -> None:
    data = mlp().SerializeToString()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        broken = bytearray(data)
        broken[rng.integers(len(data))] = rng.integers(256)
        try:
            Explainer(bytes(broken))
            outcomes.add("loads")
        except BacktraceError as error:
            outcomes.add(type(error).__name__)
    assert "ModelError" in outcomes


@pytest.mark.parametrize("source", [None, 5, ["model.onnx"]])
def test_other_types_are_refused(source: object) -> None:
    with pytest.raises(ModelError, match="a path, bytes or a ModelProto"):
        load(source)  # type: ignore[arg-type]


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: cannot be read \(No such file"):
        load(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ModelError, match="null"):
        load("a\0b.onnx")


def test_a_file_over_two_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.onnx"
    with file.open("wb") as stream:
        stream.truncate(3 << 30)
    with pytest.raises(ModelError, match="over 2 GB"):
        load(file)


@pytest.mark.parametrize("opset", [newest_opset() + 1, 1000])
def test_an_opset_too_new_says_what_to_do(opset: int) -> None:
    with pytest.raises(ModelError, match=rf"opset {opset} is newer.*convert_version"):
        load(mlp(opset=opset))


def test_the_newest_opset_is_read() -> None:
    found = explain(mlp(opset=newest_opset()), X).relevance["x"]
    assert np.array_equal(found, explain(mlp(), X).relevance["x"])


@pytest.mark.parametrize("opset", [0, -1])
def test_an_opset_that_does_not_exist_is_refused(opset: int) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load(mlp(opset=opset))


@pytest.mark.parametrize("ir", [3, 10, 14, 99])
def test_the_format_version_does_not_matter(ir: int) -> None:
    found = explain(mlp(ir=ir), X).relevance["x"]
    assert np.array_equal(found, explain(mlp(), X).relevance["x"])


def test_a_model_without_opsets_or_outputs_is_refused() -> None:
    with pytest.raises(ModelError, match="opset_import is empty"):
        load(changed(lambda m: m.ClearField("opset_import")))
    with pytest.raises(ModelError, match="no outputs"):
        load(changed(lambda m: m.graph.ClearField("output")))
    with pytest.raises(ModelError, match="without a graph"):
        load(onnx.ModelProto(ir_version=10))


def test_what_onnxruntime_refuses_is_a_model_error() -> None:
    def unknown_attribute(proto: onnx.ModelProto) -> None:
        proto.graph.node[1].attribute.add(name="bogus", i=1, type=onnx.AttributeProto.INT)

    with pytest.raises(ModelError, match=r"onnxruntime does not load it.*bogus"):
        Explainer(changed(unknown_attribute))


def test_external_data_inside_a_constant_are_refused_outside_the_folder(path: Path) -> None:
    def constant(proto: onnx.ModelProto) -> None:
        tensor = TensorProto(name="t", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="../secret")
        proto.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))

    path.write_bytes(changed(constant).SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder"):
        load(path)


def test_a_model_with_other_nodes_is_another_one() -> None:
    before = load(mlp())
    text, nodes = before.proto.SerializeToString(), list(before.proto.graph.node)
    more = onnx.helper.make_node("Mul", [nodes[-1].output[0], "two"], ["twice"])
    outputs = [onnx.helper.make_tensor_value_info("twice", TensorProto.FLOAT, None)]
    after = before.with_nodes(
        [more, *nodes], {"two": np.full(2000, 2, np.float32)}, outputs=outputs
    )
    assert before.proto.SerializeToString() == text
    assert [n.name for n in after.proto.graph.node] == [*(n.name for n in nodes), "twice"]
    assert (
        after.weights.keys() - before.weights.keys()
        == {"two"}
        == after.aside.keys() - before.aside.keys()
    )
    stored = {t.name: t.data_location for t in after.proto.graph.initializer}
    assert stored["two"] == TensorProto.EXTERNAL
    with pytest.raises(ModelError, match="makes the tensor 'twice', which exists already"):
        after.with_nodes([more, *nodes, more])


def test_a_renamed_node_reads_new_names_in_its_bodies() -> None:
    inner = onnx.helper.make_node("Add", ["x", "own"], ["sum"])
    own = onnx.helper.make_node("Neg", ["x"], ["own"])
    body = onnx.helper.make_graph(
        [own, inner], "body", [], [onnx.helper.make_empty_tensor_value_info("sum")]
    )
    given = onnx.helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    made = renamed(given, {"x": "a", "own": "b", "y": "z", "sum": "s"})
    assert [*made.input, *made.output] == ["c", "z"]
    for graph in subgraphs(made):
        assert [list(n.input) for n in graph.node] == [["a"], ["a", "own"]]
        assert [o.name for o in graph.output] == ["sum"]
    assert given.output[0] == "y"


@pytest.mark.parametrize(("stated", "runs"), [(0, 8), (10, 10), (99, MAX_IR)])
def test_a_model_runs_whatever_ir_version_its_file_states(stated: int, runs: int) -> None:
    proto = mlp()
    proto.ir_version = stated
    assert load(proto).proto.ir_version == runs
    assert np.array_equal(explain(proto, X).relevance["x"], explain(mlp(), X).relevance["x"])


def test_a_model_that_does_not_run_is_named() -> None:
    wrong = load(mlp())
    node = wrong.proto.graph.node[0]
    asking = wrong.with_nodes(wrong.proto.graph.node, {node.input[1]: normal(3, 9)})
    with pytest.raises(ModelError, match="onnxruntime does not load it"):
        asking.session()
