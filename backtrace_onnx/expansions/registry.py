"""Operators read as a composition of standard ones: keyed (domain, operator)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtrace_onnx.errors import RuleError
from backtrace_onnx.ops.op import Op
from backtrace_onnx.ops.vocabulary import Ops, Value

Text = Callable[..., Any]
"""`(ops, op, *inputs) -> output or tuple of outputs`, in the words of OLDEST_OPSET or newer.

Inputs left out are None; outputs that the node does not name, or nobody reads, may be None.
"""

MICROSOFT = "com.microsoft"
"""The domain of the operators that onnxruntime adds to those of ONNX."""

_TEXTS: dict[tuple[str, str], tuple[int, Text]] = {}
_WHEN: dict[tuple[str, str], str] = {}
_REFUSED: dict[tuple[str, str], str] = {}


def expansion(
    *op_types: str, domain: str = "", opset: int = 0, when: str = ""
) -> Callable[[Text], Text]:
    """Register the decorated text as what operators of `domain` stand for.

    Args:
        opset: version of ai.onnx the text needs; 0: the oldest that texts are written in.
        when: an attribute; operators in which it is set stand for the text though they have a rule.

    Raises RuleError if one exists. A text raises RuleError where a node cannot be said its way.
    """

    def register(text: Text) -> Text:
        for op_type in op_types:
            if (domain, op_type) in _TEXTS:
                raise RuleError(f"{domain or 'ai.onnx'} {op_type} has an expansion already")
            _TEXTS[domain, op_type] = (opset, text)
            if when:
                _WHEN[domain, op_type] = when
        return text

    return register


def microsoft(*op_types: str, opset: int = 0) -> Callable[[Text], Text]:
    """Register the decorated text for operators that onnxruntime adds, as `expansion` does."""
    return expansion(*op_types, domain=MICROSOFT, opset=opset)


def refuse(op_types: str, reason: str, *, domain: str = MICROSOFT) -> None:
    """Register operators, separated by spaces, that are not explained, with a sentence why."""
    for op_type in op_types.split():
        if (domain, op_type) in _TEXTS or (domain, op_type) in _REFUSED:
            raise RuleError(f"{domain or 'ai.onnx'} {op_type} is registered already")
        _REFUSED[domain, op_type] = reason


def refused(domain: str, op_type: str) -> str | None:
    """Why an operator is not explained; None where nobody refused it."""
    return _REFUSED.get((domain, op_type))


def refusals() -> list[tuple[str, str, str]]:
    """(domain, operator, reason) of everything refused, sorted."""
    return [(*key, reason) for key, reason in sorted(_REFUSED.items())]


def find(domain: str, op_type: str) -> Text | None:
    """The text registered for an operator."""
    found = _TEXTS.get((domain, op_type))
    return found[1] if found else None


def wanted_by(domain: str, op_type: str) -> str:
    """The attribute that an operator's text is for; "" where it is for all of them."""
    return _WHEN.get((domain, op_type), "")


def needed_opset(domain: str, op_type: str) -> int:
    """Version of ai.onnx an operator's text needs."""
    return _TEXTS[domain, op_type][0]


def expansions() -> list[tuple[str, str, str]]:
    """(domain, operator, first sentence of its text's docstring), sorted."""
    return [
        (*key, (text.__doc__ or "").split("\n")[0]) for key, (_, text) in sorted(_TEXTS.items())
    ]


__all__ = [
    "MICROSOFT",
    "Op",
    "Ops",
    "Text",
    "Value",
    "expansion",
    "expansions",
    "find",
    "microsoft",
    "needed_opset",
    "refusals",
    "refuse",
    "refused",
    "wanted_by",
]
