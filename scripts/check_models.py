"""Explain models in every way there is, and check what must hold of every explanation.

`python scripts/check_models.py [--size N] [FILE.onnx ...]` feeds each model random inputs (open
axes have N entries), or the arrays of `FILE.npz` beside it; without files, the classic networks
shipped in the onnx package with random weights. Prints a row per model and mode, with the time of
an explanation relative to a plain run; exits with 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

import backtrace_onnx as bt

sys.path.append(str(Path(__file__).parent / "bench"))
from networks import CLASSICS, light

Feeds = dict[str, npt.NDArray[Any]]
ALIKE = {"default": 1e-5, "contrastive": 1e-5, "epsilon": 1e-3}  # epsilon divides by p - n
CLOSED = {"default": 1e-4, "contrastive": 1e-4, "epsilon": 1e-3}
TINY = 1e-30


@dataclass
class Check:
    """A model in one mode; `wrong` says what does not hold."""

    proto: onnx.ModelProto
    explainer: bt.Explainer
    feeds: Feeds
    mode: str
    residual: float = 0.0
    compiled: float = 0.0
    slower: float = 0.0
    wrong: dict[str, None] = field(default_factory=dict)

    def hold(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong[otherwise] = None

    def alike(self, wanted: Feeds, found: Feeds, what: str) -> float:
        """Largest distance relative to a tensor's largest entry."""
        far = 0.0
        for name, a in wanted.items():
            same = a.shape == found[name].shape
            self.hold(same, f"{what}: {name} is {found[name].shape}, not {a.shape}")
            if same:
                far = max(far, float(np.abs(a - found[name]).max() / max(np.abs(a).max(), TINY)))
        self.hold(far <= ALIKE[self.mode], f"{what}: {far:.1e} apart")
        return far

    def explain(self, feeds: Feeds, **options: Any) -> dict[str, npt.NDArray[Any]]:
        """Relevance, finite, from an explanation whose books close."""
        found = self.explainer.explain(feeds, mode=self.mode, **options)
        residual = found.ledger.total().relative_residual
        self.residual = max(self.residual, residual)
        self.hold(residual <= CLOSED[self.mode], f"the ledger is open by {residual:.1e}")
        for entry in found.ledger.values():
            moved = max(np.abs(x).max() for x in (entry.incoming, entry.data, entry.constants))
            gap = float(np.abs(entry.residual).max() / max(moved, TINY))
            self.hold(gap <= CLOSED[self.mode], f"node {entry.node} is open by {gap:.1e}")
        for name, r in found.relevance.items():
            self.hold(bool(np.isfinite(r).all()), f"{name} is not finite")
        return dict(found.relevance)

    def run(self) -> None:
        """Everything."""
        every = self.explain(self.feeds, keep="all")
        begun = time.perf_counter()
        once = self.explain(self.feeds)
        seconds = time.perf_counter() - begun
        again = all(np.array_equal(r, every[name]) for name, r in once.items())
        self.hold(again, "two runs differ")
        traced, plain = traced_run(self.proto, self.feeds, [*every])
        self.slower = seconds / plain
        for name, value in traced.items():
            self.hold(every[name].shape == value.shape, f"{name}: {every[name].shape}")
        middle = [*every][len(every) // 2]
        if middle not in self.feeds:
            self.explain(self.feeds, output=middle)
        batch = batch_of_three(self.explainer, self.feeds)
        if batch:
            singles = [self.explain({k: v[i : i + 1] for k, v in batch.items()}) for i in range(3)]
            joined = {k: np.concatenate([r[k] for r in singles]) for k in once}
            self.alike(joined, self.explain(batch), "batch and singles")
        self.check_compiled([self.feeds, batch] if batch else [self.feeds], middle)

    def check_compiled(self, feeds: list[Feeds], middle: str) -> None:
        """The file is valid, runs in a plain session and returns what the eager engine does."""
        tensors = list(dict.fromkeys([*self.feeds, middle]))
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "explained.onnx")
            self.explainer.compile(path, mode=self.mode, tensors=tensors)
            onnx.checker.check_model(path)
            run = session(path)
        for given in feeds:
            for target in (None, 0):
                extra = {} if target is None else {"target": np.array([target])}
                made = run.run([f"relevance/{t}" for t in tensors], {**given, **extra})
                wanted = self.explain(given, keep=[middle], target=target)
                found = dict(zip(tensors, made, strict=True))
                far = self.alike(wanted, found, f"compiled, target {target}")
                self.compiled = max(self.compiled, far)


def session(model: onnx.ModelProto | str) -> ort.InferenceSession:
    """A plain session."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    given = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def traced_run(proto: onnx.ModelProto, feeds: Feeds, names: list[str]) -> tuple[Feeds, float]:
    """The tensors of these names that the file has, and the seconds of a plain run without them."""
    plain, exposed = session(proto), onnx.ModelProto()
    plain.run(None, feeds)
    begun = time.perf_counter()
    plain.run(None, feeds)
    seconds = time.perf_counter() - begun
    exposed.CopyFrom(proto)
    made = {o for node in proto.graph.node for o in node.output}
    wanted = [name for name in names if name in made]
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    values = session(exposed).run(wanted, feeds) if wanted else []
    return dict(zip(wanted, values, strict=True)), seconds


def random_feeds(explainer: bt.Explainer, size: int, samples: int = 1) -> Feeds:
    """Random inputs as the model declares them."""
    rng, feeds = np.random.default_rng(0), {}
    for name in explainer.graph.inputs:
        kind = explainer.graph.type(name)
        shape = [n if isinstance(n, int) else size for n in kind.shape or ()]
        if kind.shape and not isinstance(kind.shape[0], int):
            shape[0] = samples
        dtype = helper.tensor_dtype_to_np_dtype(kind.dtype)
        made = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        feeds[name] = np.asarray(made, dtype)
    return feeds


def batch_of_three(explainer: bt.Explainer, feeds: Feeds) -> Feeds | None:
    """Three samples like these, where every input has an open first axis."""
    types = [explainer.graph.type(name).shape for name in feeds]
    if any(not shape or isinstance(shape[0], int) for shape in types):
        return None
    return {name: np.concatenate([x, x[..., ::-1], 1 - x]) for name, x in feeds.items()}


def subjects(files: list[Path], size: int) -> Iterator[tuple[str, onnx.ModelProto, Feeds | None]]:
    """Name, model and inputs."""
    for path in files:
        beside = path.with_suffix(".npz")
        yield path.name, onnx.load(path), dict(np.load(beside)) if beside.exists() else None
    for name in [] if files else CLASSICS:
        yield name, *light(name)


def main() -> int:
    """Check every model in every mode."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--size", type=int, default=32)
    arguments = parser.parse_args()
    print(f"{'model':32} {'nodes':>5} {'mode':12} {'x run':>6} {'residual':>9} {'compiled':>9}")
    wrong = 0
    for name, proto, given in subjects(arguments.files, arguments.size):
        start = f"{name[:32]:32} {len(proto.graph.node):5}"
        try:
            explainer = bt.Explainer(proto)
            for mode in ALIKE:
                feeds = given or random_feeds(explainer, arguments.size)
                check = Check(proto, explainer, feeds, mode)
                check.run()
                row = f"{check.slower:6.1f} {check.residual:9.1e} {check.compiled:9.1e}"
                print(f"{start} {mode:12} {row}", *check.wrong, sep="\n    ", flush=True)
                wrong += len(check.wrong)
        except bt.BacktraceError as error:
            print(f"{start} refused: {error}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
