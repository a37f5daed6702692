"""Names of options, held to those that there are, before any row is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from backtrace_onnx.call_arguments import ExplainKeywords
from backtrace_onnx.errors import RequestError
from backtrace_onnx.messages.similar_names import find_alike

OPENING = ("engine", "providers", "libraries", "on_unsupported")
"""Options of `Explainer`."""


def check_options(given: Iterable[str], own: Collection[str], *, explains: bool = True) -> None:
    """Raise RequestError for an option that is none, with the name that may have been meant.

    Args:
        own: those of the call itself. explains: whether those of `Explainer` and its `explain`, the
            parameters of modes included, are options as well.
    """
    known = {*own, *((*OPENING, *ExplainKeywords.__annotations__) if explains else ())}
    for name in given:
        if name not in known:
            close = find_alike(name, known)
            told = (
                f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
            )
            raise RequestError(f"unknown option {name}; {told}")


__all__ = ["OPENING", "check_options"]
