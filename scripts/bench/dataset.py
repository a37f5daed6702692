"""A data set explained: wall and processor time for each row beside the engine's, and memory.

The engine's own is `Explainer.explain` of as many rows at once, inputs encoded. A row of a data set
is what a further one takes: opening the model, once a run, is told apart. Every figure is of a
process of its own. `python scripts/bench/dataset.py [rows of the large data set]` prints tables.
"""

from __future__ import annotations

import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(__file__).resolve().parents[2] / "models"
ADULT, MNIST = MODELS / "adult_mlp.onnx", MODELS / "mnist_cnn.onnx"
SMALL, MORE, LARGE, BLOCK = 32_768, 262_144, 1_000_000, 10_000
TREES, DEPTH = 100, 5
KINDS = ("csv", "parquet", "wide", "trees", "digits")


def write_census(path: Path, rows: int) -> None:
    """Random rows with the columns and categories of the census model."""
    told = json.loads((MODELS / "adult_mlp.sidecar.json").read_text())
    features = next(iter(told["inputs"].values()))["features"]
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([feature["name"] for feature in features] + ["loan"])
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            columns = [_column(feature, count, rng) for feature in features]
            out.writerows(zip(*columns, rng.choice(["<=50K", ">50K"], count), strict=True))


def _column(feature: dict[str, Any], count: int, rng: np.random.Generator) -> Any:
    if "categories" in feature:
        return rng.choice(feature["categories"], count)
    return np.abs(rng.normal(feature["mean"], feature["std"], count)).round().astype(int)


