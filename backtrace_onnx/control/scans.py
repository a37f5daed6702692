"""Scan: the iterations that ran, one per slice of what is scanned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

from backtrace_onnx.control.bodies import Body, body_of, check_fit
from backtrace_onnx.control.straight_model import StraightModel
from backtrace_onnx.errors import ModelError

_WITHOUT_BATCH = 9  # before this opset a Scan takes a batch of sequences of different lengths


@dataclass(frozen=True)
class ScanParts:
    """A Scan node, its body, and what its inputs and outputs are."""

    node: onnx.NodeProto
    body: onnx.GraphProto

    @property
    def scanned(self) -> list[tuple[str, int, bool]]:
        """The inputs that are cut into slices: (tensor, axis, whether the last comes first)."""
        count = self._attribute("num_scan_inputs", 0)
        names = list(self.node.input[max(len(self.node.input) - count, 0) :])
        return list(zip(names, *self._ways("input", count), strict=True))

    @property
    def initial(self) -> list[str]:
        """Names of the first values of the states."""
        return list(self.node.input[: len(self.node.input) - len(self.scanned)])

    @property
    def outputs(self) -> list[str]:
        """The node's outputs, "" where those at the end are left out."""
        return [*self.node.output, *[""] * (len(self.body.output) - len(self.node.output))]

    @property
    def stacked(self) -> list[tuple[str, int, bool]]:
        """The outputs with a row per iteration: (tensor, axis, whether the last comes first)."""
        names = self.outputs[len(self.initial) :]
        return list(zip(names, *self._ways("output", len(names)), strict=True))

    def _ways(self, side: str, count: int) -> tuple[list[int], list[bool]]:
        axes = self._attribute(f"scan_{side}_axes", [0] * count)
        directions = self._attribute(f"scan_{side}_directions", [0] * count)
        return list(axes), [bool(d) for d in directions]

    def _attribute(self, name: str, default: Any) -> Any:
        found = (a for a in self.node.attribute if a.name == name)
        return next((helper.get_attribute_value(a) for a in found), default)


def write_scan(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write every iteration of a Scan, one per slice; False where their number is not known yet.

    Raises ModelError where the node does not fit its body, or scans nothing.
    """
    if straight.opset < _WITHOUT_BATCH:
        return False
    scan = ScanParts(node, body_of(node))
    check_fit(node, scan.body, len(node.input), max(len(scan.initial), len(node.output)))
    if not scan.scanned:
        raise ModelError(f"Scan node {node.name!r} has no num_scan_inputs, so nothing to scan")
    tensor, axis, _ = scan.scanned[0]
    trips = straight.size(node, tensor, axis, "how often it runs")
    if trips is None:
        return False
    straight.check_room(node, trips, scan.body)
    _unroll(straight, scan, trips)
    return True


def _unroll(straight: StraightModel, scan: ScanParts, trips: int) -> None:
    node, states = scan.node, scan.initial
    count = len(states)
    body = Body(straight, node.name, scan.body)
    slices = [
        _slices(
            straight, scan, k, [f"{node.name}/{i}/{body.inputs[count + k]}" for i in range(trips)]
        )
        for k in range(len(scan.scanned))
    ]
    rows: list[list[str]] = [[] for _ in scan.stacked]
    for i in range(trips):
        finals = dict(enumerate(scan.outputs[:count])) if i == trips - 1 else {}
        finals = {k: name for k, name in finals.items() if name}
        made = body.write(f"{node.name}/{i}", [*states, *(s[i] for s in slices)], finals)
        states = made[:count]
        for row, name in zip(rows, made[count:], strict=True):
            row.append(name)
    if not trips:
        for state, output in zip(states, scan.outputs, strict=False):
            straight.rename(state, output)
    for k, (output, axis, backwards) in enumerate(scan.stacked):
        if output and trips:
            straight.stack(rows[k][::-1] if backwards else rows[k], output, axis)
        elif output:
            straight.empty_rows(node, scan.body.output[count + k], output, axis)


def _slices(straight: StraightModel, scan: ScanParts, k: int, names: list[str]) -> list[str]:
    """Slices of a scanned tensor, iteration by iteration."""
    tensor, axis, backwards = scan.scanned[k]
    names = [straight.fresh(name) for name in names]
    if names:
        straight.cut(tensor, names[::-1] if backwards else names, axis)
    return names
