"""Signed modes beside torch's own gradient, captum, zennit and lxt, on the same networks.

Each network is written in torch, exported, and explained by both sides in one process, turn by
turn. Ours are told relative to a plain run by onnxruntime, theirs to one by torch. Processor time
of all threads is compared, or wall time with --wall.

    python scripts/bench/peers.py [--rounds N] [--wall] [network ...]

It needs torch, and of captum, zennit and lxt measures what is installed (`pip install --no-deps
captum zennit lxt`). zennit imports torchvision for classes that are not used here, and lxt modules
that newer releases of transformers lack: empty modules stand in for them.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from speed import medians, session
from torch import Tensor
from torch_networks import TORCH_NETWORKS, Rules, made

import backtrace_onnx as bt

TARGET = 7
STEPS = 4
OURS = {
    "resnet50": ("gradient", "lrp", "deeplift", f"integrated_gradients(steps={STEPS})"),
    "vit-small": ("gradient", "lrp", "attnlrp", f"integrated_gradients(steps={STEPS})"),
    "bert-base, 4 layers": ("gradient", "lrp", "attnlrp", f"integrated_gradients(steps={STEPS})"),
}
Runs = dict[str, Callable[[], object]]


def exported(module: Any, x: Tensor) -> bytes:
    """The module as an .onnx file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (x,), file, dynamo=False, opset_version=17, input_names=["x"],
            output_names=["y"],
        )  # fmt: skip
    return file.getvalue()


def ours(name: str, file: bytes, x: Any, folder: Path) -> Runs:
    """A plain run, and every mode by both engines."""
    explainer = bt.Explainer(file)
    runs: Runs = {"onnxruntime": partial(session(file).run, None, {"x": x})}
    for i, mode in enumerate(OURS[name]):
        compares = mode.startswith(("deeplift", "integrated"))
        how = {"baseline": "zeros"} if compares else {}
        path = str(folder / f"{name}{i}.onnx")
        explainer.compile(path, mode=mode, target=TARGET, **how)
        short = mode.partition("(")[0]
        runs[f"{short}, compiled"] = partial(session(path).run, None, {"x": x})
        runs[f"{short}, eager"] = partial(explainer.explain, x, mode=mode, target=TARGET, **how)
    return runs


def gradient(module: Any, x: Tensor) -> Tensor:
    """By torch's autograd."""
    given = x.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(module(given)[:, TARGET].sum(), given)
    return found


def plainly(module: Any, x: Tensor) -> Tensor:
    """What torch answers."""
    with torch.no_grad():
        answer: Tensor = module(x)
    return answer


def captum(name: str, module: Any, x: Tensor) -> Runs:
    """Integrated gradients, and DeepLIFT where it knows the functions of the network."""
    attr: Any = importlib.import_module("captum.attr")
    walks = attr.IntegratedGradients(module)
    points = {"target": TARGET, "n_steps": STEPS, "internal_batch_size": STEPS}
    runs: Runs = {"captum integrated_gradients": partial(walks.attribute, x, **points)}
    if name == "resnet50":
        runs["captum deeplift"] = partial(attr.DeepLift(module).attribute, x, target=TARGET)
    return runs


def zennit(name: str, module: Any, x: Tensor) -> Runs:
    """LRP-epsilon of convolutional networks."""
    if name != "resnet50":
        return {}
    if importlib.util.find_spec("torchvision") is None:
        for part in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
            stand_in: Any = types.ModuleType(part)
            stand_in.Bottleneck = type("Bottleneck", (torch.nn.Module,), {})
            stand_in.BasicBlock = type("BasicBlock", (torch.nn.Module,), {})
            sys.modules[part] = stand_in
    composites: Any = importlib.import_module("zennit.composites")
    rules: Any = importlib.import_module("zennit.rules")
    kinds: Any = importlib.import_module("zennit.types")
    layers: list[Any] = [
        (kinds.Activation, rules.Pass()), (kinds.Linear, rules.Epsilon()),
        (kinds.BatchNorm, rules.Epsilon()),
    ]  # fmt: skip
    composite = composites.LayerMapComposite(layers)

    def run() -> Tensor:
        with composite.context(module) as hooked:
            return gradient(hooked, x)

    return {"zennit lrp": run}


def lxt(name: str, module: Any, x: Tensor) -> Runs:
    """AttnLRP of transformers, by lxt's rules (arXiv 2402.05602)."""
    if name == "resnet50":
        return {}
    package: Any = importlib.import_module("lxt")
    stand_in: Any = types.ModuleType("lxt.efficient")
    stand_in.__path__ = [str(Path(package.__path__[0], "efficient"))]
    sys.modules["lxt.efficient"] = stand_in
    rules: Any = importlib.import_module("lxt.efficient.rules")

    class AttnLrp(Rules):
        def function(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
            found: Tensor = rules.identity_rule_implicit(f, x)
            return found

        def product(self, a: Tensor, b: Tensor) -> Tensor:
            found: Tensor = rules.divide_gradient(a @ b, 2)
            return found

        def norm(self, layer: torch.nn.LayerNorm, x: Tensor) -> Tensor:
            centre = x - x.mean(-1, keepdim=True)
            variance = centre.square().mean(-1, keepdim=True) + layer.eps
            return centre * rules.stop_gradient(variance.rsqrt()) * layer.weight + layer.bias

    def run() -> Tensor:
        module.follow(AttnLrp())
        found = gradient(module, x) * x
        module.follow(Rules())
        return found

    return {"lxt attnlrp": run}


def theirs(name: str, module: Any, x: Tensor) -> Runs:
    """A plain run by torch, and every peer that is installed."""
    runs: Runs = {
        "torch": partial(plainly, module, x),
        "torch gradient": partial(gradient, module, x),
    }
    for peer in (captum, zennit, lxt):
        if importlib.util.find_spec(peer.__name__) is None:
            print(f"{peer.__name__} is not installed", file=sys.stderr)
            continue
        runs.update(peer(name, module, x))
    return runs


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("networks", nargs="*", default=list(TORCH_NETWORKS))
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", module="captum|zennit|torch")
    torch.set_num_threads(1)  # more wait for each other in loops, which is processor time, too
    print("| network | what | relative to a plain run |\n|---|---|---|")
    for name in asked.networks:
        module, x = made(name)
        with tempfile.TemporaryDirectory() as folder:
            runs = ours(name, exported(module, x), x.numpy(), Path(folder))
            found = medians({**runs, **theirs(name, module, x)}, asked.rounds, cpu=not asked.wall)
        for what, seconds in found.items():
            plain = found["onnxruntime" if what in runs else "torch"]
            told = f"{seconds / plain:.2f}" if what not in ("onnxruntime", "torch") else ""
            print(f"| {name} | {what} | {told or f'{seconds * 1e3:.0f} ms'} |", flush=True)


if __name__ == "__main__":
    main()
