"""From torch modules to .onnx: right, verified, or refused with nothing written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backtrace_onnx import ExportError
from backtrace_onnx.exporters import ExportWarning, from_torch, writing

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torch.manual_seed(0)
    yield


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4 * 36, 3))

    def forward(self, image: Any) -> Any:
        return self.head(torch.relu(self.bn(self.conv(image))))


class Nested(nn.Module):
    """Takes a tensor, a dict and a number; returns a dict with a tuple in it."""

    def forward(self, x: Any, more: Any, factor: float = 1.0) -> Any:
        return {"product": x * factor, "rest": (more["k"] + 1, x.sum(-1))}


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: Any) -> Any:
        return self.head(self.encoder(self.embed(ids))[:, 0])


class Routed(nn.Module):
    """A mixture of experts whose choice is Python's: tracing keeps the example's."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Any) -> Any:
        return self.experts[int(x.mean(0)[:3].argmax())](x)


class Fixed(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + torch.ones(2, 1)


def run(path: Path, **feeds: Any) -> list[Any]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_a_network(exporter: Any, tmp_path: Path) -> None:
    module = Convolutional().train()
    path = tmp_path / "net.onnx"
    made = from_torch(module, torch.randn(1, 3, 6, 6), path, exporter=exporter)
    assert module.training and module.bn.training
    assert made.inputs == {"image": "float32[batch, 3, 6, 6]"}
    assert made.outputs == {"output": "float32[batch, 3]"}
    assert made.verified and made.difference < 1e-5
    assert made.files == (path,) and list(tmp_path.iterdir()) == [path]
    x = torch.randn(5, 3, 6, 6)
    expected = module.eval()(x).detach().numpy()
    np.testing.assert_allclose(run(path, image=x.numpy())[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_nested_arguments_and_returns_have_names(exporter: Any, tmp_path: Path) -> None:
    example = (torch.randn(2, 4), {"k": torch.randn(2, 3)}, 2.0)
    made = from_torch(Nested(), example, tmp_path / "n.onnx", exporter=exporter)
    assert list(made.inputs) == ["x", "more.k"]
    assert list(made.outputs) == ["product", "rest.0", "rest.1"]
    y = run(tmp_path / "n.onnx", **{"x": np.ones((3, 4), "f"), "more.k": np.zeros((3, 3), "f")})
    np.testing.assert_array_equal(y[0], np.full((3, 4), 2.0))


def test_names_are_given_and_keywords_taken(tmp_path: Path) -> None:
    made = from_torch(
        nn.Linear(4, 2),
        {"input": torch.randn(2, 4)},
        tmp_path / "n.onnx",
        input_names=["features"],
        output_names=["logits"],
    )
    assert made.inputs == {"features": "float32[batch, 4]"}
    assert made.outputs == {"logits": "float32[batch, 2]"}


def test_sequences_are_open_too(tmp_path: Path) -> None:
    made = from_torch(Encoder(), torch.randint(0, 10, (1, 6)), tmp_path / "e.onnx")
    assert made.inputs == {"ids": "int64[batch, sequence]"}


def test_transformer_encoder_in_the_legacy_exporter(tmp_path: Path) -> None:
    """The fast path has no ONNX form; lengths are fixed by the exporter, which is said."""
    fast = torch.backends.mha.get_fastpath_enabled()
    example = torch.randint(0, 10, (1, 6))
    with pytest.warns(ExportWarning, match="only the batch is open"):
        made = from_torch(Encoder(), example, tmp_path / "e.onnx", exporter="legacy")
    assert made.inputs == {"ids": "int64[batch, 6]"}
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_axes_are_fixed_or_named_on_request(tmp_path: Path) -> None:
    convolution = nn.Conv1d(4, 2, 3)
    x = torch.randn(2, 4, 9)
    path = tmp_path / "c.onnx"
    made = from_torch(convolution, x, path, dynamic=False)
    assert made.inputs == {"input": "float32[2, 4, 9]"}
    made = from_torch(convolution, x, path, dynamic={"input": {0: "n", 2: "length"}})
    assert made.inputs == {"input": "float32[n, 4, length]"}
    assert from_torch(convolution, x, path).inputs == {"input": "float32[batch, 4, 9]"}
    with pytest.raises(ExportError, match="no input 'y'; there are: input"):
        from_torch(convolution, x, path, dynamic={"y": {0: "n"}})
    with pytest.raises(ExportError, match="has no axis 3"):
        from_torch(convolution, x, path, dynamic={"input": {3: "n"}})


def test_a_fixed_batch_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"batch of another size.*dynamic=False"):
        from_torch(Fixed(), torch.randn(2, 4), tmp_path / "f.onnx")
    made = from_torch(Fixed(), torch.randn(2, 4), tmp_path / "f.onnx", dynamic=False)
    assert made.inputs == {"x": "float32[2, 4]"}


def test_a_wrong_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"output 'output' on random inputs.*difference \d") as e:
        from_torch(Routed(), torch.randn(4, 4), tmp_path / "moe.onnx", exporter="legacy")
    assert "Nothing was written" in str(e.value)
    assert not list(tmp_path.iterdir())


def test_an_earlier_file_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "moe.onnx"
    path.write_text("earlier")
    with pytest.raises(ExportError, match="computes something else"):
        from_torch(Routed(), torch.randn(4, 4), path, exporter="legacy")
    assert path.read_text() == "earlier"


def test_verification_can_be_turned_off(tmp_path: Path) -> None:
    made = from_torch(
        Routed(), torch.randn(4, 4), tmp_path / "m.onnx", exporter="legacy", verify=False
    )
    assert not made.verified and made.path.is_file()


def test_what_dynamo_cannot_do_goes_to_legacy_and_is_said(tmp_path: Path) -> None:
    class Looped(nn.Module):
        def forward(self, x: Any) -> Any:
            if bool((x > 1e9).any()):
                return x * 0
            return x * 2

    with pytest.raises(ExportError, match=r"torch\.export cannot export the module"):
        from_torch(Looped(), torch.randn(2, 4), tmp_path / "l.onnx", exporter="dynamo")
    assert not list(tmp_path.iterdir())
    with pytest.warns(ExportWarning, match="legacy exporter instead"):
        made = from_torch(Looped(), torch.randn(2, 4), tmp_path / "l.onnx")
    assert made.exporter == "torch (legacy)"


def test_invalid_opsets_are_refused(tmp_path: Path) -> None:
    for opset, exporter in ((27, "dynamo"), (26, "auto"), (21, "legacy"), (3, "dynamo")):
        with pytest.raises(ExportError, match=f"opset {opset}: .* do 7 to"):
            from_torch(
                nn.Linear(2, 2),
                torch.randn(2, 2),
                tmp_path / "o.onnx",
                opset=opset,
                exporter=exporter,  # type: ignore[arg-type]
            )
    made = from_torch(nn.Linear(2, 2), torch.randn(2, 2), tmp_path / "o.onnx", opset=23)
    assert made.opset == 23


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_many_weights_lie_beside_the_model(
    exporter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "EMBEDDED_BYTES", 10_000)
    path = tmp_path / "large.onnx"
    module = nn.Linear(64, 64)
    made = from_torch(module, torch.randn(2, 64), path, exporter=exporter)
    assert made.files == (path, tmp_path / "large.onnx.data")
    assert sorted(tmp_path.iterdir()) == sorted(made.files)
    assert path.stat().st_size < 10_000
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in made.files:
        file.rename(moved / file.name)
    expected = module(torch.ones(3, 64)).detach().numpy()
    found = run(moved / "large.onnx", input=np.ones((3, 64), np.float32))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_half_precision_has_its_own_tolerance(tmp_path: Path) -> None:
    made = from_torch(nn.Linear(8, 2).half(), torch.randn(2, 8).half(), tmp_path / "h.onnx")
    assert made.inputs == {"input": "float16[batch, 8]"}
    with pytest.raises(ExportError, match="allowed: 1e-12 of that"):
        from_torch(nn.Linear(8, 2), torch.randn(2, 8), tmp_path / "t.onnx", tolerance=1e-12)


def test_wrong_use_is_told(tmp_path: Path) -> None:
    layer, x, path = nn.Linear(4, 2), torch.randn(2, 4), tmp_path / "m.onnx"
    with pytest.raises(ExportError, match="does not run on the example: mat1 and mat2"):
        from_torch(layer, torch.randn(2, 3), path)
    with pytest.raises(ExportError, match="holds no tensor"):
        from_torch(layer, (), path)
    with pytest.raises(ExportError, match=r"2 input name\(s\) for 1 tensor"):
        from_torch(layer, x, path, input_names=["a", "b"])
    with pytest.raises(ExportError, match=r"2 output name\(s\) for 1 output"):
        from_torch(layer, x, path, output_names=["a", "b"])
    with pytest.raises(ExportError, match="no folder"):
        from_torch(layer, x, tmp_path / "absent" / "m.onnx")
    with pytest.raises(ExportError, match="is a folder"):
        from_torch(layer, x, tmp_path)
    with pytest.raises(ExportError, match="exporter is auto, dynamo or legacy"):
        from_torch(layer, x, path, exporter="onnx")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_without_torch_the_pip_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ExportError, match=r"pip install 'backtrace-onnx\[torch\]'"):
        from_torch(nn.Linear(4, 2), None, tmp_path / "m.onnx")


def test_the_file_is_valid_and_loads(tmp_path: Path) -> None:
    from_torch(nn.Linear(4, 2), torch.randn(2, 4), tmp_path / "m.onnx")
    onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)


@pytest.mark.filterwarnings("ignore")
def test_narrow_modules_are_exported_or_refused_with_a_way_out(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    x = torch.randn(2, 6)
    quantise = torch.ao.quantization.quantize_dynamic
    with pytest.raises(ExportError, match=r"onnxruntime\.quantization\.quantize_dynamic"):
        from_torch(quantise(net, {torch.nn.Linear}), x, tmp_path / "m.onnx", exporter="legacy")
    with pytest.raises(ExportError, match=r"bfloat16: export the model in float32"):
        from_torch(net.bfloat16(), x.bfloat16(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
