"""Models that transformers' optimiser fuses for GPUs are explained on a CPU, and as exported."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.expansions.checks import MODES, assert_alike, explained, numbers
from tests.expansions.test_optimised import IDS, MASK, First, bert

torch = pytest.importorskip("torch", reason="exports need torch")
pytest.importorskip("onnxruntime.transformers.optimizer", reason="it fuses the models")

SIZE, HEADS = 16, 2


class Residual(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two convolutions after group normalisations, and a step in time, as in diffusion models."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = torch.nn.ModuleList(torch.nn.GroupNorm(4, SIZE) for _ in range(2))
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv2d(SIZE, SIZE, 3, padding=1) for _ in range(2)
        )
        self.time = torch.nn.Linear(8, SIZE)

    def forward(self, x: Any, t: Any) -> Any:
        silu = torch.nn.functional.silu
        h = self.convs[0](silu(self.norms[0](x))) + self.time(silu(t))[:, :, None, None]
        return x + self.convs[1](silu(self.norms[1](h)))


class Diffusion(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two residual blocks and a gated feed-forward between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = (
            torch.nn.Conv2d(*sizes, 3, padding=1) for sizes in ((3, SIZE), (SIZE, 3))
        )
        self.blocks = torch.nn.ModuleList(Residual() for _ in range(2))
        self.norm, self.group = torch.nn.LayerNorm(SIZE), torch.nn.GroupNorm(4, SIZE)
        self.up, self.down = torch.nn.Linear(SIZE, 8 * SIZE), torch.nn.Linear(4 * SIZE, SIZE)

    def forward(self, x: Any, t: Any) -> Any:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, t)
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n, h * w, c)
        value, gate = self.up(self.norm(rows)).chunk(2, -1)
        rows = rows + self.down(value * torch.nn.functional.gelu(gate))
        x = rows.reshape(n, h, w, c).permute(0, 3, 1, 2)
        return self.last(torch.nn.functional.silu(self.group(x)))


def exported(module: Any, feeds: dict[str, Any], path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(torch.tensor(x) for x in feeds.values()),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=list(feeds),
            output_names=["y"],
        )
    return path


def fused(path: Path, kind: str) -> Path:
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions(kind)
    options.enable_gemm_fast_gelu = True
    made = optimizer.optimize_model(
        *(str(path), kind, HEADS, SIZE),
        opt_level=0,
        optimization_options=options,
        use_gpu=True,
    )
    made.save_model_to_file(str(path.with_name("fused.onnx")))
    return path.with_name("fused.onnx")


def check(plain: Path, made: Path, feeds: dict[str, Any], wanted: Sequence[str]) -> None:
    """The fused model has these operators, and is explained as the plain one."""
    assert {*wanted} <= {n.op_type for n in onnx.load(made).graph.node}
    for mode in MODES:
        ours, theirs = (explained(str(p), feeds, mode, task="regression") for p in (made, plain))
        np.testing.assert_allclose(ours.outputs["y"], theirs.outputs["y"], atol=2e-5)
        assert_alike(ours, theirs)


def test_diffusion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    feeds = {"x": numbers(2, 3, 8, 8), "t": numbers(2, 8)}
    plain = exported(Diffusion(), feeds, tmp_path / "plain.onnx")
    wanted = ["GroupNorm", "SkipGroupNorm", "NhwcConv", "BiasSplitGelu"]
    check(plain, fused(plain, "unet"), feeds, wanted)


def test_a_packed_transformer(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the model is from transformers")
    from onnxruntime.transformers.convert_to_packing_mode import PackingMode
    from onnxruntime.transformers.onnx_model import OnnxModel

    torch.manual_seed(0)
    model = bert()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, weight.mean().item() if weight.dim() == 1 else 0, 0.3)
    feeds = {"input_ids": IDS, "attention_mask": MASK}
    plain = exported(First(model), feeds, tmp_path / "plain.onnx")
    packed = OnnxModel(onnx.load(fused(plain, "bert")))
    PackingMode(packed).convert(use_symbolic_shape_infer=False)
    packed.save_model_to_file(str(tmp_path / "packed.onnx"))
    wanted = ["RemovePadding", "PackedAttention", "RestorePadding"]
    check(plain, tmp_path / "packed.onnx", feeds, wanted)
