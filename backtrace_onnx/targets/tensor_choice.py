"""What a caller chooses among a graph's tensors: the one explained, and those kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import isfinite
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtrace_onnx.errors import RequestError
from backtrace_onnx.graph.graph import NO_TENSOR, Graph
from backtrace_onnx.messages.notes import Note
from backtrace_onnx.messages.similar_names import find_alike
from backtrace_onnx.ops.method import Method
from backtrace_onnx.targets.detectors import scores_beside

Keep = Literal["inputs", "all", "attention"] | Sequence[str]
Targets = Literal["all"] | Sequence[Any] | npt.NDArray[np.integer[Any]]
_SHOWN = 8
_STARTS = 'start is an array shaped like the output, a function that returns one or "probability"'


def default_output(graph: Graph) -> str | None:
    """The first float output, or the probabilities behind a ZipMap; None if there is none.

    Where that holds the boxes of a detector, the output that holds their scores.
    """
    found = _first_output(graph)
    return found if found is None else scores_beside(graph, found) or found


def _first_output(graph: Graph) -> str | None:
    for name in graph.outputs:
        maker = graph.producers.get(name)
        if graph.type(name).dtype == NO_TENSOR and maker is not None and maker.op_type == "ZipMap":
            name = maker.inputs[0]
        if graph.type(name).is_float and name not in graph.constants:
            return name
    return None


def find_output(output: str | None, graph: Graph) -> str:
    """The name of the tensor to explain; `output` is None for the default one.

    Raises RequestError where the model has no such tensor, or it cannot be explained.
    """
    if output is None:
        found = default_output(graph)
        if found is None:
            raise RequestError(
                "no output of the model is a floating-point tensor that depends on its inputs "
                f"({', '.join(graph.outputs)}); choose a tensor inside it with output=..."
            )
        return found
    if not isinstance(output, str):
        raise RequestError(f"output is the name of a tensor, not {output!r}")
    if output in graph.outputs and output not in graph.constants:
        return output
    if output in graph.inputs:
        raise RequestError(f"output {output!r} is an input of the model; nothing lies before it")
    if output in graph.constants:
        raise RequestError(f"output {output!r} is a constant: it depends on no input")
    if output not in graph.tensors | graph.hidden.keys():
        raise RequestError(f"the model has no tensor {output!r}; {_suggest(output, graph.tensors)}")
    return output


def find_kept(keep: Keep, graph: Graph, output: str) -> frozenset[str]:
    """Tensors whose relevance is kept.

    Raises RequestError for a name that is none, or that relevance from `output` cannot reach.
    """
    if keep == "inputs":
        return frozenset()
    if keep == "all":
        return frozenset(_reached(graph, output))
    return frozenset(find_reached("keep", keep, graph, output))


def find_apart(graph: Graph, method: Method, *named: Any) -> frozenset[str]:
    """Those of the named tensors that lie inside of what is read as one, and are to be read apart.

    Where relevance travels, tensors that share that of another one stay where they are: it is
    known. Their slopes are not.
    """
    inside = {*graph.hidden, *(graph.aliases if method.carrier == "slope" else ())}
    found: set[str] = set()
    for names in named:
        given = [names] if isinstance(names, str) else names
        if names not in ("inputs", "all", "attention") and isinstance(given, Collection):
            found |= {name for name in given if isinstance(name, str) and name in inside}
    return frozenset(found)


def apart_note(apart: Collection[str], graph: Graph) -> tuple[Note, ...]:
    """That nodes are read in parts because tensors between them were named."""
    if not apart:
        return ()
    within = sorted({repr(graph.hidden.get(n, graph.aliases.get(n, n))) for n in apart})
    names = ", ".join(map(repr, sorted(apart)))
    return (
        Note(
            f"{names} lie{'s' if len(apart) == 1 else ''} inside of what is read as one operator "
            f"({', '.join(within)}), which is read in parts here: other tensors may differ from an "
            "explanation that does not ask for this one"
        ),
    )


def find_reached(what: str, given: Any, graph: Graph, output: str) -> list[str]:
    """The tensors of these names, each once.

    Raises RequestError for a name that is none, or that relevance from `output` cannot reach.
    """
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        words = "'inputs', 'all', 'attention' or a list" if what == "keep" else "a list"
        raise RequestError(f"{what} is {words} of tensor names, not {given!r}")
    reached = _reached(graph, output)
    for name in names:
        if name in reached:
            continue
        if name in graph.constants:
            why = f"{name!r} is a constant; it has no relevance of its own"
        elif name in graph.hidden:
            why = (
                f"{name!r} lies inside {graph.hidden[name]!r}, which is read as one operator, and "
                "has no relevance of its own; take what that makes or reads, or explain "
                f"output={name!r}"
            )
        elif name in graph.tensors or name in graph.types:
            why = f"relevance from {output!r} does not reach {name!r}"
        else:
            why = f"the model has no tensor {name!r}"
        raise RequestError(f"{what}: {why}; {_suggest(name, reached)}")
    return list(dict.fromkeys(names))


def check_amounts(threshold: Any, scaler: Any) -> None:
    """Raises RequestError unless both are numbers that can be used; `scaler` may be None."""
    check_number("threshold", threshold)
    if scaler is not None:
        check_number("scaler", scaler, positive=True)


def read_start(start: Any, target: Any, task: Any, targets: Any = None) -> tuple[Any, bool]:
    """The caller's own start if there is one, and whether signed modes start at probabilities.

    Raises RequestError for another text, where a start is given beside a target or a task, and
    where one target is given beside several.
    """
    if target is not None and targets is not None:
        raise RequestError("give either target, or targets for an explanation of each")
    target = targets if target is None else target
    if isinstance(start, str):
        if start != "probability":
            raise RequestError(f"{_STARTS}, not {start!r}")
        return None, True
    if start is not None and (target is not None or task is not None):
        raise RequestError("give either start, or target and task")
    return start, False


def check_number(name: str, value: Any, *, positive: bool = False) -> None:
    """Raises RequestError unless `value` is a finite (and positive) number."""
    is_number = isinstance(value, int | float) or hasattr(value, "__float__")
    if not is_number or not isfinite(value) or (positive and value <= 0):
        kind = "a positive number" if positive else "a finite number"
        raise RequestError(f"{name} is {kind}, not {value!r}")


def _reached(graph: Graph, output: str) -> set[str]:
    """Tensors that `output` depends on, itself and the inputs included."""
    found = {output, *graph.inputs}
    for node in graph.ancestors(output):
        found.update(filter(None, (*node.inputs, *node.outputs)))
    found -= graph.constants.keys() | graph.computed.keys()
    return found | {name for name, shared in graph.aliases.items() if shared in found}


def _suggest(name: Any, names: Collection[str]) -> str:
    close = find_alike(str(name), names, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(map(repr, close))}?"
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are: {shown}{more}"
