"""What a model is and how each of its nodes would be explained; nothing is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtrace_onnx import rules
from backtrace_onnx.engines.prepared_model import read_plan
from backtrace_onnx.graph.graph import Graph
from backtrace_onnx.graph.input_checking import spell
from backtrace_onnx.inputs.sidecar import Sidecar
from backtrace_onnx.messages.terminal_text import visible
from backtrace_onnx.model.loading import load
from backtrace_onnx.report.console import show, table
from backtrace_onnx.results.support import Support, support_rows
from backtrace_onnx.targets.tensor_choice import default_output

if TYPE_CHECKING:
    from rich.console import Console

_ = rules  # registers the rules

REMEDY = (
    "Write a rule for them with @backtrace_onnx.rule, or explain with --on-unsupported pass "
    "(relevance goes to the inputs of the same shape) or stop (it is booked as unassigned)."
)

WIDEST = 56  # characters of a name in a table


@dataclass(frozen=True)
class Inspection:
    """A model's interface and a row per node.

    Attributes:
        ends: operators at which every way from the output to the inputs ends, if all do.
    """

    model: str
    graph: Graph
    opsets: dict[str, int]
    sidecar: Sidecar | None
    rows: list[Support]
    ends: list[str]

    @property
    def missing(self) -> list[Support]:
        """Nodes that no rule explains."""
        return [row for row in self.rows if row.coverage == "none"]


def inspect(model: Path, sidecar: Sidecar | None) -> Inspection:
    """Read a model and look up the rule of every node. Raises ModelError."""
    loaded = load(model)
    opsets = {domain or "ai.onnx": version for domain, version in loaded.opsets.items()}
    plan = read_plan(loaded, "stop")
    graph = plan.graph
    output = default_output(graph)
    ends = {f"{n.operator} ({n.name})" for n in plan.ends(output)} if output else set()
    return Inspection(str(model), graph, opsets, sidecar, support_rows(loaded, plan), sorted(ends))


def as_record(found: Inspection) -> dict[str, Any]:
    """What `--json` prints of an inspection."""
    return {
        "model": found.model,
        "opsets": found.opsets,
        "inputs": _tensors(found.graph, found.graph.inputs),
        "outputs": _tensors(found.graph, found.graph.outputs),
        "sidecar": str(found.sidecar.path) if found.sidecar else None,
        "nodes": [asdict(row) for row in found.rows],
        "explainable": not found.missing and not found.ends,
    }


def print_inspection(to: Console, found: Inspection) -> None:
    """Print a model's inputs, outputs and nodes as tables, and whether it can be explained."""
    versions = ", ".join(f"{domain} {version}" for domain, version in found.opsets.items())
    to.print(f"{found.model}: {len(found.rows)} nodes, opset {versions}")
    _print_tensors(to, found, "input", found.graph.inputs)
    _print_tensors(to, found, "output", found.graph.outputs)
    to.print()
    rows = table(to, "node", "operator", "coverage", "rule")
    for row in found.rows:
        rows.add_row(
            shortened(row.node), row.operator, row.coverage, shortened(row.rule, 2 * WIDEST)
        )
    show(to, rows)
    if any(len(row.node) > WIDEST for row in found.rows):
        to.print("Long names are shortened; --json has them whole.")
    to.print()
    for line in verdict(found).split("\n"):
        to.print(line)


def verdict(found: Inspection) -> str:
    """Whether the model can be explained, and what to do if not."""
    if found.ends:
        return f"No relevance reaches the inputs: {', '.join(found.ends)} carry none."
    if not found.missing:
        return "Every node that relevance can meet has a rule."
    nodes: dict[str, list[str]] = {}
    for row in found.missing:
        nodes.setdefault(row.operator, []).append(row.node)
    listed = "\n".join(visible(f"  - {op}: {', '.join(names)}") for op, names in nodes.items())
    return f"{len(nodes)} operator(s) have no rule:\n{listed}\n{REMEDY}"


def shortened(name: str, widest: int = WIDEST) -> str:
    """A long name without its middle: what it begins and ends with tells most."""
    half = (widest - 3) // 2
    return name if len(name) <= widest else f"{name[:half]}...{name[-half:]}"


def _tensors(graph: Graph, names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"name": name, "type": spell(graph.type(name))} for name in names]


def _print_tensors(to: Console, found: Inspection, what: str, names: tuple[str, ...]) -> None:
    for name in names:
        entry = found.sidecar.inputs.get(name) if found.sidecar and what == "input" else None
        how = f": {entry.describe()}" if entry else ""
        to.print(f"{what} {name} {spell(found.graph.type(name))}{how}")
