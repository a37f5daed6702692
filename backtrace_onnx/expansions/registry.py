"""Operators read as a composition of standard ones: keyed (domain, operator).

Here is also what every text is written with, so that a file of texts need import nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from backtrace_onnx.errors import RuleError as RuleError
from backtrace_onnx.expansions.phrases import TextOps
from backtrace_onnx.ops.op import Op as Op
from backtrace_onnx.ops.vocabulary import Constant as Constant
from backtrace_onnx.ops.vocabulary import Value as Value
from backtrace_onnx.ops.vocabulary import ints as ints

Ops: TypeAlias = TextOps
Text = Callable[..., Any]
"""`(ops, op, *inputs) -> output or tuple of outputs`, in the words of OLDEST_OPSET or newer.

Inputs left out are None; outputs that the node does not name, or nobody reads, may be None.
"""

MICROSOFT = "com.microsoft"
"""The domain of the operators that onnxruntime adds to those of ONNX."""


class Expansion(NamedTuple):
    """What an operator stands for.

    Attributes:
        opset: version of ai.onnx the text needs; 0: the oldest that texts are written in.
        when: an attribute; operators in which it is set stand for the text though they have a rule.
    """

    text: Text
    opset: int
    when: str


_EXPANSIONS: dict[tuple[str, str], Expansion] = {}
_REFUSED: dict[tuple[str, str], str] = {}


def expansion(
    *op_types: str, domain: str = "", opset: int = 0, when: str = ""
) -> Callable[[Text], Text]:
    """Register the decorated text as what operators of `domain` stand for; see `Expansion`.

    Raises RuleError if one exists. A text raises RuleError where a node cannot be said its way.
    """

    def register(text: Text) -> Text:
        for op_type in op_types:
            if (domain, op_type) in _EXPANSIONS:
                raise RuleError(f"{domain or 'ai.onnx'} {op_type} has an expansion already")
            _EXPANSIONS[domain, op_type] = Expansion(text, opset, when)
        return text

    return register


def microsoft(*op_types: str, opset: int = 0) -> Callable[[Text], Text]:
    """Register the decorated text for operators that onnxruntime adds, as `expansion` does."""
    return expansion(*op_types, domain=MICROSOFT, opset=opset)


def refuse(op_types: str, reason: str, *, domain: str = MICROSOFT) -> None:
    """Register operators, separated by spaces, that are not explained, with a sentence why."""
    for op_type in op_types.split():
        if (domain, op_type) in _EXPANSIONS or (domain, op_type) in _REFUSED:
            raise RuleError(f"{domain or 'ai.onnx'} {op_type} is registered already")
        _REFUSED[domain, op_type] = reason


def refused(domain: str, op_type: str) -> str | None:
    """Why an operator is not explained; None where nobody refused it."""
    return _REFUSED.get((domain, op_type))


def refusals() -> list[tuple[str, str, str]]:
    """(domain, operator, reason) of everything refused, sorted."""
    return [(*key, reason) for key, reason in sorted(_REFUSED.items())]


def find(domain: str, op_type: str) -> Expansion | None:
    """What an operator stands for; None where it has no expansion."""
    return _EXPANSIONS.get((domain, op_type))


def expansions() -> list[tuple[str, str, str]]:
    """(domain, operator, first line of its text's docstring), sorted."""
    found = sorted(_EXPANSIONS.items())
    return [(*key, (made.text.__doc__ or "").split("\n")[0]) for key, made in found]
