"""Loop: the iterations that ran, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx

from backtrace_onnx.control.bodies import Body, body_of, check_fit
from backtrace_onnx.control.counting import constant_trips
from backtrace_onnx.control.run_questions import RunQuestion
from backtrace_onnx.control.straight_model import StraightModel

_STEERING = 2  # trip count and condition come before the states


class LoopParts(NamedTuple):
    """A Loop node, its body, and what its inputs and outputs are."""

    node: onnx.NodeProto
    body: onnx.GraphProto

    @property
    def initial(self) -> list[str]:
        """Names of the first values of the states."""
        return list(self.node.input[_STEERING:])

    @property
    def lasting(self) -> dict[str, str]:
        """First values of the states that no iteration changes, by their names in the body."""
        inputs, outputs = self.body.input[_STEERING:], self.body.output[1:]
        states = zip(inputs, outputs, self.initial, strict=False)
        return {x.name: initial for x, y, initial in states if x.name == y.name}

    @property
    def final(self) -> list[str]:
        """Names of the outputs that hold the states' last values; "" where one is left out."""
        return _filled(self.node.output[: len(self.initial)], len(self.initial))

    @property
    def stacked(self) -> list[str]:
        """Names of the outputs that hold a row for each iteration; "" where one is left out."""
        count = len(self.body.output) - 1 - len(self.initial)
        return _filled(self.node.output[len(self.initial) :], count)


def write_loop(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write every iteration of a Loop; False where their number is not known yet."""
    loop = LoopParts(node, body_of(node))
    states = len(loop.initial)
    check_fit(node, loop.body, _STEERING + states, 1 + max(states, len(node.output)))
    trips = _trips(straight, loop)
    if trips is None:
        return False
    straight.check_room(node, trips, loop.body)
    last = _unroll(straight, loop, trips)
    if not trips:
        for state, output in zip(last, loop.final, strict=True):
            straight.rename(state, output)
    return True


def _trips(straight: StraightModel, loop: LoopParts) -> int | None:
    """Number of iterations; asked for where only a run can tell."""
    name = loop.node.name
    question = RunQuestion(name, "Loop", "trips", name, "how often it runs")
    if question.key in straight.answers:
        return int(straight.answers[question.key])
    trips = constant_trips(straight, loop.node, loop.body)
    if trips is None:
        straight.ask(question)
    return trips


def _unroll(straight: StraightModel, loop: LoopParts, trips: int) -> list[str]:
    """Write the iterations and the rows that they stack; returns the last names of the states."""
    node, states = loop.node, loop.initial
    body = Body(straight, node.name, loop.body, loop.lasting)
    rows: list[list[str]] = [[] for _ in loop.stacked]
    going = straight.constant(f"{node.name}/{body.inputs[1]}", np.array(True)) if trips else ""
    for i in range(trips):
        number = straight.constant(f"{node.name}/{i}/{body.inputs[0]}", np.array(i, np.int64))
        last = i == trips - 1
        finals = {1 + k: name for k, name in enumerate(loop.final) if name and last}
        made = body.write(f"{node.name}/{i}", [number, going, *states], finals)
        states = made[1 : 1 + len(states)]
        for row, name in zip(rows, made[1 + len(states) :], strict=True):
            row.append(name)
    for row, output, value in zip(
        rows, loop.stacked, loop.body.output[1 + len(states) :], strict=True
    ):
        if output and trips:
            straight.stack(row, output, 0)
        elif output:
            straight.empty_rows(node, value, output)
    return states


def _filled(names: Sequence[str], count: int) -> list[str]:
    """The names, "" where outputs at the end are left out."""
    return [*names, *[""] * (count - len(names))]
