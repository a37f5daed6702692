"""Peak memory of an explanation relative to a run that keeps every tensor.

Every figure is the peak resident size of a process of its own.
`python scripts/bench/memory.py [network ...]` prints a Markdown table.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from networks import NETWORKS


def keep_all(name: str) -> None:
    """One onnxruntime run with every tensor of the graph as an output."""
    import onnx
    import onnxruntime as ort

    model, feeds, task = NETWORKS[name]()
    present = {o.name for o in model.graph.output}
    for node in model.graph.node:
        for out in node.output:
            if out and out not in present:
                model.graph.output.append(onnx.ValueInfoProto(name=out))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    del model
    session.run(None, feeds)


def eager(name: str) -> None:
    """One explanation by the eager engine."""
    import backtrace_onnx as bt

    model, feeds, task = NETWORKS[name]()
    explainer = bt.Explainer(model)
    del model
    explainer.explain(feeds)


def compiled(name: str) -> None:
    """One run of the compiled model, compiled beforehand."""
    import onnxruntime as ort

    feeds = NETWORKS[name]()[1]
    session = ort.InferenceSession(str(_file(name)), providers=["CPUExecutionProvider"])
    session.run(None, feeds)


def compile_it(name: str) -> None:
    """Write the compiled model for `compiled`."""
    import backtrace_onnx as bt

    bt.compile(NETWORKS[name]()[0], _file(name))


def _file(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"bench-{name}.onnx")


def peak(what: str, name: str) -> float:
    """Peak resident megabytes of a fresh process."""
    command = [sys.executable, __file__, "--child", what, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print the table, or play the child."""
    if sys.argv[1:2] == ["--child"]:
        globals()[sys.argv[2]](sys.argv[3])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print("| network | all tensors kept | eager | compiled |\n|---|---|---|---|")
    for name in sys.argv[1:] or list(NETWORKS):
        peak("compile_it", name)
        found = {what: peak(what, name) for what in ("keep_all", "eager", "compiled")}
        base = found["keep_all"]
        ratios = " | ".join(f"{found[what] / base:.2f}x" for what in ("eager", "compiled"))
        print(f"| {name} | {base:.0f} MB | {ratios} |")
        _file(name).unlink()


if __name__ == "__main__":
    main()