def write_wide(path: Path) -> None:
    """A model of the census table with three layers of 256 random units, and its sidecar."""
    given = onnx.load(ADULT).graph
    width = given.input[0].type.tensor_type.shape.dim[1].dim_value
    name, answer = given.input[0].name, given.output[0].name
    rng, h, nodes, weights = np.random.default_rng(0), name, [], []
    for i, (a, b) in enumerate(pairwise((width, 256, 256, 256, 2))):
        w = (rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        y = f"y{i}" if b == 256 else answer
        nodes.append(helper.make_node("MatMul", [h, f"w{i}"], [y], f"fc{i}"))
        if b == 256:
            h = f"h{i}"
            nodes.append(helper.make_node("Relu", [y], [h], f"relu{i}"))
    float32 = TensorProto.FLOAT
    x = helper.make_tensor_value_info(name, float32, ["batch", width])
    y = helper.make_tensor_value_info(answer, float32, ["batch", 2])
    graph = helper.make_graph(nodes, "wide", [x], [y], weights)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    shutil.copy(MODELS / "adult_mlp.sidecar.json", path.with_suffix(".sidecar.json"))


def write_trees(path: Path) -> None:
    """100 trees of 32 leaves on the columns of the census, and their sidecar."""
    given = onnx.load(ADULT).graph.input[0]
    width, name = given.type.tensor_type.shape.dim[1].dim_value, given.name
    rng, inner = np.random.default_rng(0), 2**DEPTH - 1
    count, places = 2 * inner + 1, np.tile(np.arange(2 * inner + 1), TREES)
    ids, splits = np.repeat(np.arange(TREES), count), places < inner
    leaves = np.flatnonzero(~splits)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [name],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=ids.tolist(),
        nodes_nodeids=places.tolist(),
        nodes_featureids=rng.integers(0, width, len(ids)).tolist(),
        nodes_modes=np.where(splits, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_values=rng.normal(0, 0.5, len(ids)).tolist(),
        nodes_truenodeids=np.where(splits, 2 * places + 1, 0).tolist(),
        nodes_falsenodeids=np.where(splits, 2 * places + 2, 0).tolist(),
        nodes_missing_value_tracks_true=[0] * len(ids),
        target_treeids=ids[leaves].tolist(),
        target_nodeids=places[leaves].tolist(),
        target_ids=[0] * len(leaves),
        target_weights=rng.normal(size=len(leaves)).tolist(),
    )
    x = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([node], "trees", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    told = json.loads((MODELS / "adult_mlp.sidecar.json").read_text())
    path.with_suffix(".sidecar.json").write_text(json.dumps({"inputs": told["inputs"]}))


def prepare(folder: Path, large: int) -> None:
    """The files that are measured."""
    import pyarrow.csv
    import pyarrow.parquet

    write_wide(folder / "wide.onnx")
    write_trees(folder / "trees.onnx")
    write_census(folder / "large.csv", large)
    for name, rows in (("small", SMALL), ("more", MORE)):
        write_census(folder / f"{name}.csv", rows)
        table = pyarrow.csv.read_csv(folder / f"{name}.csv")
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    for name, rows in (("small", 1024), ("more", 4096)):
        pixels = np.random.default_rng(0).random((rows, 1, 28, 28), np.float32)
        np.savez(folder / f"{name}.npz", image=pixels)


def engine(folder: Path, kind: str) -> dict[str, float]:
    """Seconds for a row, of the engine alone."""
    explain, data = _opened(folder, kind)
    from backtrace_onnx.data.feeds import stream_feeds

    feeds, rows, _ = next(stream_feeds(explain, data))
    wall, spent = _least(lambda: explain.explanation(dict(feeds)))
    return {"wall": wall / rows, "row": spent / rows, "batch": rows}


def dataset(folder: Path, kind: str) -> dict[str, float]:
    """Seconds for a further row of a data set that is written to a folder, and before the first."""
    from backtrace_onnx import explain_dataset

    explain, small = _opened(folder, kind)
    model, options = explain._model, explain_options(kind)
    runs = (folder / f"out-{kind}-{i}" for i in range(20))
    found = []
    for data in (small, small.with_stem("more")):
        count = explain_dataset(model, data, next(runs), **options).rows

        def run(data: Path = data) -> None:
            explain_dataset(model, data, next(runs), **options)

        found.append((count, *_least(run, 3)))
    (few, *first), (many, *second) = found
    wall, spent = ((b - a) / (many - few) for a, b in zip(first, second, strict=True))
    return {"wall": wall, "row": spent, "begin": max(first[0] - few * wall, 0.0)}


def memory(folder: Path, what: str) -> dict[str, float]:
    """Peak memory in MB, and seconds of processor for a row."""
    from backtrace_onnx import explain_dataset, global_explanation

    options, started, rows = explain_options("csv"), time.process_time(), 1
    if what == "global":
        rows = global_explanation(ADULT, folder / "large.csv", by="class", **options).rows
    elif what == "one batch":
        engine(folder, "csv")
    else:
        rows = explain_dataset(ADULT, folder / f"{what}.csv", folder / f"m-{what}", **options).rows
    spent = (time.process_time() - started) / rows
    return {"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "row": spent}


def explain_options(kind: str) -> dict[str, Any]:
    mode = "paths" if kind == "trees" else "lrp"
    return {"mode": mode} if kind == "digits" else {"mode": mode, "labels": "loan"}


def _opened(folder: Path, kind: str) -> tuple[Any, Path]:
    from backtrace_onnx import ExplainBatches

    name = {"csv": "small.csv", "digits": "small.npz"}.get(kind, "small.parquet")
    own = {kind: folder / f"{kind}.onnx" for kind in ("wide", "trees")}
    model = {"digits": MNIST, **own}.get(kind, ADULT)
    return ExplainBatches(model, **explain_options(kind)), folder / name


def _least(run: Callable[[], object], times: int = 10) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, the least of several runs each."""
    run()
    wall, spent = [], []
    for _ in range(times):
        started, used = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started)
        spent.append(time.process_time() - used)
    return min(wall), min(spent)


def child(what: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, "child", what, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(large: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), large)
        print("| data | rows at once | engine: wall, processor | data set | ratio | beginning |")
        print("|---|---|---|---|---|---|")
        for kind in KINDS:
            own, whole = child("engine", name, kind), child("dataset", name, kind)
            print(f"| {kind} | {own['batch']:.0f} ", end="")
            for one in (own, whole):
                print(f"| {one['wall'] * 1e6:.1f}, {one['row'] * 1e6:.1f} us ", end="")
            ratios = ", ".join(f"{whole[by] / own[by]:.2f}" for by in ("wall", "row"))
            print(f"| {ratios} | {whole['begin']:.2f} s |", flush=True)
        print("\n| run | peak memory | processor, a row |")
        print("|---|---|---|")
        for what in ("one batch", "small", "large", "global"):
            found = child("memory", name, what)
            rows = {"small": SMALL, "large": large, "global": large}.get(what)
            spent = f"{found['row'] * 1e6:.1f} us" if rows else ""
            named = f"{what}, {rows:,} rows" if rows else what
            print(f"| {named} | {found['MB']:.0f} MB | {spent} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        told = {"engine": engine, "dataset": dataset, "memory": memory}[sys.argv[2]]
        print(json.dumps(told(Path(sys.argv[3]), sys.argv[4])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else LARGE)
