"""The signed methods by name: values of `Method`, which the walk of slopes reads.

Sources: gradients (Simonyan et al. 2014), LRP-epsilon (Bach et al. 2015), AttnLRP (Achtibat et al.
2024, arXiv 2402.05602) and its predecessor CP-LRP (Ali et al. 2022), in which attention's weights
are held.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from backtrace_onnx.errors import RequestError
from backtrace_onnx.methods.calls import read_numbers
from backtrace_onnx.methods.rule_lists import BASES, RuleList, read_rules
from backtrace_onnx.methods.sharings import EPSILON, SHARINGS, absolute_epsilon, find_sharing
from backtrace_onnx.ops.method import Method
from backtrace_onnx.ops.policy import Policy, divide
from backtrace_onnx.ops.sharing import Sharing


def _by_contribution(p: Any, n: Any, b: Any, r: Any) -> Any:
    """Where relevance travels in place of slopes: R / t, as their adjoint hands them on."""
    a = divide(r, p - n + b)
    return ((a, -a, a * b),)


def _signed(name: str, **how: Any) -> Method:
    policy = Policy(name, _by_contribution, reading="signed", signed=True)
    return Method(name, policy, "slope", **how)


_LRP = {"functions": "secant", "products": "shared", "statistics": "held", "trees": "paths"}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _signed("gradient", reported="slope"),
        _signed("gradient_x_input"),
        _signed("epsilon", epsilon=EPSILON, **_LRP),
        _signed("lrp", epsilon=EPSILON, **_LRP),
        _signed("attnlrp", **_LRP),
        _signed("cp-lrp", softmax="held", **_LRP),
        _signed("deeplift", functions="rescale", trees="pairs"),
        _signed("paths", **_LRP),
    )
}

SHAP = _signed("shap", trees="visits")
"""One walk of it: trees are explained, and what lies behind them is linear."""


def _composite(name: str, base: str, *rules: tuple[str, Sharing]) -> Method:
    return replace(METHODS[base], name=name, epsilon=0.0, composite=rules)


_GAMMA, _EPSILON = find_sharing("gamma(0.25)"), find_sharing("epsilon")
PRESETS: dict[str, Method] = {
    method.name: method
    for method in (
        _composite("cnn", "lrp", ("convolution", _GAMMA), ("dense", _EPSILON)),
        _composite("vit", "attnlrp", ("convolution", _GAMMA), ("dense", _GAMMA)),
    )
}
"""Composites that have a name."""

NAMES = (*METHODS, *PRESETS, *(name for name in SHARINGS if name != "epsilon"))
"""Every mode that is read here, without parameters."""

_LINEAR = ("convolution", "dense")


def named_method(mode: object) -> Method | None:
    """The signed method that a mode names; None where it names none.

    A name, with its stabiliser perhaps: "lrp", "lrp(0.25)"; a preset: "cnn"; the rule of all layers
    with weights: "gamma(0.25)"; or rules of single nodes, as `read_rules` takes them.
    Raises RequestError for a parameter or a rule that is none.
    """
    listed = read_rules(mode)
    if listed is not None:
        return _composed(listed)
    if not isinstance(mode, str):
        return None
    if mode in PRESETS:
        return PRESETS[mode]
    name = mode.partition("(")[0].strip()
    if name in PRESETS and mode != name:
        raise _no_parameter(name)
    if absolute_epsilon(mode) is not None:
        return None
    if name in SHARINGS and name != "epsilon":
        sharing = find_sharing(mode)
        rules = ((what, sharing) for what in _LINEAR)
        return _composite(mode, "lrp", *rules)
    return _stabilised(mode, name)


def _composed(listed: RuleList) -> Method:
    """The method of a list of rules: that of its base, without a stabiliser unless it names one."""
    if listed.base is None:
        return _composite(listed.text, "lrp", *listed.rules)
    name = listed.base.partition("(")[0].strip()
    base = _stabilised(listed.base, name) or METHODS[name]
    epsilon = 0.0 if listed.base == name else base.epsilon
    return replace(base, name=listed.text, epsilon=epsilon, composite=listed.rules)


def _stabilised(mode: str, name: str) -> Method | None:
    if name not in METHODS or name == mode:
        return METHODS.get(mode)
    if name not in (*BASES, "epsilon"):
        raise _no_parameter(name)
    call = read_numbers(mode)
    numbers = [] if call is None else [*call[1], *call[2].values()]
    is_one = call is not None and len(numbers) == 1 and not set(call[2]) - {"epsilon"}
    if not is_one or not 0 <= numbers[0] < math.inf:
        raise RequestError(
            f"mode {mode!r}: the stabiliser is one number from 0 on, relative to a layer's scale, "
            f"as in {name}(0.1); epsilon(absolute=1e-6) is one that is not"
        )
    return replace(METHODS[name], name=mode, epsilon=numbers[0])


def _no_parameter(name: str) -> RequestError:
    return RequestError(f"mode {name!r} takes no parameter; write mode={name!r}")
