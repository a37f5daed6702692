"""Softmaxes and log-softmaxes, each in the ways that exporters and people write it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np

from tests.function_networks import Write, Writer, op
from tests.graphs import node


def _shifted(g: Writer, x: str) -> str:
    return g("Sub", x, g("ReduceMax", x, np.array([-1])))


def _shares(g: Writer, e: str) -> str:
    return g("Div", e, g("ReduceSum", e, np.array([-1])))


def _log_sum(g: Writer, x: str) -> str:
    return g("Log", g("ReduceSum", g("Exp", x), np.array([-1])))


SOFTMAX: dict[str, Write] = {
    "native": op("Softmax"),
    "naive": lambda g, x: _shares(g, g("Exp", x)),
    "stable": lambda g, x: _shares(g, g("Exp", _shifted(g, x))),
    "LogSumExp": lambda g, x: g("Exp", g("Sub", x, g("ReduceLogSumExp", x, np.array([-1])))),
    "LogSoftmax": lambda g, x: g("Exp", g("LogSoftmax", x)),
    "without NaN": lambda g, x: (lambda p: g("Where", g("IsNaN", p), 0.0, p))(g("Softmax", x)),
}
LOG_SOFTMAX: dict[str, Write] = {
    "native": op("LogSoftmax"),
    "Softmax": lambda g, x: g("Log", g("Softmax", x)),
    "LogSumExp": lambda g, x: g("Sub", x, g("ReduceLogSumExp", x, np.array([-1]))),
    "stable": lambda g, x: (lambda d: g("Sub", d, _log_sum(g, d)))(_shifted(g, x)),
}


def _pairs(g: Writer, x: str) -> str:
    """1 / sum over j of exp(x_j - x_i)."""
    apart = g("Sub", g("Unsqueeze", x, np.array([-2])), g("Unsqueeze", x, np.array([-1])))
    return g("Reciprocal", g("ReduceSum", g("Exp", apart), np.array([-1]), keepdims=0))


def _split(g: Writer, e: str) -> str:
    """The sum of 6 columns, one by one."""
    parts = [f"{e}/{k}" for k in range(6)]
    g.nodes.append(node("Split", [e], parts, f"{e}/split", axis=-1, num_outputs=6))
    return reduce(lambda a, b: g("Add", a, b), parts)


TOTALS: dict[str, Write] = {  # of x[N, 3, 6]
    "Einsum": lambda g, e: g("Unsqueeze", g("Einsum", e, equation="abc->ab"), np.array([-1])),
    "ones": lambda g, e: g("MatMul", e, np.ones((6, 1), np.float32)),
    "ones for each": lambda g, e: g("MatMul", e, np.ones((6, 6), np.float32)),
    "mean": lambda g, e: g("Mul", g("ReduceMean", e, np.array([-1])), 6.0),
    "Split": _split,
    "L1": op("ReduceL1", np.array([-1])),
}
POWERS: dict[str, Write] = {
    "Pow": lambda g, x: g("Pow", float(np.e), x),
    "Pow of 1": lambda g, x: g("Pow", g("Exp", x), 1.0),
    "2 to": lambda g, x: g("Pow", 2.0, g("Mul", x, float(1 / np.log(2)))),
    "Reciprocal": lambda g, x: g("Reciprocal", g("Exp", g("Neg", x))),
    "odds": lambda g, x: (lambda p: g("Div", p, g("Sub", 1.0, p)))(g("Sigmoid", x)),
}


def _totalled(total: Write) -> Write:
    return lambda g, x: (lambda e: g("Div", e, total(g, e)))(g("Exp", _shifted(g, x)))


def _log_of_total(total: Write) -> Write:
    return lambda g, x: g("Sub", x, g("Log", total(g, g("Exp", x))))


def _powered(power: Write) -> Write:
    return lambda g, x: _shares(g, power(g, x))


SOFTMAX |= {"pairs": _pairs, "norm": lambda g, x: g("LpNormalization", g("Exp", x), axis=-1, p=1)}
SOFTMAX_OF_6 = {"native": SOFTMAX["native"]}
SOFTMAX_OF_6 |= {f"total by {how}": _totalled(total) for how, total in TOTALS.items()}
SOFTMAX |= {f"power by {how}": _powered(power) for how, power in POWERS.items()}
LOG_SOFTMAX_OF_6 = {"native": LOG_SOFTMAX["native"]}
LOG_SOFTMAX_OF_6 |= {f"total by {how}": _log_of_total(total) for how, total in TOTALS.items()}
LOG_SOFTMAX["loss turned"] = lambda g, x: g(
    "Neg", g("Sub", g("ReduceLogSumExp", x, np.array([-1])), x)
)
SHARP_SOFTMAX: dict[str, Write] = {
    "native": lambda g, x: g("Softmax", g("Mul", x, 3.0)),
    "naive": lambda g, x: _shares(g, g("Exp", g("Mul", x, 3.0))),
    "stable": lambda g, x: _shares(g, g("Exp", _shifted(g, g("Mul", x, 3.0)))),
    "scaled late": lambda g, x: _shares(g, g("Exp", g("Mul", _shifted(g, x), 3.0))),
    "divided": lambda g, x: _shares(g, g("Exp", g("Div", x, 1 / 3))),
    "one element": lambda g, x: _shares(g, g("Exp", g("Mul", np.float32([[3]]), x))),
    "LogSumExp": lambda g, x: SOFTMAX["LogSumExp"](g, g("Mul", 3.0, x)),
    "pairs": lambda g, x: _pairs(g, g("Mul", x, 3.0)),
}
TURNED_SOFTMAX: dict[str, Write] = {
    "native": lambda g, x: g("Softmax", g("Neg", x)),
    "naive": lambda g, x: _shares(g, g("Exp", g("Neg", x))),
    "stable": lambda g, x: _shares(g, g("Exp", _shifted(g, g("Mul", x, -1.0)))),
}

SOFTMAXES: Mapping[str, dict[str, Write]] = {
    "Softmax": SOFTMAX,
    "LogSoftmax": LOG_SOFTMAX,
    "Softmax of 6": SOFTMAX_OF_6,
    "LogSoftmax of 6": LOG_SOFTMAX_OF_6,
    "Softmax of 3 x": SHARP_SOFTMAX,
    "Softmax of -x": TURNED_SOFTMAX,
}
