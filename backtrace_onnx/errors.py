"""Every error this package raises.

BacktraceError
├── ModelError            the file is not a model that can be loaded
├── InputError            an input array, file or name does not fit the model
│   └── RowError          one row does not; the others may
├── RequestError          target, task, output, mode or another option does not fit
├── UnsupportedError      operators of the model have no rule; lists all of them
├── NumericalError        relevance became NaN or infinite on its way; names the node
├── CompileError          the explanation cannot be written as an ONNX model
├── ExportError           a framework's model cannot be written as an ONNX model that does the same
├── AuditError            an audit itself failed, which says nothing of the model
└── RuleError             a rule was registered twice, or does not fit its operator
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backtrace_onnx.messages.terminal_text import visible


class BacktraceError(Exception):
    """Base of all errors; the text says what is wrong and what to do.

    Attributes:
        exit_code: of the command line.
        in_lines: whether the text has several lines, in which names are spelled visibly.
    """

    exit_code = 2
    in_lines = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[BacktraceError], args: tuple[Any, ...], state: dict[str, Any]
) -> BacktraceError:
    """An error as another process raised it, whatever its class is made of."""
    made = kind.__new__(kind)
    made.args = args
    made.__dict__.update(state)
    return made


class ModelError(BacktraceError):
    """The model file is missing, damaged, hostile or not ONNX."""


class InputError(BacktraceError):
    """An input does not fit the model: name, dtype, shape or values."""


class RowError(InputError):
    """One row of a table or list does not fit; the others may."""


class InputWarning(UserWarning):
    """Something about the inputs that a caller should know, such as a column that is left out."""


class RequestError(BacktraceError):
    """Mode, target, task, output or another option does not fit the model."""


class LabelsError(RequestError):
    """The classes of an output cannot be as many as there are labels."""


class RuleError(BacktraceError):
    """A rule is registered twice, or returns what its operator cannot use."""


@dataclass(frozen=True)
class Unsupported:
    """One operator without a rule, the nodes that use it and the remedy."""

    operator: str
    nodes: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        shown = ", ".join(self.nodes[:5]) + (
            f" and {len(self.nodes) - 5} more" if len(self.nodes) > 5 else ""
        )
        return visible(f"{self.operator} (node {shown}): {self.reason}")


REGISTER = (
    "Register a rule with @backtrace_onnx.rule, or choose what happens there: "
    "on_unsupported='pass' hands relevance to the inputs of the same shape, "
    "'stop' books it as unassigned."
)
"""What to do about operators that have no rule."""


class UnsupportedError(BacktraceError):
    """Operators on the way from the output to the inputs have no rule.

    Attributes:
        operators: one `Unsupported` for every operator, not only the first.

    Args:
        remedy: what to do about it.
    """

    exit_code = 3
    in_lines = True

    def __init__(self, operators: Sequence[Unsupported], remedy: str = REGISTER) -> None:
        self.operators = tuple(operators)
        lines = "\n".join(f"  - {row}" for row in self.operators)
        super().__init__(
            f"{len(self.operators)} operator(s) of this model cannot be explained:\n{lines}\n"
            f"{remedy}"
        )


class NumericalError(BacktraceError):
    """Relevance became NaN or infinite on its way back.

    Attributes:
        node: the first node, in the order of the walk, that handed such values on; or an input
            that received them, where the books of no node hold any.
        sample: the first sample with such values.

    Args:
        mode: that of the explanation.
        where: the node or input in words.
        remedy: what to do about it; "" where there is nothing to be done.
    """

    exit_code = 3

    def __init__(self, node: str, mode: str, sample: int, where: str, remedy: str) -> None:
        self.node, self.sample = node, sample
        super().__init__(
            f"relevance became NaN or infinite at {where}, in mode {mode}, for sample "
            f"{sample}; " + (remedy or "there is no explanation of this sample")
        )


class CompileError(BacktraceError):
    """The explanation cannot be written as standard ONNX nodes; names the node."""

    exit_code = 3


class ExportError(BacktraceError):
    """A framework's model cannot be exported, or what was exported computes something else."""

    exit_code = 3


class AuditError(BacktraceError):
    """An audit itself failed: no check of it says anything of the model."""

    exit_code = 3
