"""Peak memory of an explanation relative to a run that keeps tensors: all, or those captured.

The captured ones are those that the rules read, with which an explanation must begin.

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
    _keep(name, None)


def keep_captured(name: str) -> None:
    """One onnxruntime run with the tensors as outputs that the rules read."""
    _keep(name, set(_child("captured", name)[:-1]))


def captured(name: str) -> None:
    """Print the tensors that the rules read."""
    from backtrace_onnx import rules  # noqa: F401  (registers them)
    from backtrace_onnx.model.loading import load
    from backtrace_onnx.passes.pipeline import prepare
    from backtrace_onnx.policies import find_method
    from backtrace_onnx.propagation.plan import make_plan
    from backtrace_onnx.propagation.traced_tensors import find_traced

    plan = make_plan(prepare(load(NETWORKS[name]().model)).graph())
    print("\n".join(find_traced(plan, find_method("default")).values))


def _keep(name: str, wanted: set[str] | None) -> None:
    import onnx
    import onnxruntime as ort

    model, feeds, _ = NETWORKS[name]()
    present = {o.name for o in model.graph.output}
    for node in model.graph.node:
        for out in node.output:
            if out and out not in present and (wanted is None or out in wanted):
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
    explainer.explain(feeds, task=task)


def compiled(name: str) -> None:
    """One run of the compiled model, compiled beforehand."""
    import onnxruntime as ort

    feeds = NETWORKS[name]().feeds
    session = ort.InferenceSession(str(_file(name)), providers=["CPUExecutionProvider"])
    session.run(None, feeds)


def compile_it(name: str) -> None:
    """Write the compiled model for `compiled`."""
    import backtrace_onnx as bt

    network = NETWORKS[name]()
    bt.compile(network.model, _file(name), task=network.task)


def _file(name: str) -> Path:
    return Path(tempfile.gettempdir(), f"bench-{name.replace(' ', '-')}.onnx")


def _child(what: str, name: str) -> list[str]:
    """What a fresh process prints, its peak at the end."""
    command = [sys.executable, __file__, "--child", what, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()


def peak(what: str, name: str) -> float:
    """Peak resident megabytes of a fresh process."""
    return float(_child(what, name)[-1])


def main() -> None:
    """Print the table, or play the child."""
    if sys.argv[1:2] == ["--child"]:
        globals()[sys.argv[2]](sys.argv[3])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    kinds = ("keep_all", "keep_captured", "eager", "compiled")
    print("| network | all tensors kept | captured ones kept | eager | compiled |")
    print("|---|---|---|---|---|")
    for name in sys.argv[1:] or list(NETWORKS):
        peak("compile_it", name)
        row = " | ".join(f"{peak(what, name):.0f} MB" for what in kinds)
        print(f"| {name} | {row} |", flush=True)
        _file(name).unlink()


if __name__ == "__main__":
    main()
