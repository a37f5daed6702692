"""The signed methods by name: values of `Method`, which the walk of slopes reads.

Sources: gradients (Simonyan et al. 2014), LRP-epsilon (Bach et al. 2015), AttnLRP (Achtibat et al.
2024, arXiv 2402.05602) and its predecessor CP-LRP (Ali et al. 2022), in which attention's weights
are held.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy


def _whole(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Slopes are not shared: linear operators hand them on by their adjoint."""
    return ((r, -r, r * 0),)


def _signed(name: str, **how: Any) -> Method:
    policy = Policy(name, _whole, reading="signed", signed=True)
    return Method(name, policy, "slope", **how)


_LRP = {"functions": "secant", "products": "shared", "statistics": "held"}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _signed("gradient", reported="slope"),
        _signed("gradient_x_input"),
        _signed("lrp", epsilon=0.1, **_LRP),
        _signed("attnlrp", **_LRP),
        _signed("cp-lrp", softmax="held", **_LRP),
    )
}
_STABILISED = frozenset({"lrp", "attnlrp", "cp-lrp"})
_GIVEN = re.compile(r"(?P<name>[\w-]+)\((?:epsilon=)?(?P<epsilon>[^()]*)\)")


def named_method(mode: str) -> Method | None:
    """The signed method that a mode names: "lrp", or with its stabiliser "lrp(0.25)".

    None where it names none. Raises RequestError for a parameter that is none.
    """
    found = _GIVEN.fullmatch(mode) if isinstance(mode, str) else None
    if found is None or found["name"] not in METHODS:
        return METHODS.get(mode) if isinstance(mode, str) else None
    name = found["name"]
    if name not in _STABILISED:
        raise RequestError(f"mode {name!r} takes no parameter; write mode={name!r}")
    try:
        epsilon = float(found["epsilon"])
    except ValueError:
        epsilon = -1.0
    if not 0 <= epsilon < float("inf"):
        raise RequestError(
            f"mode {mode!r}: the stabiliser is a number from 0 on, relative to a layer's scale, as "
            f"in {name}(0.1)"
        )
    return replace(METHODS[name], name=mode, epsilon=epsilon)
