"""Which symbols of the inputs' open axes stand for the number of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from backtrace_onnx.graph.axis_names import is_called_batch, strangeness
from backtrace_onnx.graph.graph import Shape


def sample_symbols(
    shapes: Sequence[Shape], output: Shape, read: set[str], batches: set[str]
) -> set[str]:
    """Symbols that stand for the number of samples: the output's, or the inputs' first ones.

    Args:
        shapes: of the inputs. output: the explained output's, () where that is not known.
        read: symbols of axes along which recurrent cells take their steps.
        batches: symbols of axes that these cells take for the samples.
    """
    steps = read - batches
    known = {n for shape in shapes for n in _counting(shape)} - steps
    if steps and (found := batches & known):
        return found
    shared = [n for n in output if isinstance(n, str) and n in known]
    named = [n for n in shared if "batch" in n.lower()]
    first = {shape[0] for shape in shapes if shape and isinstance(shape[0], str)}
    first = {n for n in known if "batch" in n.lower()} or first - steps
    lost = any(not isinstance(n, int) and n not in known for n in output)  # on the way there
    first = first or set(_behind_steps(shapes, output, is_lost=lost)) & known
    lost = lost and not first.intersection(shared)
    likely = min(shared, key=lambda n: (strangeness(n), n not in first), default="")
    return {likely} if shared and (named or not lost) else first


def _behind_steps(shapes: Iterable[Shape], output: Shape, *, is_lost: bool) -> Iterator[str]:
    """Symbols of second axes that are samples behind a fixed number of steps.

    Their name says so, or the output has an open axis, its symbol lost, and not the fixed one.
    """
    for shape in shapes:
        if len(shape) < 2 or not isinstance(shape[0], int) or not isinstance(shape[1], str):
            continue
        opened = is_lost and output[0] != shape[0]
        long, named = len(shape) > 2, is_called_batch(shape[1])
        likely = opened and shape[0] != 1 and strangeness(shape[1]) < 2
        if (named and (long or opened)) or (long and likely):
            yield shape[1]


def _counting(shape: Shape) -> Iterator[str]:
    """Symbols that may stand for samples: behind a first axis of size 1 these are lengths."""
    for axis, n in enumerate(shape):
        if isinstance(n, str) and (axis < 2 or shape[0] != 1):
            yield n


__all__ = ["sample_symbols"]
