"""If: the branch that ran."""

from __future__ import annotations

import numpy as np
import onnx

from backtrace_onnx.control.bodies import Body, body_of, check_fit
from backtrace_onnx.control.straight_model import StraightModel


def write_if(straight: StraightModel, node: onnx.NodeProto) -> bool:
    """Write the branch that the condition of an If chooses; False where that is not known yet."""
    condition = straight.wanted(node, node.input[0], "which of its branches runs")
    if condition is None:
        return False
    chosen = "then_branch" if bool(np.ravel(condition)[0]) else "else_branch"
    body = body_of(node, chosen)
    check_fit(node, body, 0, len(node.output))
    straight.check_room(node, 1, body)
    finals = {i: name for i, name in enumerate(node.output) if name}
    Body(straight, node.name, body).write(node.name, [], finals)
    return True
