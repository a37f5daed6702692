"""Explain models in every way there is, and check what must hold of every explanation.

`python scripts/check_models.py [FILE.onnx ...]` feeds each model random inputs, 32 entries along
open axes; without files, the classic networks of the onnx package with random weights. In those
some maxima tie up to rounding, and may be told apart otherwise in a compiled model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

import backtrace_onnx as bt

sys.path.append(str(Path(__file__).parent / "bench"))
from networks import CLASSICS, light
from speed import session

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Explain = Callable[..., bt.Explanation]
ALIKE = {
    "default": 1e-5,
    "contrastive": 1e-5,
    "epsilon(absolute=1e-6)": 1e-3,
}  # epsilon divides by p - n


def distance(wanted: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """Largest difference, relative to the largest entry of its tensor."""
    far = (np.abs(x - found[n]).max() / (np.abs(x).max() or 1) for n, x in wanted.items())
    return float(np.max([*far]))  # NaN stays NaN


def opening(found: bt.Explanation) -> float:
    """How far the books are open, as a whole and node by node, relative to what moved."""
    total = found.ledger.total()
    moved = max(np.abs(x).max() for x in (total.start, total.inputs, total.constants)) or 1
    nodes = (np.abs(entry.residual).max() / moved for entry in found.ledger.values())
    return float(np.max([total.relative_residual, *nodes]))


def wrong_shapes(proto: onnx.ModelProto, feeds: Arrays, found: Mapping[str, Array]) -> int:
    """How many of the file's tensors have relevance of another shape."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    names = [out for node in proto.graph.node for out in node.output if out in found]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    del exposed.graph.output[: len(proto.graph.output)]
    values = session(exposed.SerializeToString()).run(names, feeds)
    return sum(found[name].shape != x.shape for name, x in zip(names, values, strict=True))


def random_feeds(explainer: bt.Explainer, samples: int) -> Arrays:
    """Random inputs as the model declares them; `samples` where the first axis is open."""
    rng, feeds = np.random.default_rng(0), {}
    for name in explainer.graph.inputs:
        kind = explainer.graph.type(name)
        sizes = zip(kind.shape or (), [samples, *[32] * 9], strict=False)
        shape = [n if isinstance(n, int) else size for n, size in sizes]
        dtype = helper.tensor_dtype_to_np_dtype(kind.dtype)
        made = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        feeds[name] = np.asarray(made, dtype)
    return feeds


def eager(proto: onnx.ModelProto, explain: Explain, feeds: Arrays) -> Iterator[tuple[str, float]]:
    """What holds of the eager engine."""
    every, once = explain(feeds, keep="all"), explain(feeds)
    middle = [*every.relevance][len(every.relevance) // 2]
    yield "books", opening(every)
    yield "shapes", wrong_shapes(proto, feeds, every.relevance)
    yield "repeated", distance(once.relevance, every.relevance)
    yield "inner", 0 if middle in feeds else opening(explain(feeds, output=middle))
    if all(axis == 0 for axis in once.axes.values()):
        count = min(len(x) for x in feeds.values())
        alone = [explain({k: x[i : i + 1] for k, x in feeds.items()}) for i in range(count)]
        joined = {k: np.concatenate([found.relevance[k] for found in alone]) for k in feeds}
        yield "batch", distance(joined, once.relevance)


def compiled(explainer: bt.Explainer, several: list[Arrays], mode: str) -> float:
    """Distance of a valid file, in a plain session, from the eager engine."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "explained.onnx")
        explainer.compile(path, mode=mode)
        onnx.checker.check_model(path)
        plain = session(path)
    worst = []
    for feeds, target in product(several, (None, 0)):
        extra = {} if target is None else {"target": np.array([target])}
        made = plain.run([f"relevance/{name}" for name in feeds], {**feeds, **extra})
        wanted = explainer.explain(feeds, mode=mode, target=target).relevance
        worst.append(distance(wanted, dict(zip(feeds, made, strict=True))))
    return float(np.max(worst))


def check(name: str, proto: onnx.ModelProto) -> bool:
    """Print a row per mode; whether all holds."""
    explainer, holds = bt.Explainer(proto), True
    several = [random_feeds(explainer, 3), random_feeds(explainer, 1)]
    for mode, far in ALIKE.items():
        limits = {"books": 1e-4, "inner": 1e-4, "batch": far, "compiled": far}
        begun = time.perf_counter()
        found = dict(eager(proto, partial(explainer.explain, mode=mode), several[0]))
        found["compiled"] = compiled(explainer, several, mode)
        marks = {what: "" if value <= limits.get(what, 0) else "!" for what, value in found.items()}
        row = "  ".join(f"{what} {value:.0e}{marks[what]}" for what, value in found.items())
        seconds = time.perf_counter() - begun
        print(f"{name[:30]:30} {len(proto.graph.node):4} {mode:11} {seconds:5.1f} s  {row}")
        holds &= not any(marks.values())
    return holds


def main() -> int:
    files, holds = [Path(argument) for argument in sys.argv[1:]], True
    for name in [path.name for path in files] or CLASSICS:
        proto = onnx.load(files.pop(0)) if files else light(name)[0]
        try:
            holds &= check(name, proto)
        except bt.BacktraceError as error:
            print(f"{name[:30]:30} refused: {error}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
