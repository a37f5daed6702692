"""Where a compiled model's time goes: by operator, relative to a plain run of the model.

`python scripts/bench/breakdown.py [network] [mode]` prints a Markdown table from onnxruntime's own
profile. Its last row adds up the products (convolutions and matrix products, the model's own among
them): the least that any elementwise pass comes on top of.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnxruntime as ort
from networks import NETWORKS, Feeds

import backtrace_onnx as bt

ROUNDS = 12
PRODUCTS = ("Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul")


def profile(model: str | bytes, feeds: Feeds, folder: str) -> tuple[Counter[str], Counter[str]]:
    """(milliseconds, nodes) of a run, by operator."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder, "profile"))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for _ in range(ROUNDS):
        session.run(None, feeds)
    times, nodes = Counter[str](), Counter[str]()
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"] / ROUNDS / 1e3
            nodes[event["args"]["op_name"]] += 1
    return times, Counter({operator: count // ROUNDS for operator, count in nodes.items()})


def main() -> None:
    """Print the table."""
    name, mode = (*sys.argv[1:], *("resnet50", "default")[len(sys.argv) - 1 :])
    model, feeds, task = NETWORKS[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "explained.onnx"))
        bt.compile(model, path, mode=mode, task=task)
        plain = profile(model.SerializeToString(), feeds, folder)[0].total()
        times, nodes = profile(path, feeds, folder)
    print(f"| {name}, {mode} | nodes | time | of a plain run ({plain:.1f} ms) |\n|---|---|---|---|")
    for operator, took in times.most_common():
        if took > plain / 100:
            print(f"| {operator} | {nodes[operator]} | {took:.1f} ms | {took / plain:.2f}x |")
    products = sum(times[operator] for operator in PRODUCTS)
    for what, took in (("all", times.total()), ("products alone", products)):
        print(f"| {what} | | {took:.1f} ms | {took / plain:.2f}x |")


if __name__ == "__main__":
    main()
