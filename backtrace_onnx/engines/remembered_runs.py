"""Forward runs that are made once for several walks from the same inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtrace_onnx.engines.outcome import bytes_of
from backtrace_onnx.engines.prepared_model import PreparedModel
from backtrace_onnx.ops.method import Method
from backtrace_onnx.propagation.plan import Plan
from backtrace_onnx.propagation.trace import Trace
from backtrace_onnx.targets.prepared_output import PreparedOutput

if TYPE_CHECKING:
    from backtrace_onnx.engines.compiled_run import CompiledRuns

Array = npt.NDArray[Any]
KEPT = 1 << 28  # bytes of the tensors of runs that are kept beside the first one's


class RememberingModel(PreparedModel):
    """A prepared model whose forward runs on equal inputs are made once, while it lives."""

    def __init__(self, model: PreparedModel) -> None:
        self.__dict__.update(model.__dict__)
        self._model = model
        self._outputs: dict[Any, PreparedOutput] = {}

    @property
    def compiled(self) -> CompiledRuns:
        """Runs of the compiled explanation."""
        return self._model.compiled

    def output(self, *asked: Any) -> PreparedOutput:
        """What explaining a tensor needs, with a trace that remembers."""
        if asked not in self._outputs:
            made = self._model.output(*asked)
            parts = {name: getattr(made, name) for name in ("model", "plan", "head")}
            self._outputs[asked] = PreparedOutput(**parts, trace=_RememberingTrace(made.trace))
        return self._outputs[asked]


class _RememberingTrace(Trace):
    """A trace that returns again what it returned for equal inputs.

    The first run is kept, whatever it takes, and others as long as all of them take no more than
    `KEPT` bytes.
    """

    def __init__(self, trace: Trace) -> None:
        self.__dict__.update(trace.__dict__)
        self._trace, self._room = trace, KEPT
        self._runs: dict[tuple[bytes, bool], dict[str, Array]] = {}
        self._remembering: dict[tuple[str, ...], Trace] = {}

    def of(
        self,
        plan: Plan,
        method: Method,
        extra: frozenset[str],
        *,
        start: str = "",
        booked: bool = True,
        weighed: frozenset[str] = frozenset(),
    ) -> Trace:
        """The run for a walk of the method, which remembers as well."""
        made = self._trace.of(plan, method, extra, start=start, booked=booked, weighed=weighed)
        if made is self._trace:
            return self
        return self._remembering.setdefault(made.returned, _RememberingTrace(made))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every tensor asked for, by name."""
        return self._remembered(feeds, self._trace.run, reference=False)

    def run_reference(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What is asked for of the run of the reference."""
        return self._remembered(feeds, self._trace.run_reference, reference=True)

    def _remembered(
        self,
        feeds: Mapping[str, Array],
        run: Callable[[Mapping[str, Array]], dict[str, Array]],
        *,
        reference: bool,
    ) -> dict[str, Array]:
        key = (_identity(feeds), reference)
        found = self._runs.get(key)
        if found is None:
            found = run(feeds)
            size = bytes_of(found)
            if not self._runs or size <= self._room:
                self._room -= size if self._runs else 0
                self._runs[key] = found
        return {**found, **feeds}


def _identity(feeds: Mapping[str, Array]) -> bytes:
    """What the names, types, shapes and values of inputs are told apart by."""
    made = hashlib.sha256()
    for name, x in sorted(feeds.items()):
        made.update(repr((name, x.dtype.str, x.shape)).encode())
        whole = repr(x.tolist()).encode() if x.dtype.kind == "O" else np.ascontiguousarray(x)
        made.update(whole if isinstance(whole, bytes) else whole.tobytes())
    return made.digest()


__all__ = ["RememberingModel"]
